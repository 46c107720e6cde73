// Package contract is the test that every webhooks.Queue passes.
package contract

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"dunlin/protocol"
	"dunlin/webhooks"
)

// Run tests queues that start makes, each new and empty.
func Run(t *testing.T, start func(t *testing.T) webhooks.Queue) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *queue)
	}{
		{"InOrder", inOrder},
		{"EveryFieldSurvives", everyFieldSurvives},
		{"IDsAreUniqueAndStable", idsAreUniqueAndStable},
		{"TheSameIDTwice", theSameIDTwice},
		{"TakeWaits", takeWaits},
		{"TakeWithoutWaiting", takeWithoutWaiting},
		{"TakenOnce", takenOnce},
		{"SettleForgets", settleForgets},
		{"DeadLetters", deadLetters},
		{"Replay", replay},
		{"ReplaySome", replaySome},
		{"Extend", extend},
		{"Backlog", backlog},
		{"CloseEndsTake", closeEndsTake},
		{"ManyAtOnce", manyAtOnce},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			q := &queue{Queue: start(t), t: t}
			t.Cleanup(func() { q.Close() })
			c.test(t, q)
		})
	}
}

type queue struct {
	webhooks.Queue
	t *testing.T
}

func event(app, channel string) webhooks.Event {
	return webhooks.Event{App: app, Name: protocol.HookOccupied, Channel: channel, At: time.UnixMilli(1_700_000_000_000)}
}

func (q *queue) append(events ...webhooks.Event) {
	q.t.Helper()
	if err := q.Append(context.Background(), events...); err != nil {
		q.t.Fatal(err)
	}
}

// take takes exactly n events.
func (q *queue) take(n int) (list []webhooks.Event) {
	q.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for len(list) < n {
		more, err := q.Take(ctx, n-len(list))
		if err != nil || len(more) == 0 {
			q.t.Fatalf("after %d of %d events: %d more, %v", len(list), n, len(more), err)
		}
		list = append(list, more...)
	}
	return list
}

// nothing says that nobody can take anything.
func (q *queue) nothing() {
	q.t.Helper()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if list, err := q.Take(ended, 10); !errors.Is(err, context.Canceled) || len(list) > 0 {
		q.t.Fatalf("Take = %v, %v", list, err)
	}
}

func (q *queue) settle(outcomes ...webhooks.Outcome) {
	q.t.Helper()
	if err := q.Settle(context.Background(), outcomes...); err != nil {
		q.t.Fatal(err)
	}
}

func (q *queue) dead(app string, max int) []webhooks.DeadLetter {
	q.t.Helper()
	list, err := q.Dead(context.Background(), app, max)
	if err != nil {
		q.t.Fatal(err)
	}
	return list
}

func channelsOf(list []webhooks.Event) (names []string) {
	for i := range list {
		names = append(names, list[i].Channel)
	}
	return names
}

func inOrder(t *testing.T, q *queue) {
	var want []string
	for i := range 100 {
		a, b := fmt.Sprint(2*i), fmt.Sprint(2*i+1)
		q.append(event("1", a), event("2", b))
		want = append(want, a, b)
	}
	if got := channelsOf(q.take(200)); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	q.nothing()
}

func everyFieldSurvives(t *testing.T, q *queue) {
	want := webhooks.Event{
		ID: "own-1", App: "app", Name: protocol.HookClientEvent, Channel: "presence-ü=@", User: "u\"1", ClientEvent: "client-é\n",
		Data: `"{\"a\":\"\\u0000\u2028ü\"}"`, SocketID: "1.2", Count: 7, Trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", At: time.UnixMilli(1_700_000_000_123), Only: []string{"e1", "e2"},
	}
	q.append(want)
	got := q.take(1)[0]
	if !got.At.Equal(want.At) || !slices.Equal(got.Only, want.Only) {
		t.Errorf("got %v %v, want %v %v", got.At, got.Only, want.At, want.Only)
	}
	got.At, got.Only, want.At, want.Only = time.Time{}, nil, time.Time{}, nil
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func idsAreUniqueAndStable(t *testing.T, q *queue) {
	seen := map[string]bool{}
	for range 10 {
		q.append(event("1", "a"), event("1", "a"), event("1", "a"))
	}
	for _, e := range q.take(30) {
		if e.ID == "" || seen[e.ID] {
			t.Errorf("id %q", e.ID)
		}
		seen[e.ID] = true
	}
}

func theSameIDTwice(t *testing.T, q *queue) {
	e := event("1", "a")
	e.ID = "x"
	q.append(e, e)
	q.append(e, event("1", "b"))
	list := q.take(2)
	if got := channelsOf(list); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("got %q", got)
	}
	q.nothing()
	q.settle(webhooks.Outcome{ID: "x", Reason: "gone"})
	q.append(e) // before its dead letter is replayed
	if _, err := q.Replay(context.Background(), "1", "x"); err != nil {
		t.Error(err)
	}
	if got := channelsOf(q.take(1)); !slices.Equal(got, []string{"a"}) || len(q.dead("", 9)) != 0 {
		t.Errorf("got %q, dead %v", got, q.dead("", 9))
	}
	q.nothing()
	q.settle(webhooks.Outcome{ID: "x"}, webhooks.Outcome{ID: list[1].ID})
	if b, err := q.Backlog(context.Background()); err != nil || len(b) != 0 {
		t.Errorf("left: %+v, %v", b, err)
	}
}

func takeWaits(t *testing.T, q *queue) {
	got := make(chan []webhooks.Event, 1)
	go func() {
		list, _ := q.Take(t.Context(), 5) // an error shows as no event
		got <- list
	}()
	q.append(event("1", "a"))
	select {
	case list := <-got:
		if !slices.Equal(channelsOf(list), []string{"a"}) {
			t.Errorf("got %v", list)
		}
	case <-time.After(20 * time.Second):
		t.Error("nothing in time")
	}
}

func takeWithoutWaiting(t *testing.T, q *queue) {
	q.nothing()
	q.append(event("1", "a"))
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if list, err := q.Take(ended, 5); err != nil || len(list) != 1 {
		t.Errorf("Take = %v, %v", list, err)
	}
}

func takenOnce(t *testing.T, q *queue) {
	q.append(event("1", "a"), event("1", "b"), event("1", "c"))
	if got := channelsOf(q.take(2)); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("first %q", got)
	}
	if got := channelsOf(q.take(1)); !slices.Equal(got, []string{"c"}) {
		t.Errorf("then %q", got)
	}
	q.nothing()
}

func settleForgets(t *testing.T, q *queue) {
	q.append(event("1", "a"), event("1", "b"))
	list := q.take(2)
	q.settle(webhooks.Outcome{ID: list[0].ID}, webhooks.Outcome{ID: "never heard of"})
	q.settle(webhooks.Outcome{ID: list[0].ID, Reason: "too late"})
	b, err := q.Backlog(context.Background())
	if err != nil || b["1"].Queued != 1 || b["1"].Dead != 0 {
		t.Errorf("backlog %+v, %v", b, err)
	}
}

func deadLetters(t *testing.T, q *queue) {
	q.append(event("1", "a"), event("2", "b"), event("1", "c"))
	list := q.take(3)
	for i := range list {
		q.settle(webhooks.Outcome{ID: list[i].ID, Reason: "gone " + list[i].Channel, Endpoints: []string{"e"}})
	}
	got := q.dead("", 2)
	if len(got) != 2 || got[0].Channel != "c" || got[1].Channel != "b" || got[1].Reason != "gone b" || got[1].Died.IsZero() ||
		got[1].ID != list[1].ID || !slices.Equal(got[1].Only, []string{"e"}) {
		t.Errorf("the latest two: %+v", got)
	}
	if got := q.dead("1", 10); len(got) != 2 || got[0].Channel != "c" || got[1].Channel != "a" {
		t.Errorf("of one app: %+v", got)
	}
}

func replay(t *testing.T, q *queue) {
	q.append(event("1", "a"), event("2", "b"))
	list := q.take(2)
	q.settle(webhooks.Outcome{ID: list[0].ID, Reason: "x", Endpoints: []string{"e"}}, webhooks.Outcome{ID: list[1].ID, Reason: "x"})
	if n, err := q.Replay(context.Background(), ""); n != 2 || err != nil {
		t.Fatalf("Replay = %d, %v", n, err)
	}
	again := q.take(2)
	if again[0].ID != list[0].ID || again[1].ID != list[1].ID || !slices.Equal(again[0].Only, []string{"e"}) {
		t.Errorf("got %+v, want %+v", again, list)
	}
	if len(q.dead("", 10)) != 0 {
		t.Error("the letters are still there")
	}
	q.settle(webhooks.Outcome{ID: again[0].ID}, webhooks.Outcome{ID: again[1].ID})
	if b, err := q.Backlog(context.Background()); err != nil || len(b) != 0 {
		t.Errorf("left: %+v, %v", b, err)
	}
}

func replaySome(t *testing.T, q *queue) {
	q.append(event("1", "a"), event("1", "b"), event("2", "c"))
	list := q.take(3)
	for i := range list {
		q.settle(webhooks.Outcome{ID: list[i].ID, Reason: "x"})
	}
	for _, c := range []struct {
		app  string
		ids  []string
		want int
	}{{"2", []string{list[0].ID}, 0}, {"1", []string{list[1].ID, "never heard of"}, 1}, {"2", nil, 1}, {"3", nil, 0}} {
		if n, err := q.Replay(context.Background(), c.app, c.ids...); n != c.want || err != nil {
			t.Errorf("%s %v: %d, %v, want %d", c.app, c.ids, n, err, c.want)
		}
	}
	if got := channelsOf(q.take(2)); !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("got %q", got)
	}
}

func extend(t *testing.T, q *queue) {
	q.append(event("1", "a"))
	if err := q.Extend(context.Background(), q.take(1)[0].ID, "never heard of"); err != nil {
		t.Error(err)
	}
	q.nothing()
}

func backlog(t *testing.T, q *queue) {
	old := event("1", "a")
	old.At = old.At.Add(-time.Hour)
	q.append(event("1", "b"), old, event("2", "c"))
	list := q.take(3)
	b, err := q.Backlog(context.Background())
	if err != nil || b["1"].Queued != 2 || b["2"].Queued != 1 || !b["1"].Oldest.Equal(old.At) {
		t.Errorf("got %+v, %v", b, err)
	}
	q.settle(webhooks.Outcome{ID: list[2].ID, Reason: "x"})
	if b, err = q.Backlog(context.Background()); err != nil || b["2"] != (webhooks.Backlog{Dead: 1}) {
		t.Errorf("got %+v, %v", b, err)
	}
}

func closeEndsTake(t *testing.T, q *queue) {
	got := make(chan error, 1)
	go func() {
		_, err := q.Take(context.Background(), 1)
		got <- err
	}()
	if err := q.Close(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-got:
		if !errors.Is(err, webhooks.ErrClosed) {
			t.Errorf("Take: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("Take waits on")
	}
	if err := q.Append(context.Background(), event("1", "a")); !errors.Is(err, webhooks.ErrClosed) {
		t.Errorf("Append: %v", err)
	}
}

// Everybody at once: each event is handed out once, and the queue ends empty.
func manyAtOnce(t *testing.T, q *queue) {
	const writers, each = 4, 100
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				if err := q.Append(context.Background(), event(fmt.Sprint(w), fmt.Sprint(i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var mu sync.Mutex
	seen := map[string][]string{}
	total := 0
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for range 2 {
		all.Go(func() {
			for ctx.Err() == nil {
				list, err := q.Take(ctx, 7)
				if err != nil {
					return
				}
				mu.Lock()
				for _, e := range list {
					seen[e.App] = append(seen[e.App], e.Channel)
				}
				if total += len(list); total == writers*each {
					cancel()
				}
				mu.Unlock()
				for _, e := range list {
					q.settle(webhooks.Outcome{ID: e.ID})
				}
			}
		})
	}
	all.Wait()
	for w := range writers {
		got := seen[fmt.Sprint(w)]
		slices.Sort(got)
		if len(got) != each || len(slices.Compact(got)) != each {
			t.Errorf("writer %d: %d events, %d of them different", w, len(seen[fmt.Sprint(w)]), len(got))
		}
	}
	if b, err := q.Backlog(context.Background()); err != nil || len(b) != 0 {
		t.Errorf("left: %+v, %v", b, err)
	}
}
