//go:build linux

package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestReadScene(t *testing.T) {
	t.Parallel()
	got, err := readScene([]byte(`{"latency_ms":{"last_delivery":{"p50":1,"p99":2,"max":3}},"deliveries":{"lost":4},
		"phases":[{"server_cpu_seconds":1,"maker_cpu_seconds":0.5}]}`))
	if want := (Scene{P50: 1, P99: 2, Max: 3, Lost: 4, Others: 1.5}); err != nil || got != want {
		t.Errorf("%+v %v", got, err)
	}
	for _, bad := range []string{"", "{}", `{"latency_ms":{"delivery":{"p50":1}}}`} {
		if _, err := readScene([]byte(bad)); err == nil {
			t.Errorf("%q is a report", bad)
		}
	}
}

func TestParseUsage(t *testing.T) {
	t.Parallel()
	text := "# TYPE dunlin_turns_total counter\ndunlin_turns_total 1.5e+06\nprocess_cpu_seconds_total 2.25\n"
	if u, err := parseUsage(text); err != nil || u != (usage{1.5e6, 2.25}) {
		t.Errorf("%+v %v", u, err)
	}
	for _, bad := range []string{"", "dunlin_turns_total 1\n", strings.Replace(text, "2.25", "x", 1)} {
		if _, err := parseUsage(bad); err == nil {
			t.Errorf("%q are metrics", bad)
		}
	}
}

// TestPrintScenes: ratios are of medians over the rounds, to the idle p50 of the
// same server, to the floor's p99 and to a turn.
func TestPrintScenes(t *testing.T) {
	t.Parallel()
	var all []Scene
	for round, by := range []float64{1, 3, 2} {
		all = append(all,
			Scene{Round: round, Server: "dunlin", Pace: idle, Disturbance: disturbances[0].name, P50: 2 * by, P99: 9},
			Scene{Round: round, Server: "limit", Pace: idle, Disturbance: disturbances[0].name, P50: 1 * by, P99: 9})
		for i, d := range disturbances {
			all = append(all,
				Scene{Round: round, Server: "dunlin", Pace: single, Rate: 59, Disturbance: d.name, P50: 5, P99: float64(4+2*i) * by},
				Scene{Round: round, Server: "limit", Pace: single, Rate: 59, Disturbance: d.name, P50: 5, P99: 5 * by},
				Scene{Round: round, Server: "dunlin", Pace: coalesced, Rate: 300, Disturbance: d.name, P50: 5, P99: 10 * by, Turn: 4, Others: 0.1 * by})
		}
	}
	var out strings.Builder
	if err := printScenes(&out, all); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	for i, want := range []string{
		"ms to the last of 1000 dunlin p50 p99 of idle p50 limit.c p50 p99 of idle p50 p99, dunlin of limit.c",
		"idle, 10 events a second 4.00 9.00 2.00 9.00",
		"half of what single events allow, 59 a second",
		"undisturbed 5.00 8.00 2.0 within 5.00 10.00 5.0 0.8",
		"1,000 connects a second 5.00 12.00 3.0 within 5.00 10.00 5.0 1.2",
		"500 joins a second, presence 5.00 16.00 4.0 over 5.00 10.00 5.0 1.6",
	} {
		if got := strings.Join(strings.Fields(lines[i]), " "); got != want {
			t.Errorf("line %d: %s, want %s", i, got, want)
		}
	}
	for _, want := range []string{"undisturbed 5.00 20.00 4.00 5.0", "Other programs used 0 to 30 % of the cores"} {
		if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

// TestDisturbancesFit: server and load makers stay below 20,000 open files, and
// every disturbance outlasts what it disturbs.
func TestDisturbancesFit(t *testing.T) {
	t.Parallel()
	const outlast = 10 // seconds: the load's connections come first
	for _, d := range disturbances {
		var connections, slow int
		var perSecond float64
		for _, f := range strings.Split(d.load, "--") {
			fmt.Sscanf(f, "connections %d", &connections)
			fmt.Sscanf(f, "slow-readers %d", &slow)
			fmt.Sscanf(f, "rate %g", &perSecond)
		}
		if connections+slow+audience > 19_000 || d.files > connections+slow {
			t.Errorf("%s: %d connections, %d files", d.name, connections, d.files)
		}
		if perSecond >= 500 && float64(connections)/perSecond < outlast {
			t.Errorf("%s is over after %v seconds", d.name, float64(connections)/perSecond)
		}
	}
}
