package tracing_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"

	"dunlin/internal/client"
	"dunlin/internal/testkit"
)

func TestMain(m *testing.M) {
	code := m.Run()
	testkit.RemoveBinary()
	os.Exit(code)
}

// withHeader adds a header to every request.
type withHeader struct{ name, value string }

func (h withHeader) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set(h.name, h.value)
	return http.DefaultTransport.RoundTrip(r)
}

// TestNode follows a trigger and a client event through the real binary: the
// request or message, its fan-out, the webhook that tells of it, each inside the one
// before, and the endpoint hears of the trace.
func TestNode(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	var heard atomic.Value
	hooks := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { heard.Store(req.Header.Get("Traceparent")) }))
	t.Cleanup(hooks.Close)
	s := testkit.Start(t, testkit.Options{Config: fmt.Sprintf(`
server: {port: 0, drain: 1s}
ops: {port: 0}
tracing: {endpoint: "%s", one_in: 1}
webhooks: {path: %s}
apps: [{id: app-id, key: app-key, secret: app-secret, client_events: true, webhooks: [{url: "%s", event_types: [client_event]}]}]
`, r.URL, filepath.Join(t.TempDir(), "kept.db"), hooks.URL)})
	ctx, c := testkit.Context(t), s.Dial()
	if err := c.Subscribe(ctx, "private-room", s.API.Authorize(c.SocketID(), "private-room", "")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Await(ctx, "pusher_internal:subscription_succeeded", "private-room"); err != nil {
		t.Fatal(err)
	}
	s.API.HTTPClient = &http.Client{Transport: withHeader{"traceparent", given}}
	if _, err := s.API.Trigger(ctx, client.Publication{Name: "news", Channel: "private-room", Data: "1"}); err != nil {
		t.Fatal(err)
	}
	if err := c.Trigger(ctx, "private-room", "client-hi", 1); err != nil {
		t.Fatal(err)
	}
	var request, message, hook *otlp.Span
	fans := map[string]*otlp.Span{} // by what they are part of
	testkit.Until(t, "all spans", func() bool {
		for _, f := range r.named("fan-out") {
			fans[parent(f)] = f
		}
		for name, at := range map[string]**otlp.Span{"POST /apps/{app}/events": &request, "client event": &message, "webhook": &hook} {
			if list := r.named(name); len(list) == 1 {
				*at = list[0]
			}
		}
		return request != nil && message != nil && hook != nil && len(fans) == 2
	})
	if trace(request) != given[3:35] || parent(request) != given[36:52] || attribute(request, "http.response.status_code") != int64(200) {
		t.Errorf("request: %v", request)
	}
	for _, span := range []*otlp.Span{request, message} {
		f := fans[id(span)]
		if f == nil || trace(f) != trace(span) || attribute(f, "dunlin.channel") != "private-room" || attribute(f, "dunlin.subscribers") != int64(1) ||
			f.StartTimeUnixNano < span.StartTimeUnixNano || f.EndTimeUnixNano < f.StartTimeUnixNano {
			t.Errorf("fan-out of %v:\n%v", span, f)
		}
	}
	if parent(hook) != id(message) || trace(hook) != trace(message) || attribute(hook, "dunlin.outcome") != "delivered" {
		t.Errorf("webhook: %v", hook)
	}
	if want := "00-" + trace(hook) + "-" + id(hook) + "-01"; heard.Load() != want {
		t.Errorf("the endpoint heard of %q, want %q", heard.Load(), want)
	}
	if name, instance := r.says("service.name"), r.says("service.instance.id"); name != "dunlin" || instance == "" {
		t.Errorf("service %q, instance %q", name, instance)
	}
	// A node counts spans when the collector has answered, which is after it has them.
	testkit.Until(t, "five spans are counted", func() bool { return s.Metric(`dunlin_trace_spans_total{outcome="sent"}`) >= 5 })
}
