package metrics

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// gather returns what a pedantic registry has of these collectors: series, as
// Prometheus writes them, and their values. A histogram is its count.
func gather(t *testing.T, list ...prometheus.Collector) map[string]float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(list...)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			out[f.GetName()+labels(m)] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return out
}

func labels(m *dto.Metric) string {
	var pairs []string
	for _, l := range m.GetLabel() {
		pairs = append(pairs, l.GetName()+"="+l.GetValue())
	}
	if pairs == nil {
		return ""
	}
	return "{" + strings.Join(pairs, ",") + "}"
}

func expect(t *testing.T, got, want map[string]float64) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if v, ok := got[name]; !ok || v != want[name] {
			t.Errorf("%s: got %v (there: %v), want %v", name, v, ok, want[name])
		}
	}
}

// TestCollector counts in two blocks and expects the sums.
func TestCollector(t *testing.T) {
	t.Parallel()
	s := New()
	for i, l := range []*Loop{s.Loop(0), s.Shared()} {
		n := uint64(i + 1)
		l.Connections.Add(int64(n))
		l.Subscriptions.Add(int64(2 * n))
		l.Channels.Add(int64(3 * n))
		l.Accepted.Add(10 * n)
		l.BytesIn.Add(11 * n)
		l.BytesOut.Add(12 * n)
		l.Writes.Add(13 * n)
		l.Turns.Add(14 * n)
		l.Received[ReceivedSignin].Add(15*n, 16*n)
		l.Sent[3].Add(17*n, 18*n)
		l.Drop(DropSlow)
		l.Refuse(RefusedUserSign)
		l.Fanned(l.Now())
		l.Written()
		l.Written()
	}
	s.Route("GET /x").Answered(404, time.Millisecond)
	s.Route("GET /x").Answered(418, time.Millisecond)
	got := gather(t, s)
	expect(t, got, map[string]float64{
		"dunlin_connections": 3, "dunlin_subscriptions": 6, "dunlin_channels": 9,
		"dunlin_connections_accepted_total": 30, "dunlin_received_bytes_total": 33, "dunlin_sent_bytes_total": 36,
		"dunlin_writes_total": 39, "dunlin_turns_total": 42,
		"dunlin_messages_received_total{kind=signin}": 45, "dunlin_messages_received_bytes_total{kind=signin}": 48,
		"dunlin_messages_received_total{kind=ping}": 0,
		"dunlin_messages_sent_total{kind=event}":    51, "dunlin_messages_sent_bytes_total{kind=event}": 54,
		"dunlin_drops_total{reason=slow}": 2, "dunlin_drops_total{reason=panic}": 0,
		"dunlin_auth_failures_total{cause=signature,where=user}": 2, "dunlin_auth_failures_total{cause=app,where=api}": 0,
		"dunlin_event_write_seconds": 2, "dunlin_api_request_seconds{route=GET /x}": 2,
		"dunlin_api_requests_total{route=GET /x,status=404}": 1, "dunlin_api_requests_total{route=GET /x,status=other}": 1,
		"dunlin_api_requests_total{route=GET /x,status=200}": 0,
	})
}

// TestApps: only so many apps have figures of their own; what the others do is
// counted together, and an app keeps its label.
func TestApps(t *testing.T) {
	t.Parallel()
	s := New()
	s.NameApps(2, "a")
	for i, id := range []string{"a", "b", "c", "d", "a"} {
		app := s.App(i%3, id)
		app.Connections.Add(1)
		app.Opened.Add(1)
		app.Requests.Add(1, 100)
	}
	got := gather(t, s, NewSoketi(s, "soketi_", 6001))
	expect(t, got, map[string]float64{
		"dunlin_app_connections{app=a}": 2, "dunlin_app_connections{app=b}": 1, "dunlin_app_connections{app=(other)}": 2,
		"dunlin_app_channels{app=a}":           0,
		"soketi_connected{app_id=a,port=6001}": 2, "soketi_http_received_bytes{app_id=(other),port=6001}": 200,
		"soketi_new_disconnections_total{app_id=a,port=6001}": 0,
	})
	if _, ok := got["dunlin_app_connections{app=c}"]; ok {
		t.Error("a third app has a label")
	}
	if s.Label("b") != "b" || s.Label("z") != OtherApps {
		t.Errorf("labels %q, %q", s.Label("b"), s.Label("z"))
	}
	if s.App(1, "c") != s.App(1, "d") || s.App(1, "a") == s.App(2, "a") {
		t.Error("blocks of apps")
	}
}

// TestHistogram: a duration counts in the first bucket that it fits in, and in all
// behind it.
func TestHistogram(t *testing.T) {
	t.Parallel()
	h := &Histogram{}
	for _, d := range []time.Duration{-time.Second, 0, 50 * time.Microsecond, 51 * time.Microsecond, time.Second, time.Hour} {
		h.Observe(d)
	}
	var r reading
	r.add(h)
	r.add(&Histogram{})
	var m dto.Metric
	if err := r.metric(latencyDesc).Write(&m); err != nil {
		t.Fatal(err)
	}
	got := map[float64]uint64{}
	for _, b := range m.GetHistogram().GetBucket() {
		got[b.GetUpperBound()] = b.GetCumulativeCount()
	}
	for bound, want := range map[float64]uint64{50e-6: 3, 100e-6: 4, 0.5: 4, 1: 5, 5: 5} {
		if got[bound] != want {
			t.Errorf("up to %v s: %d, want %d", bound, got[bound], want)
		}
	}
	if n, sum := m.GetHistogram().GetSampleCount(), m.GetHistogram().GetSampleSum(); n != 6 || sum < 3601 || sum > 3601.1 {
		t.Errorf("%d observations of %v s", n, sum)
	}
}

// TestNames wants a name of its own for each reason, cause and kind.
func TestNames(t *testing.T) {
	t.Parallel()
	var names []string
	for d := range dropCount {
		names = append(names, "drop "+d.String())
	}
	for r := Refusal(1); r < refusalCount; r++ {
		names = append(names, "auth "+r.String())
	}
	for _, n := range receivedNames {
		names = append(names, "received "+n)
	}
	for _, n := range sentNames {
		names = append(names, "sent "+n)
	}
	seen := map[string]bool{}
	for _, n := range names {
		if strings.HasSuffix(n, " ") || seen[n] {
			t.Errorf("%q is empty, or there twice", n)
		}
		seen[n] = true
	}
}
