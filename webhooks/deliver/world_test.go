package deliver

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"dunlin/apps"
	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/webhooks"
	"dunlin/webhooks/memory"
)

// patience is how long anything that must happen may take.
const patience = 20 * time.Second

// post is one request as a receiver got it.
type post struct {
	header http.Header
	body   string
	events []string // "name channel user"
	at     time.Time
}

// receiver is a consumer's server. answer decides what it does with a request;
// nil: 200.
type receiver struct {
	*httptest.Server
	answer func(n int, w http.ResponseWriter, r *http.Request)

	mu    sync.Mutex
	posts []post
}

func newReceiver(t testing.TB, answer func(n int, w http.ResponseWriter, r *http.Request)) *receiver {
	t.Helper()
	r := &receiver{answer: answer}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(func() {
		r.CloseClientConnections()
		r.Close()
	})
	return r
}

func (r *receiver) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	p := post{header: req.Header.Clone(), body: string(body), at: time.Now()}
	var text struct {
		Events []struct {
			Name, Channel string
			User          string `json:"user_id"`
		}
	}
	if json.Unmarshal(body, &text) == nil {
		for _, e := range text.Events {
			p.events = append(p.events, strings.TrimSpace(e.Name+" "+e.Channel+" "+e.User))
		}
	}
	r.mu.Lock()
	r.posts = append(r.posts, p)
	n := len(r.posts)
	r.mu.Unlock()
	if r.answer != nil {
		r.answer(n, w, req)
	}
}

func (r *receiver) got() []post {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]post(nil), r.posts...)
}

// events lists what all requests told, in order.
func (r *receiver) events() (all []string) {
	for _, p := range r.got() {
		all = append(all, p.events...)
	}
	return all
}

// wait waits for so many requests.
func (r *receiver) wait(t testing.TB, n int) []post {
	t.Helper()
	until(t, fmt.Sprint(n, " requests"), func() bool { return len(r.got()) >= n })
	return r.got()
}

func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func status(code int) func(int, http.ResponseWriter, *http.Request) {
	return func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// logBuffer is a log that several goroutines write.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

const secretText = "hush-app-secret"

// world is a Deliverer on a memory queue with one app.
type world struct {
	t        testing.TB
	app      *apps.App
	registry *apps.Registry
	queue    *memory.Queue
	counters *metrics.Webhooks
	log      *logBuffer
	d        *Deliverer
	stopped  bool
}

// newWorld delivers to the endpoints, with waits of milliseconds.
func newWorld(t testing.TB, change func(*Options), hooks ...apps.Webhook) *world {
	t.Helper()
	w := &world{t: t, counters: metrics.NewWebhooks(), log: &logBuffer{}}
	w.app = &apps.App{ID: "1", Key: "app-key", Secrets: []*protocol.Secret{protocol.NewSecret(secretText)}, Enabled: true, Webhooks: hooks}
	w.registry = apps.NewRegistry(w.app)
	w.queue = memory.New(memory.Options{Counters: w.counters})
	o := Options{
		Queue: w.queue, Apps: w.registry, Counters: w.counters, Log: slog.New(slog.NewTextHandler(w.log, nil)),
		AllowPrivate: true, Agent: "dunlin/test",
		Retry:      Schedule{First: 4 * time.Millisecond, Most: 20 * time.Millisecond, GiveUp: patience},
		ProbeEvery: 20 * time.Millisecond,
	}
	if change != nil {
		change(&o)
	}
	w.d = Start(o)
	t.Cleanup(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		w.stop(ended)
		w.queue.Close()
		if strings.Contains(w.log.String(), "hush") {
			t.Errorf("a secret in the log:\n%s", w.log)
		}
	})
	return w
}

// stop stops the Deliverer, once.
func (w *world) stop(ctx context.Context) (left int) {
	if w.stopped {
		return 0
	}
	w.stopped = true
	return w.d.Stop(ctx)
}

// hook is an endpoint without batching.
func hook(url string, change func(*apps.Webhook)) apps.Webhook {
	w := apps.NewWebhook(url, 1)
	w.Batch = apps.Batch{Events: 1}
	if change != nil {
		change(&w)
	}
	return w
}

func (w *world) append(events ...webhooks.Event) {
	w.t.Helper()
	if err := w.queue.Append(context.Background(), events...); err != nil {
		w.t.Fatal(err)
	}
}

func occupied(channel string) webhooks.Event {
	return webhooks.Event{App: "1", Name: protocol.HookOccupied, Channel: channel, At: time.Now()}
}

func member(channel, user string) webhooks.Event {
	return webhooks.Event{App: "1", Name: protocol.HookMemberAdded, Channel: channel, User: user, At: time.Now()}
}

// settled waits until nothing is queued.
func (w *world) settled() {
	w.t.Helper()
	until(w.t, "an empty queue", func() bool { return w.backlog().Queued == 0 })
}

func (w *world) backlog() webhooks.Backlog {
	b, err := w.queue.Backlog(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	return b["1"]
}

func (w *world) dead() []webhooks.DeadLetter {
	list, err := w.queue.Dead(context.Background(), "", 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}
