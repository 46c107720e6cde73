//go:build linux

package main

import (
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		list []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{4, 1}, 2.5}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 3, 2, 1}, 2.5}} {
		if got := median(c.list); got != c.want {
			t.Errorf("%v: got %v, want %v", c.list, got, c.want)
		}
	}
}

// TestSums: ratios are of one round, and a round with a gap has none.
func TestSums(t *testing.T) {
	t.Parallel()
	ours := measured{server: "dunlin", load: "fanout --x", unit: "µs"}
	a, b := ours.on("limit"), measured{server: "bare", load: "trigger"}
	rows := []row{
		{name: "one floor", ours: ours, floor: []part{{1, a}}, budget: 1.5},
		{name: "two parts", ours: ours, floor: []part{{4, a}, {1, b}}},
		{name: "absolute", ours: ours, budget: 10},
	}
	list := []Measurement{
		{Round: 1, Key: "dunlin, fanout", Value: 10}, {Round: 1, Key: "limit, fanout", Value: 10}, {Round: 1, Key: "bare, trigger", Value: 60},
		{Round: 2, Key: "dunlin, fanout", Value: 30}, {Round: 2, Key: "limit, fanout", Value: 10},
		{Round: 3, Key: "dunlin, fanout", Value: 16}, {Round: 3, Key: "limit, fanout", Value: 10}, {Round: 3, Key: "bare, trigger", Value: 120},
	}
	got := sums(rows, list)
	for i, want := range []struct {
		value, floor float64
		ratios       int
		verdict      string
	}{{1.6, 10, 3, "over"}, {0.1, 130, 2, ""}, {16, 0, 0, "over"}} {
		g := got[i]
		if g.Value != want.value || g.Floor != want.floor || len(g.Ratios) != want.ratios || g.verdict() != want.verdict || g.Ours != 16 {
			t.Errorf("%s: %+v %q, want %+v", g.Name, g, g.verdict(), want)
		}
	}
	if s := sums(rows, nil)[0]; s.verdict() != "not measured" {
		t.Errorf("without a measurement: %q", s.verdict())
	}
	var out strings.Builder
	if err := printSums(&out, got, list); err != nil || !strings.Contains(out.String(), "over") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestNeeded(t *testing.T) {
	t.Parallel()
	keys := map[string]bool{}
	for _, m := range needed((&bench{}).rows()) {
		if keys[m.key()] {
			t.Errorf("%s is measured twice", m.key())
		}
		keys[m.key()] = true
	}
	if len(keys) != 12 || !keys["dunlin, connect 18,000"] || !keys["proto -coalesce, fanout by 16"] {
		t.Errorf("measured: %v", keys)
	}
	if rows := (&bench{only: "signed"}).rows(); len(rows) != 1 {
		t.Errorf("%d rows", len(rows))
	}
}

// TestProfiled: a load lasts as long as its profile takes, whatever it was bounded by.
func TestProfiled(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, r := range (&bench{}).rows() {
		p := r.profiled()
		if connects := strings.HasPrefix(p.load, "connect"); connects == strings.HasSuffix(p.load, "--duration 6s") {
			t.Errorf("%s: %s", r.name, p.load)
		}
		if heap := strings.HasPrefix(p.path, "heap"); heap != (r.ours.unit == "bytes") {
			t.Errorf("%s: %s", r.name, p.path)
		}
		names[fileName(r.name)] = true
	}
	if len(names) != len((&bench{}).rows()) || !names["fan-out-to-1-000-one-publisher"] {
		t.Errorf("files %v", names)
	}
}

func TestNoise(t *testing.T) {
	t.Parallel()
	busy := parseBusy("cpu  100 10 50 9000 900 5 5 30 7 7\ncpu0 1 1 1 1\n")
	if busy != 2*time.Second {
		t.Errorf("busy %v", busy)
	}
	if got := others(3*time.Second, 2, time.Second, 2); got != 0.5 {
		t.Errorf("others %v", got)
	}
	if got := others(time.Second, 2, time.Second, 2); got != 0 {
		t.Errorf("others %v", got)
	}
	if least, most := noise([]Measurement{{Others: 0.2}, {Others: 0.1}}); least != 0.1 || most != 0.2 {
		t.Errorf("%v to %v", least, most)
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	l := measured{server: "dunlin", load: "fanout", field: "cpu_us_per_delivery"}
	m, err := read(l, []byte(`{"connections":{"failed":2,"lost":1},"deliveries":{"lost":3},"server":{"cpu_us_per_delivery":1.5},
		"phases":[{"server_cpu_seconds":1,"maker_cpu_seconds":0.5},{"maker_cpu_seconds":0.25}]}`))
	if err != nil || m.Value != 1.5 || m.lost != 4 || m.failed != 2 || m.Others != 1.75 {
		t.Errorf("%+v %v", m, err)
	}
	for _, bad := range []string{"", "{}", `{"server":{"pid":1}}`} {
		if _, err := read(l, []byte(bad)); err == nil {
			t.Errorf("%q is a report", bad)
		}
	}
}
