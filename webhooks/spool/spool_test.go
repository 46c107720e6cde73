package spool

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/webhooks"
	"dunlin/webhooks/contract"
)

func open(t testing.TB, path string, o Options) *Queue {
	t.Helper()
	q, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

func TestContract(t *testing.T) {
	t.Parallel()
	contract.Run(t, func(t *testing.T) webhooks.Queue {
		return open(t, filepath.Join(t.TempDir(), "new", "spool.db"), Options{})
	})
}

func event(name protocol.HookType, channel, user string) webhooks.Event {
	return webhooks.Event{App: "1", Name: name, Channel: channel, User: user, At: time.Now()}
}

func occupied(channel string) webhooks.Event { return event(protocol.HookOccupied, channel, "") }

func appendTo(t testing.TB, q *Queue, list ...webhooks.Event) {
	t.Helper()
	if err := q.Append(context.Background(), list...); err != nil {
		t.Fatal(err)
	}
}

// take takes what there is.
func take(t testing.TB, q *Queue, max int) []webhooks.Event {
	t.Helper()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	list, err := q.Take(ended, max)
	if err != nil && err != context.Canceled {
		t.Fatal(err)
	}
	return list
}

func settle(t testing.TB, q *Queue, outcomes ...webhooks.Outcome) {
	t.Helper()
	if err := q.Settle(context.Background(), outcomes...); err != nil {
		t.Fatal(err)
	}
}

// told is what a list of events says, in short.
func told(list []webhooks.Event) (out []string) {
	for _, e := range list {
		out = append(out, strings.TrimSpace(fmt.Sprint(e.Name, " ", e.Channel, " ", e.User)))
	}
	return out
}

func TestWhatIsNotSettledComesBack(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "spool.db")
	q := open(t, path, Options{})
	appendTo(t, q, occupied("a"), occupied("b"), occupied("c"), occupied("d"))
	list := take(t, q, 3)
	settle(t, q, webhooks.Outcome{ID: list[0].ID}, webhooks.Outcome{ID: list[1].ID, Reason: "x", Endpoints: []string{"e"}})
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	q = open(t, path, Options{})
	again := take(t, q, 9)
	if got := told(again); !slices.Equal(got, []string{"channel_occupied c", "channel_occupied d"}) || again[0].ID != list[2].ID {
		t.Errorf("got %q", got)
	}
	if b, err := q.Backlog(context.Background()); err != nil || b["1"].Queued != 2 || b["1"].Dead != 1 {
		t.Errorf("backlog %+v, %v", b, err)
	}
	if n, err := q.Replay(context.Background(), "1"); n != 1 || err != nil {
		t.Errorf("Replay = %d, %v", n, err)
	}
	if got := take(t, q, 9); len(got) != 1 || got[0].ID != list[1].ID || !slices.Equal(got[0].Only, []string{"e"}) {
		t.Errorf("replayed: %+v", got)
	}
}

// What is left out because it is there already is not in the file either.
func TestTheSameIDTwice(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "spool.db")
	q := open(t, path, Options{})
	e := occupied("a")
	e.ID = "x"
	appendTo(t, q, e, e)
	settle(t, q, webhooks.Outcome{ID: "x", Reason: "gone"})
	appendTo(t, q, e)
	if _, err := q.Replay(context.Background(), ""); err != nil {
		t.Fatal(err)
	}
	settle(t, q, webhooks.Outcome{ID: "x"})
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if left := take(t, open(t, path, Options{}), 9); len(left) != 0 {
		t.Errorf("%v are left", told(left))
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "spool.db")
	c := metrics.NewWebhooks()
	q := open(t, path, Options{MaxEvents: 3, MaxDead: 2, Counters: c})
	for i := range 5 {
		appendTo(t, q, occupied(fmt.Sprint(i)))
	}
	if c.Dropped("1", metrics.DropOldest) != 2 {
		t.Errorf("dropped %d", c.Dropped("1", metrics.DropOldest))
	}
	for _, e := range take(t, q, 9) {
		settle(t, q, webhooks.Outcome{ID: e.ID, Reason: "x"})
	}
	if err := q.Bury(webhooks.DeadLetter{Event: occupied("other"), Reason: "y"}); err != nil {
		t.Fatal(err)
	}
	list, err := q.Dead(context.Background(), "", 9)
	if err != nil || len(list) != 2 || list[0].Channel != "other" || list[1].Channel != "4" || c.Dropped("1", metrics.DropLetters) != 2 {
		t.Errorf("letters %v, %v", list, err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if b, _ := open(t, path, Options{}).Backlog(context.Background()); b["1"] != (webhooks.Backlog{Dead: 2}) {
		t.Errorf("in the file: %+v", b)
	}
}

// After a crash the file tells who was there, until it is told that they are gone
// (PROTOCOL 6.21: members before their channel).
func TestThere(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "spool.db")
	q := open(t, path, Options{Presence: true})
	appendTo(t, q, occupied("presence-a"), event(protocol.HookMemberAdded, "presence-a", "ann"), event(protocol.HookMemberAdded, "presence-a", "bob"),
		occupied("b"), event(protocol.HookMemberRemoved, "presence-a", "bob"), event(protocol.HookVacated, "b", ""), occupied("c"),
		occupied(strings.Repeat("long", 20_000)), event(protocol.HookClientEvent, "c", "ann"))
	for _, e := range take(t, q, 99) {
		settle(t, q, webhooks.Outcome{ID: e.ID})
	}
	for _, want := range [][]string{{"member_removed presence-a ann", "channel_vacated c", "channel_vacated presence-a"}, nil} {
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		q = open(t, path, Options{Presence: true})
		list, err := q.There()
		if got := told(list); err != nil || !slices.Equal(got, want) {
			t.Errorf("there are %q, want %q: %v", got, want, err)
		}
		appendTo(t, q, list...)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "spool.db")
	open(t, path, Options{})
	if _, err := Open(path, Options{}); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("a second Open: %v", err)
	}
}

// BenchmarkAppend writes batches as an outbox does; each is on the disk before
// the next begins.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			q := open(b, filepath.Join(b.TempDir(), "spool.db"), Options{})
			batch := make([]webhooks.Event, n)
			for i := range batch {
				batch[i] = event(protocol.HookMemberAdded, "presence-room", fmt.Sprint("user-", i))
			}
			for b.Loop() {
				appendTo(b, q, batch...)
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkOpen100k is the time until 100,000 events that were left can be taken.
func BenchmarkOpen100k(b *testing.B) {
	path := filepath.Join(b.TempDir(), "spool.db")
	q := open(b, path, Options{})
	for i := range 100 {
		batch := make([]webhooks.Event, 1000)
		for j := range batch {
			batch[j] = event(protocol.HookMemberAdded, fmt.Sprint("presence-room-", i), fmt.Sprint("user-", j))
		}
		appendTo(b, q, batch...)
	}
	if err := q.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		q := open(b, path, Options{})
		if len(take(b, q, 100)) != 100 {
			b.Fatal("nothing there")
		}
		if err := q.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
