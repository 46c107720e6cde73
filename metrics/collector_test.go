package metrics

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestCollector counts in two blocks and expects the sums.
func TestCollector(t *testing.T) {
	t.Parallel()
	s := New()
	for i, l := range []*Loop{s.Loop(0), s.Shared()} {
		n := uint64(i + 1)
		l.Connections.Add(int64(n))
		l.Subscriptions.Add(int64(2 * n))
		for j, c := range []interface{ Add(uint64) uint64 }{
			&l.Accepted, &l.MessagesIn, &l.BytesIn, &l.FramesOut, &l.BytesOut, &l.Writes, &l.Turns,
		} {
			c.Add(uint64(j+10) * n)
		}
		l.Drop(DropSlow)
	}
	want := map[string]float64{
		"dunlin_connections": 3, "dunlin_subscriptions": 6,
		"dunlin_connections_accepted_total": 30, "dunlin_messages_received_total": 33, "dunlin_received_bytes_total": 36,
		"dunlin_messages_sent_total": 39, "dunlin_sent_bytes_total": 42, "dunlin_writes_total": 45, "dunlin_turns_total": 48,
		"dunlin_drops_total": 2,
	}
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(s)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		sum := 0.0
		for _, m := range f.GetMetric() {
			sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
		if w, ok := want[f.GetName()]; !ok || sum != w {
			t.Errorf("%s: got %v, want %v", f.GetName(), sum, w)
		}
		delete(want, f.GetName())
		if f.GetName() == "dunlin_drops_total" && len(f.GetMetric()) != int(dropCount) {
			t.Errorf("%d reasons for drops, want %d", len(f.GetMetric()), dropCount)
		}
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
}

// TestDropNames wants a name of its own for each reason.
func TestDropNames(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for d := range dropCount {
		if d.String() == "" || seen[d.String()] {
			t.Errorf("reason %d: %q", d, d)
		}
		seen[d.String()] = true
	}
}
