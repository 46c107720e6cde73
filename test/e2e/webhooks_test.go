package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pusher/pusher-http-go/v5"

	"dunlin/internal/client"
	"dunlin/internal/testkit"
)

// consumer is a backend that checks webhooks with the official Go SDK. It answers
// 500 while it is down.
type consumer struct {
	*httptest.Server
	t    *testing.T
	down atomic.Bool

	mu     sync.Mutex
	events []string // "name channel …"
	ids    []string // of the events
	refuse []string // ids of events that were told while it was down
}

func newConsumer(t *testing.T) *consumer {
	c := &consumer{t: t}
	c.Server = httptest.NewServer(http.HandlerFunc(c.serve))
	t.Cleanup(c.Close)
	return c
}

func (c *consumer) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	sdk := pusher.Client{AppID: testkit.AppID, Key: testkit.Key, Secret: testkit.Secret}
	hook, err := sdk.Webhook(r.Header, body)
	if err != nil {
		c.t.Errorf("the SDK refuses %s: %v", body, err)
		return
	}
	ids := strings.Split(r.Header.Get("X-Dunlin-Event-Ids"), ",")
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down.Load() {
		c.refuse = append(c.refuse, ids...)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	c.ids = append(c.ids, ids...)
	for _, e := range hook.Events {
		c.events = append(c.events, strings.Join(strings.Fields(strings.Join([]string{e.Name, e.Channel, e.UserID, e.Event, e.Data}, " ")), " "))
	}
}

func (c *consumer) got() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.events)
}

// want waits until exactly this was told.
func (c *consumer) want(events ...string) {
	c.t.Helper()
	testkit.Until(c.t, fmt.Sprintf("%q", events), func() bool { return len(c.got()) >= len(events) })
	if got := c.got(); !slices.Equal(got, events) {
		c.t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(events, "\n"))
	}
}

// hookConfig is a server whose app tells one endpoint. settings are of webhooks,
// in flow style.
func hookConfig(url, settings string) string {
	return fmt.Sprintf(`
server: {port: 0, drain: 1s}
ops: {port: 0}
webhooks: {%s}
apps:
  - id: app-id
    key: app-key
    secret: app-secret
    client_events: true
    subscription_count_events: true
    webhooks: [{url: "%s/hook"}]
`, settings, url)
}

// subscribe subscribes and waits for the answer.
func subscribe(t *testing.T, s *testkit.Server, c *client.Conn, channel, data string) {
	t.Helper()
	a := client.Authorization{}
	if strings.HasPrefix(channel, "p") {
		a = s.API.Authorize(c.SocketID(), channel, data)
	}
	if err := c.Subscribe(testkit.Context(t), channel, a); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Await(testkit.Context(t), "pusher_internal:subscription_succeeded", channel); err != nil {
		t.Fatal(err)
	}
}

// PROTOCOL 6.7–6.15, 6.21, PITFALLS 21: the whole way, with the real delay
func TestWebhooks(t *testing.T) {
	t.Parallel()
	r := newConsumer(t)
	s := testkit.Start(t, testkit.Options{Config: hookConfig(r.URL, "path: "+filepath.Join(t.TempDir(), "kept.db"))})
	const presence, ann = "presence-room", `{"user_id":"ann"}`
	first := s.Dial()
	subscribe(t, s, first, presence, ann)
	if err := first.Trigger(testkit.Context(t), presence, "client-hi", map[string]int{"a": 1}); err != nil {
		t.Fatal(err)
	}
	r.want("channel_occupied presence-room", "member_added presence-room ann", `client_event presence-room ann client-hi {"a":1}`)
	subscribe(t, s, first, "cache-c", "")
	testkit.Until(t, "the cache channel", func() bool { return len(r.got()) == 6 })
	cached := r.got()[3:]
	slices.Sort(cached) // the answer of the cache and the count come in any order
	if !slices.Equal(cached, []string{"cache_miss cache-c", "channel_occupied cache-c", "subscription_count cache-c"}) {
		t.Errorf("told %q", cached)
	}
	first.Drop()
	second := s.Dial() // the page, loaded anew
	subscribe(t, s, second, presence, ann)
	testkit.Until(t, "the channel's end", func() bool { return len(r.got()) >= 8 })
	if err := second.Unsubscribe(testkit.Context(t), presence); err != nil {
		t.Fatal(err)
	}
	testkit.Until(t, "the member's end", func() bool { return len(r.got()) >= 10 })
	if got := r.got()[6:]; !slices.Equal(got, []string{"subscription_count cache-c", "channel_vacated cache-c", "member_removed presence-room ann", "channel_vacated presence-room"}) {
		t.Errorf("told %q", got)
	}
	if n := s.Metric(`dunlin_webhook_events_delivered_total{app="app-id"}`); n != 10 {
		t.Errorf("%v delivered by the metrics", n)
	}
}

// What was accepted before SIGTERM is delivered before the end, or kept for the
// next run: with both kinds of queue.
func TestWebhooksSurviveSIGTERM(t *testing.T) {
	t.Parallel()
	for _, queue := range []string{"memory", "spool"} {
		t.Run(queue, func(t *testing.T) {
			t.Parallel()
			r := newConsumer(t)
			config := hookConfig(r.URL, "queue: "+queue+", path: "+filepath.Join(t.TempDir(), "hooks.db"))
			s := testkit.Start(t, testkit.Options{Config: config})
			subscribe(t, s, s.Dial(), "private-room", "")
			r.want("channel_occupied private-room", "subscription_count private-room")
			r.down.Store(true)
			subscribe(t, s, s.Dial(), "private-other", "")
			testkit.Until(t, "a failure", func() bool { return s.Metric(`dunlin_webhook_attempts_total{app="app-id",outcome="status"}`) > 0 })
			stop(t, s)
			r.down.Store(false)
			s = testkit.Start(t, testkit.Options{Config: config})
			testkit.Until(t, "the rest", func() bool { return len(r.got()) >= 8 })
			got := r.got()[2:]
			slices.Sort(got)
			want := []string{"channel_occupied private-other", "channel_vacated private-other", "channel_vacated private-room",
				"subscription_count private-other", "subscription_count private-other", "subscription_count private-room"}
			if !slices.Equal(got, want) {
				t.Errorf("told %q, want %q", got, want)
			}
			if !slices.Contains(r.ids, r.refuse[0]) {
				t.Errorf("event %s came with another id", r.refuse[0])
			}
			subscribe(t, s, s.Dial(), "private-room", "")
			stop(t, s) // all of it is delivered by the end
			if got := r.got()[8:]; !slices.Equal(got, []string{"channel_occupied private-room", "subscription_count private-room", "subscription_count private-room", "channel_vacated private-room"}) {
				t.Errorf("at a stop: %q", got)
			}
		})
	}
}

func stop(t *testing.T, s *testkit.Server) {
	t.Helper()
	s.Signal(syscall.SIGTERM)
	if err := s.Wait(); err != nil {
		t.Errorf("exit: %v\n%s", err, s.Log())
	}
}

// Killed, a server with a spool loses nothing that it had accepted; and as nobody
// is connected then, it says so.
func TestWebhooksSurviveKill(t *testing.T) {
	t.Parallel()
	r := newConsumer(t)
	r.down.Store(true)
	config := hookConfig(r.URL, "queue: spool, path: "+filepath.Join(t.TempDir(), "hooks.db"))
	s := testkit.Start(t, testkit.Options{Config: config})
	c := s.Dial()
	const channels = 60
	for i := range channels {
		subscribe(t, s, c, fmt.Sprintf("presence-%02d", i), `{"user_id":"ann"}`)
	}
	testkit.Until(t, "all events in the queue", func() bool { return s.Metric(`dunlin_webhook_events_queued{app="app-id"}`) == 2*channels })
	s.Signal(syscall.SIGKILL)
	if err := s.Wait(); err == nil {
		t.Error("it ended in order")
	}
	r.down.Store(false)
	started := time.Now()
	testkit.Start(t, testkit.Options{Config: config})
	testkit.Until(t, "everything", func() bool { return len(r.got()) >= 4*channels })
	t.Logf("%d events, %v after the start", 4*channels, time.Since(started))
	seen := map[string]int{}
	for i, e := range r.got() {
		if _, again := seen[e]; again {
			t.Errorf("%s was told twice", e)
		}
		seen[e] = i
	}
	for i := range channels {
		room := fmt.Sprintf("presence-%02d", i)
		last := -1
		for _, e := range []string{"channel_occupied " + room, "member_added " + room + " ann", "member_removed " + room + " ann", "channel_vacated " + room} {
			at, ok := seen[e]
			if !ok || at < last {
				t.Errorf("%s: told %v, place %d after %d", e, ok, at, last)
			}
			last = at
		}
	}
}
