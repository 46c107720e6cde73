package ops

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"dunlin/metrics"
)

func get(t *testing.T, h http.Handler, method, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w.Code, w.Body.String()
}

func TestHealth(t *testing.T) {
	t.Parallel()
	var reason []string
	h := Handler(Options{Metrics: metrics.New(), Unready: func() []string { return reason }})
	for _, c := range []struct {
		method, path string
		reason       []string
		status       int
		body         string
	}{
		{"GET", "/live", nil, 200, "ok\n"},
		{"GET", "/ready", nil, 200, `{"ready":true}` + "\n"},
		{"HEAD", "/ready", nil, 200, `{"ready":true}` + "\n"},
		{"GET", "/ready", []string{"draining", `no "Redis"`}, 503, `{"ready":false,"reasons":["draining","no \"Redis\""]}` + "\n"},
		{"GET", "/live", []string{"draining"}, 200, "ok\n"},
		{"POST", "/live", nil, 405, "Method Not Allowed\n"},
		{"GET", "/", nil, 404, "404 page not found\n"},
	} {
		reason = c.reason
		if status, body := get(t, h, c.method, c.path); status != c.status || body != c.body {
			t.Errorf("%s %s (%v): got %d %q, want %d %q", c.method, c.path, c.reason, status, body, c.status, c.body)
		}
	}
	if status, _ := get(t, Handler(Options{Metrics: metrics.New()}), "GET", "/ready"); status != 200 {
		t.Errorf("without a reason to ask for: %d", status)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for want, memory := range map[string]func() (used, limit uint64){
		`{"memory":{"free":75,"used":25,"total":100,"percent":25}}`: func() (uint64, uint64) { return 25, 100 },
		`{"memory":{"free":0,"used":25,"total":0,"percent":0}}`:     func() (uint64, uint64) { return 25, 0 },
		`{"memory":{"free":0,"used":0,"total":0,"percent":0}}`:      nil,
	} {
		status, body := get(t, Handler(Options{Metrics: metrics.New(), Memory: memory}), "GET", "/usage")
		if status != 200 || body != want+"\n" {
			t.Errorf("got %d %s, want %s", status, body, want)
		}
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	set := metrics.New()
	set.Loop(1).Connections.Add(3)
	set.Shared().Drop(metrics.DropSlow)
	_, body := get(t, Handler(Options{Metrics: set, Version: "1.2.3"}), "GET", "/metrics")
	for _, line := range []string{"dunlin_connections 3", `dunlin_drops_total{reason="slow"} 1`, `dunlin_build_info{version="1.2.3"} 1`,
		"# TYPE go_goroutines gauge", "# TYPE process_open_fds gauge"} {
		if !strings.Contains(body, "\n"+line+"\n") {
			t.Errorf("no %s in\n%s", line, body)
		}
	}
}

func TestServer(t *testing.T) {
	t.Parallel()
	o := Options{Metrics: metrics.New(), Log: slog.New(slog.DiscardHandler)}
	s, err := Start("tcp4", "127.0.0.1:0", o)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Get("http://" + s.Addr().String() + "/live")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil || string(body) != "ok\n" {
		t.Errorf("got %q, %v", body, err)
	}
	if _, err := Start("tcp4", s.Addr().String(), o); err == nil || !strings.Contains(err.Error(), s.Addr().String()) {
		t.Errorf("a second server on the port: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := http.Get("http://" + s.Addr().String() + "/live"); err == nil {
		t.Error("it answers after Close")
	}
}
