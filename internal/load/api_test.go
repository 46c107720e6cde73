package load

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"dunlin/protocol"
)

// backend answers triggers by a function of how many came before.
func backend(t *testing.T, answer func(n int64, w http.ResponseWriter, body string)) Options {
	t.Helper()
	var n atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		answer(n.Add(1)-1, w, string(body))
	}))
	t.Cleanup(s.Close)
	o := Defaults(Trigger)
	o.URL, o.Secret = s.URL, protocol.NewSecret("secret")
	return o
}

// TestCoordinatedOmission stalls a server once for 300 ms while it gets a request
// every 5 ms. Those that were due meanwhile waited too: with a schedule that
// shows, though only one request was ever slow.
func TestCoordinatedOmission(t *testing.T) {
	t.Parallel()
	const stall = 300 * time.Millisecond
	o := backend(t, func(n int64, w http.ResponseWriter, _ string) {
		if n%200 == 20 { // once in each of the two runs
			<-time.After(stall)
		}
	})
	o.Publishers, o.Events = 1, 200
	closed, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	o.Rate = 200
	open, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	// In the closed loop one of 200 is late: p90 is that of a quiet server. On
	// schedule 60 of 200 were due during the stall, and wait for 150 ms on average.
	c, s := closed.Latency[timeRequest], open.Latency[timeRequest]
	if c.Max < 300 || c.P90 > 100 || closed.LatencyFrom != "send" {
		t.Errorf("closed loop: %+v", c)
	}
	if s.Max < 300 || s.P90 < 150 || open.LatencyFrom != "schedule" {
		t.Errorf("on schedule: %+v", s)
	}
	if open.Requests.Accepted != 200 || s.Count != 200 {
		t.Errorf("on schedule: %+v", open.Requests)
	}
}

// TestRequestsAreSigned checks one request as a server would.
func TestRequestsAreSigned(t *testing.T) {
	t.Parallel()
	type seen struct {
		path, query, body string
	}
	got := make(chan seen, 10)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- seen{r.URL.EscapedPath(), r.URL.RawQuery, string(body)}
	}))
	defer s.Close()
	o := Defaults(Trigger)
	o.URL, o.Secret, o.Key, o.Events, o.Channels, o.Size = s.URL+"/ws", protocol.NewSecret("secret"), "k+1", 1, 1, 100
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	r := <-got
	unsigned, signature, _ := strings.Cut(r.query, "&auth_signature=")
	raw, err := url.QueryUnescape(unsigned)
	if err != nil || r.path != "/ws/apps/app-id/events" || !strings.HasPrefix(raw, "auth_key=k+1&auth_timestamp=") {
		t.Errorf("%+v %v", r, err)
	}
	if want := o.Secret.Sign([]byte("POST\n" + r.path + "\n" + raw)); signature != want {
		t.Errorf("signature %s, want %s of %s", signature, want, raw)
	}
	if data := gjson.Get(r.body, "data").Str; len(data) != 100 || gjson.Get(r.body, "channel").Str != "bench-quiet-0" {
		t.Errorf("body %s", r.body)
	}
}

// TestRefusedRequests counts by status, with the first answer's text.
func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	o := backend(t, func(n int64, w http.ResponseWriter, _ string) {
		if n%4 == 3 {
			http.Error(w, "The data is too large", http.StatusRequestEntityTooLarge)
		}
	})
	o.Events = 100
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	want := Failure{"http 413", 25, "The data is too large"}
	if len(r.Errors) != 1 || r.Errors[0] != want || r.Requests.Accepted != 75 || r.Requests.Refused != 25 {
		t.Errorf("%+v %+v", r.Errors, r.Requests)
	}
	o = backend(t, func(_ int64, w http.ResponseWriter, _ string) {
		http.Error(w, "Unknown auth_key", http.StatusUnauthorized)
	})
	o.Events = 10
	if r, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "http 401: Unknown auth_key") {
		t.Errorf("%+v %v", r, err)
	}
}

// TestInterrupted ends a load in the middle, while one request hangs.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	ctx, end := context.WithCancel(t.Context())
	release := make(chan struct{})
	o := backend(t, func(n int64, _ http.ResponseWriter, _ string) {
		if n == 50 {
			end()
			<-release
		}
	})
	t.Cleanup(func() { close(release) })
	o.Publishers = 4
	r, err := Run(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Interrupted || r.Requests.Accepted < 40 || r.Requests.Sent >= int64(o.Events) {
		t.Errorf("%+v", r.Requests)
	}
}

// TestDurationEnds bounds a load in time.
func TestDurationEnds(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{0, 100} {
		o := backend(t, func(int64, http.ResponseWriter, string) {})
		o.Duration, o.Rate = 200*time.Millisecond, rate
		shown := make(chan Progress, 1000)
		o.Progress = func(p Progress) { shown <- p }
		r, err := Run(t.Context(), o)
		if err != nil || r.Interrupted || rate > 0 && r.Requests.Sent != 20 || r.Phases[0].Seconds < 0.18 {
			t.Errorf("%v a second: %+v %v", rate, r, err)
		}
		if p := <-shown; p.Phase != "publishing" || p.What != "requests" || p.Share <= 0 || p.Share > 1 {
			t.Errorf("%+v", p)
		}
	}
}

func TestUnknownScenario(t *testing.T) {
	t.Parallel()
	if _, err := Run(t.Context(), Options{Scenario: "x"}); err == nil || !strings.Contains(err.Error(), "client-events") {
		t.Error(err)
	}
	o := Defaults(Trigger)
	o.Secret, o.PID = protocol.NewSecret("s"), 1<<30
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "--pid") {
		t.Error(err)
	}
}
