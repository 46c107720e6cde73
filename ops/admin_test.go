package ops

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/webhooks"
	"dunlin/webhooks/memory"
)

// call sends a request with a token, "" being none.
func call(h http.Handler, method, path, token, body string) (int, string) {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if token != "" {
		r.Header.Set("Authorization", token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// letters is a queue with three dead letters, of apps 1, 1 and 2.
func letters(t *testing.T) *memory.Queue {
	t.Helper()
	q := memory.New(memory.Options{})
	for _, id := range []string{"a1", "b1", "c2"} {
		e := webhooks.Event{ID: id, App: id[1:], Name: protocol.HookOccupied, Channel: "room", At: time.UnixMilli(0)}
		q.Bury(webhooks.DeadLetter{Event: e, Reason: "answered 500", Died: time.UnixMilli(1000)})
	}
	return q
}

func TestAdminIsGuarded(t *testing.T) {
	t.Parallel()
	o := Options{Metrics: metrics.New(), Webhooks: letters(t), Log: slog.New(slog.DiscardHandler)}
	off := Handler(o)
	o.AdminToken = protocol.NewSecret("hush")
	on := Handler(o)
	for _, c := range []struct {
		h      http.Handler
		token  string
		status int
	}{
		{off, "", 404}, {off, "Bearer ", 404}, {on, "", 401}, {on, "Bearer ", 401}, {on, "Bearer hus", 401}, {on, "Bearer hush2", 401},
		{on, "hush", 401}, {on, "Basic hush", 401}, {on, "Bearer hush", 200},
	} {
		for _, r := range [][2]string{{"GET", "/admin/webhooks/dead"}, {"POST", "/admin/webhooks/replay"}, {"GET", "/admin/pprof/heap"}} {
			status, body := call(c.h, r[0], r[1], c.token, `{"ids":["none"]}`)
			if status != c.status || strings.Contains(body, "hush") {
				t.Errorf("%s with %q: %d %s", r[1], c.token, status, body)
			}
		}
	}
	if status, _ := call(Handler(Options{Metrics: metrics.New(), AdminToken: o.AdminToken}), "GET", "/admin/webhooks/dead", "Bearer hush", ""); status != 404 {
		t.Errorf("without webhooks: %d", status)
	}
}

func TestProfiles(t *testing.T) {
	t.Parallel()
	h := Handler(Options{Metrics: metrics.New(), AdminToken: protocol.NewSecret("hush"), Log: slog.New(slog.DiscardHandler)})
	for name, want := range map[string]int{
		"profile?seconds=1": 200, "trace?seconds=0.01": 200, "heap": 200, "goroutine": 200, "nothing": 404,
	} {
		if status, body := call(h, "GET", "/admin/pprof/"+name, "Bearer hush", ""); status != want || body == "" {
			t.Errorf("%s: %d, %d bytes", name, status, len(body))
		}
	}
}

func TestDeadAndReplay(t *testing.T) {
	t.Parallel()
	q := letters(t)
	h := Handler(Options{Metrics: metrics.New(), Webhooks: q, AdminToken: protocol.NewSecret("hush"), Log: slog.New(slog.DiscardHandler)})
	dead := func(query string) (ids []string) {
		t.Helper()
		status, body := call(h, "GET", "/admin/webhooks/dead"+query, "Bearer hush", "")
		var list DeadLetters
		if err := json.Unmarshal([]byte(body), &list); err != nil || status != 200 {
			t.Fatalf("%d %s: %v", status, body, err)
		}
		for _, d := range list.Dead {
			ids = append(ids, d.ID)
		}
		return ids
	}
	for query, want := range map[string]string{"": "c2 b1 a1", "?app=1": "b1 a1", "?app=1&max=1": "b1", "?app=3": ""} {
		if got := strings.Join(dead(query), " "); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	for _, c := range []struct {
		body, want string
		status     int
	}{
		{`{"ids":[]}`, `{"replayed":0}`, 200}, {`null`, "the body must be", 400}, {`{"app":"1","ids":["c2","a1"]}`, `{"replayed":1}`, 200}, {`{"app":"1"}`, `{"replayed":1}`, 200}, {`{}`, `{"replayed":1}`, 200},
		{`{}`, `{"replayed":0}`, 200}, {``, "the body must be", 400}, {`{"id":"a1"}`, "the body must be", 400}, {`[`, "the body must be", 400},
	} {
		if status, body := call(h, "POST", "/admin/webhooks/replay", "Bearer hush", c.body); status != c.status || !strings.HasPrefix(body, c.want) {
			t.Errorf("%s: %d %s", c.body, status, body)
		}
	}
	if got := dead(""); len(got) != 0 {
		t.Errorf("left: %q", got)
	}
	for _, query := range []string{"?max=0", "?max=x", "?max=10001"} {
		if status, _ := call(h, "GET", "/admin/webhooks/dead"+query, "Bearer hush", ""); status != 400 {
			t.Errorf("%s: %d", query, status)
		}
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if status, body := call(h, "POST", "/admin/webhooks/replay", "Bearer hush", "{}"); status != 503 {
		t.Errorf("with a closed queue: %d %s", status, body)
	}
}

func TestWebhookMetrics(t *testing.T) {
	t.Parallel()
	q := letters(t)
	if err := q.Append(context.Background(), webhooks.Event{App: "3", At: time.UnixMilli(0)}); err != nil {
		t.Fatal(err)
	}
	c := metrics.NewWebhooks()
	c.Backlog = func() map[string]metrics.HookBacklog { return Backlog(q, time.UnixMilli(90_000)) }
	c.Attempt("1", metrics.AttemptDelivered, 7)
	c.Attempt("1", metrics.AttemptTimeout, 7)
	c.Drop("2", metrics.DropOldest, 4)
	c.Dead("2")
	_, body := get(t, Handler(Options{Metrics: metrics.New(), HookMetrics: c}), "GET", "/metrics")
	for _, line := range []string{
		`dunlin_webhook_attempts_total{app="1",outcome="delivered"} 1`, `dunlin_webhook_attempts_total{app="1",outcome="timeout"} 1`,
		`dunlin_webhook_attempts_total{app="1",outcome="network"} 0`, `dunlin_webhook_events_delivered_total{app="1"} 7`,
		`dunlin_webhook_dead_letters{app="1"} 2`, `dunlin_webhook_events_dead_total{app="2"} 1`,
		`dunlin_webhook_events_dropped_total{app="2",reason="queue_full"} 4`,
		`dunlin_webhook_events_queued{app="3"} 1`, `dunlin_webhook_oldest_seconds{app="3"} 90`, `dunlin_webhook_oldest_seconds{app="1"} 0`,
	} {
		if !strings.Contains(body, "\n"+line+"\n") {
			t.Errorf("no %s in\n%s", line, body)
		}
	}
}

// TestLogLevel: the level is shown and changed by those who have the token; a wrong
// token is counted.
func TestLogLevel(t *testing.T) {
	t.Parallel()
	level := &slog.LevelVar{}
	set := metrics.New()
	h := Handler(Options{Metrics: set, Level: level, AdminToken: protocol.NewSecret("hush"), Log: slog.New(slog.DiscardHandler)})
	for _, c := range []struct {
		method, token, body string
		status              int
		level               slog.Level
	}{
		{"GET", "Bearer hush", "", 200, slog.LevelInfo},
		{"PUT", "Bearer hush", `{"level":"debug"}`, 200, slog.LevelDebug},
		{"PUT", "Bearer wrong", `{"level":"error"}`, 401, slog.LevelDebug},
		{"PUT", "Bearer hush", `{"level":"loud"}`, 400, slog.LevelDebug},
		{"PUT", "Bearer hush", `{"levels":"info"}`, 400, slog.LevelDebug},
		{"PUT", "Bearer hush", `{"level":"WARN"}`, 200, slog.LevelWarn},
	} {
		status, body := call(h, c.method, "/admin/log", c.token, c.body)
		want := `{"level":"` + strings.ToLower(c.level.String()) + `"}` + "\n"
		if status != c.status || level.Level() != c.level || status == 200 && body != want {
			t.Errorf("%+v: %d %s, level %s", c, status, body, level.Level())
		}
	}
	if n := set.Refusals(metrics.RefusedAdmin); n != 1 {
		t.Errorf("%d wrong tokens are counted", n)
	}
}
