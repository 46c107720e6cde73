package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"dunlin/internal/load"
	"dunlin/internal/testkit"
)

// benchConfig has no limits that a load runs into.
const benchConfig = `
server: {port: 0, drain: 0, compression: {enabled: true}}
ops: {port: 0}
apps:
  - {id: app-id, key: app-key, secret: app-secret, client_events: true, limits: {client_events_per_second: 0, presence_members: 0}}
`

// bench is a command line of dunlin bench against a server.
func bench(t *testing.T, s *testkit.Server, line string) *exec.Cmd {
	t.Helper()
	bin, err := testkit.Binary()
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"bench"}, strings.Fields(line)...)
	args = append(args, "--url", "http://"+s.Addr, "--secret", "env:BENCH_SECRET", "--json")
	cmd := exec.CommandContext(testkit.Context(t), bin, args...)
	cmd.Env = append(os.Environ(), "BENCH_SECRET="+testkit.Secret)
	return cmd
}

// measured runs a command and reads its report. While it runs, meanwhile is
// called, if there is one.
func measured(t *testing.T, cmd *exec.Cmd, meanwhile func()) (r load.Report, keys []string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if meanwhile != nil {
		meanwhile()
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var shape map[string]json.RawMessage
	if err := json.Unmarshal(stdout.Bytes(), &shape); err != nil {
		t.Fatalf("%v\n%s", err, stdout.String())
	}
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if stderr.Len() > 0 || strings.Contains(stdout.String(), testkit.Secret) {
		t.Errorf("printed %s%s", stderr.String(), stdout.String())
	}
	return r, slices.Sorted(maps.Keys(shape))
}

// always are the keys that every report has.
const always = "errors interrupted latency_from latency_ms notes options phases scenario server started"

// TestBench plays each scenario for a moment: nothing is lost, everything is
// counted.
func TestBench(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line  string
		keys  string // beside those of every report
		timed string // what latencies there are
		check func(t *testing.T, r load.Report)
	}{
		{"connect --connections 100 --channels 10 --per-connection 2 --hold 100ms", "connections", "connect", func(t *testing.T, r load.Report) {
			if r.Server.PerConnectionB == 0 {
				t.Errorf("memory: %+v", r.Server)
			}
		}},
		{"connect --connections 50 --channels 0 --rate 500 --hold 0", "connections", "connect", func(t *testing.T, r load.Report) {
			if r.LatencyFrom != "schedule" || r.Connections.PerSecond > 600 {
				t.Errorf("%s %+v", r.LatencyFrom, r.Connections)
			}
		}},
		{"fanout --connections 50 --events 100", "connections deliveries requests", "connect delivery last_delivery request", deliveries(100, 5000)},
		{"fanout --connections 50 --events 100 --publishers 8 --window 16 --size 2000", "connections deliveries requests",
			"connect delivery last_delivery request", deliveries(100, 5000)},
		{"fanout --connections 50 --events 100 --size 5000 --fill json --compress", "connections deliveries requests",
			"connect delivery last_delivery request", func(t *testing.T, r load.Report) {
				deliveries(100, 5000)(t, r)
				if d := r.Deliveries; d.BytesEach < 500 || d.BytesEach > 2500 || len(r.Notes) != 0 {
					t.Errorf("%+v %q", d, r.Notes)
				}
			}},
		{"fanout --connections 20 --rate 200 --duration 500ms --slow-readers 2", "connections deliveries requests",
			"connect delivery last_delivery request", deliveries(100, 2000)},
		{"channels --connections 60 --channels 20 --per-connection 2 --events 200", "connections deliveries requests",
			"connect delivery last_delivery request", deliveries(200, 1200)},
		{"client-events --connections 40 --group 4 --events 400", "client_event_deliveries client_events connections",
			"client_delivery connect", talked(400, 1200)},
		{"client-events --connections 40 --group 4 --rate 400 --duration 500ms", "client_event_deliveries client_events connections",
			"client_delivery connect", talked(200, 600)},
		{"presence --connections 60 --channels 3", "connections joins member_events", "connect join member_added", joined(60)},
		{"presence --connections 40 --channels 1 --rate 20", "connections joins member_events", "connect join member_added", paced(40)},
		{"trigger --events 300 --publishers 8", "requests", "request", func(t *testing.T, r load.Report) {
			if r.Requests.Accepted != 300 {
				t.Errorf("%+v", r.Requests)
			}
		}},
		{"mixed --connections 100 --channels 10 --duration 1s --rate 100 --client-rate 100 --churn 20",
			"client_event_deliveries client_events connections deliveries requests",
			"client_delivery connect delivery last_delivery request", func(t *testing.T, r load.Report) {
				deliveries(100, 600)(t, r)
				talked(100, 900)(t, r)
				if r.Connections.Reopened < 15 {
					t.Errorf("%+v", r.Connections)
				}
			}},
	} {
		t.Run(c.line, func(t *testing.T) {
			t.Parallel()
			s := testkit.Start(t, testkit.Options{Config: benchConfig})
			r, keys := measured(t, bench(t, s, c.line+fmt.Sprintf(" --pid %d", s.Pid())), nil)
			want := append(strings.Fields(always), strings.Fields(c.keys)...)
			if slices.Sort(want); !slices.Equal(keys, want) {
				t.Errorf("keys %q, want %q", keys, want)
			}
			timed := slices.Collect(maps.Keys(r.Latency))
			if r.Members != nil && r.Members.Expected == 0 {
				timed = append(timed, "member_added") // there was nothing to time
			}
			if slices.Sort(timed); strings.Join(timed, " ") != c.timed {
				t.Errorf("latencies of %q, want %s", timed, c.timed)
			}
			if n := r.Connections; n != nil && (n.Ready != n.Wanted || n.Failed != 0 || n.Lost != 0) {
				t.Errorf("%+v", n)
			}
			if len(r.Errors) != 0 || r.Interrupted || len(r.Phases) == 0 || r.Server.ResidentAfter == 0 {
				t.Errorf("%+v", r)
			}
			c.check(t, r)
		})
	}
}

// complete wants all to have come, once.
func complete(t *testing.T, d *load.Deliveries, n int64) {
	t.Helper()
	if d.Expected != n || d.Received != n || d.Lost != 0 || d.Repeated != 0 {
		t.Errorf("%+v, want %d", d, n)
	}
}

func deliveries(events, n int64) func(*testing.T, load.Report) {
	return func(t *testing.T, r load.Report) {
		complete(t, r.Deliveries, n)
		if r.Requests.Accepted != events || r.Latency["delivery"].Count != n || r.Latency["last_delivery"].Count != events {
			t.Errorf("%+v %+v", r.Requests, r.Latency)
		}
	}
}

func talked(events, n int64) func(*testing.T, load.Report) {
	return func(t *testing.T, r load.Report) {
		complete(t, r.FromClients, n)
		if r.Clients.Sent != events || r.Clients.Refused != 0 || r.Latency["client_delivery"].Count != n {
			t.Errorf("%+v %+v", r.Clients, r.Latency)
		}
	}
}

// joined wants n joins, and every member heard of. A storm that the server takes in
// one turn is told in the answers alone: then no member_added is due.
func joined(n int64) func(*testing.T, load.Report) {
	return func(t *testing.T, r load.Report) {
		complete(t, r.Members, r.Members.Expected)
		if r.Joins.Succeeded != n || r.Latency["join"].Count != n {
			t.Errorf("%+v %+v", r.Joins, r.Members)
		}
	}
}

// paced wants n joins far enough apart that member_added tells of some.
func paced(n int64) func(*testing.T, load.Report) {
	return func(t *testing.T, r load.Report) {
		joined(n)(t, r)
		if r.Members.Expected == 0 {
			t.Errorf("%+v %+v", r.Joins, r.Members)
		}
	}
}

// TestBenchStops ends a load with SIGINT: what was measured until then is printed.
func TestBenchStops(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, testkit.Options{Config: benchConfig})
	cmd := bench(t, s, "fanout --connections 30 --rate 100 --duration 1m")
	r, _ := measured(t, cmd, func() {
		testkit.Until(t, "events are delivered", func() bool { return s.Metric(`dunlin_messages_sent_total{kind="event"}`) > 300 })
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
	})
	if !r.Interrupted || r.Deliveries.Received == 0 || r.Deliveries.Lost != 0 {
		t.Errorf("%v %+v", r.Interrupted, r.Deliveries)
	}
}

// TestBenchFails: what cannot be measured is said in a line.
func TestBenchFails(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, testkit.Options{})
	for line, want := range map[string]string{
		"fanout --connections 5 --key off-key":     "no connection could be opened: error 4003: Application disabled",
		"fanout --connections 5 --key nobody":      "error 4001: App key nobody",
		"trigger --events 5 --app-id other":        "no request was accepted: http 404",
		"connect --connections 5 --source nowhere": "--source",
		"fanout --connections 5 --size 1":          "--size must be from",
	} {
		out, err := bench(t, s, line).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) || strings.Count(string(out), "\n") != 1 {
			t.Errorf("%s: %v\n%s", line, err, out)
		}
	}
}
