package webhooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dunlin/metrics"
	"dunlin/protocol"
)

// PROTOCOL 6.1, 6.9–6.18: the exact bytes of each type, and of a batch
func TestBody(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1327078148132)
	for _, c := range []struct {
		e    Event
		want string
	}{
		{Event{Name: protocol.HookOccupied, Channel: "my-channel"}, `{"name":"channel_occupied","channel":"my-channel"}`},
		{Event{Name: protocol.HookVacated, Channel: "c"}, `{"name":"channel_vacated","channel":"c"}`},
		{Event{Name: protocol.HookMemberAdded, Channel: "presence-c", User: "u\"1"}, `{"name":"member_added","channel":"presence-c","user_id":"u\"1"}`},
		{Event{Name: protocol.HookMemberRemoved, Channel: "presence-c", User: "10"}, `{"name":"member_removed","channel":"presence-c","user_id":"10"}`},
		{Event{Name: protocol.HookCacheMiss, Channel: "cache-c"}, `{"name":"cache_miss","channel":"cache-c"}`},
		{Event{Name: protocol.HookClientEvent, Channel: "presence-c", ClientEvent: "client-e", Data: `"{\"a\":1}"`, SocketID: "1.2", User: "u"},
			`{"name":"client_event","channel":"presence-c","event":"client-e","data":"{\"a\":1}","socket_id":"1.2","user_id":"u"}`},
		{Event{Name: protocol.HookClientEvent, Channel: "private-c", ClientEvent: "client-e", Data: `""`, SocketID: "1.2"},
			`{"name":"client_event","channel":"private-c","event":"client-e","data":"","socket_id":"1.2"}`},
		{Event{Name: protocol.HookCount, Channel: "c", Count: 3}, `{"name":"subscription_count","channel":"c","subscription_count":3}`},
		{Event{Name: protocol.HookCount, Channel: "c"}, `{"name":"subscription_count","channel":"c","subscription_count":0}`},
	} {
		c.e.ID, c.e.App, c.e.At, c.e.Only = "id-1", "app-1", at, []string{"x"}
		if got, want := string(Body([]Event{c.e})), `{"time_ms":1327078148132,"events":[`+c.want+`]}`; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	first := Event{Name: protocol.HookOccupied, Channel: "a", At: at.Add(-time.Second)}
	second := Event{Name: protocol.HookVacated, Channel: "a", At: at}
	want := `{"time_ms":1327078148132,"events":[{"name":"channel_occupied","channel":"a"},{"name":"channel_vacated","channel":"a"}]}`
	if got := string(Body([]Event{first, second})); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// PROTOCOL 6.3: both vectors, the second over a body made here
func TestVectors(t *testing.T) {
	t.Parallel()
	body := Body([]Event{{Name: protocol.HookOccupied, Channel: "my-channel", At: time.UnixMilli(1327078148132)}})
	for _, c := range []struct{ secret, body, want string }{
		{"thisisasecret", `{"hello":"world"}`, "40e0ad3b9aa49529322879e84de1aaaf18bde1efe839ca263d540cc865510d25"},
		{"7ad3773142a6692b25b8", string(body), "c19001ae3963ccb13bf618e5b16ba9848e7e74df0993aa0689168e341c6833cf"},
	} {
		if got := protocol.NewSecret(c.secret).Sign([]byte(c.body)); got != c.want {
			t.Errorf("%s: got %s, want %s", c.body, got, c.want)
		}
	}
}

func TestEventsSurviveJSON(t *testing.T) {
	t.Parallel()
	for _, name := range protocol.HookNames() {
		kind, ok := protocol.HookTypeOf(name)
		text, err := json.Marshal(Event{Name: kind})
		var back Event
		if err == nil {
			err = json.Unmarshal(text, &back)
		}
		if !ok || err != nil || back.Name != kind || kind.String() != name || protocol.AllHooks&kind == 0 {
			t.Errorf("%s: %v, %s", name, err, text)
		}
	}
	if err := json.Unmarshal([]byte(`{"name":"other"}`), &Event{}); err == nil {
		t.Error("an unknown type is read")
	}
}

// slowQueue refuses events for a while, and notes what it is given.
type slowQueue struct {
	Queue
	mu       sync.Mutex
	refusals int
	got      []string
	calls    int
}

func (q *slowQueue) Append(_ context.Context, list ...Event) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.calls++
	if q.refusals != 0 {
		q.refusals--
		return errors.New("not now")
	}
	for _, e := range list {
		q.got = append(q.got, e.Channel)
	}
	return nil
}

func outbox(q Queue, c *metrics.Webhooks, bytes int) *Outbox {
	return NewOutbox(OutboxOptions{Queue: q, Counters: c, Log: slog.New(slog.DiscardHandler), MaxBytes: bytes})
}

func TestOutboxKeepsOrder(t *testing.T) {
	t.Parallel()
	q := &slowQueue{refusals: 2}
	b := outbox(q, nil, 0)
	var want []string
	for i := range 3000 {
		want = append(want, fmt.Sprint(i))
		b.Post(Event{App: "1", Channel: fmt.Sprint(i)})
	}
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(q.got, want) || q.calls > 3000 {
		t.Errorf("%d events in %d calls", len(q.got), q.calls)
	}
	if b.bytes != 0 {
		t.Errorf("%d bytes of nothing", b.bytes)
	}
}

func TestOutboxIsBounded(t *testing.T) {
	t.Parallel()
	c := metrics.NewWebhooks()
	q := &slowQueue{refusals: -1} // for ever
	small := Event{App: "1", Channel: strings.Repeat("x", 10)}
	b := outbox(q, c, 3*small.Size())
	for range 5 {
		b.Post(small)
	}
	if n := c.Dropped("1", metrics.DropHandOff); n != 2 {
		t.Errorf("%d dropped, want 2", n)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Close(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("Close: %v", err)
	}
	b.Post(small)
	if n, m := c.Dropped("1", metrics.DropStopped), c.Dropped("1", metrics.DropHandOff); n != 3 || m != 3 {
		t.Errorf("%d lost at the end, %d without room; want 3, 3", n, m)
	}
}

func TestNoOutbox(t *testing.T) {
	t.Parallel()
	var b *Outbox
	b.Post(Event{})
}
