package load

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"dunlin/protocol"
)

func TestSchedule(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rate float64
		k    int64
		want int64
	}{
		{0, 0, 100}, {0, 1000, 100}, {1000, 0, 100}, {1000, 1, 1_000_100}, {3, 1, 333_333_433}, {3, 3, 1_000_000_100},
		{0.5, 2, 4_000_000_100}, {50, 1_000_000, 20_000_000_000_100},
	} {
		if got := (schedule{100, c.rate}).due(c.k); got != c.want {
			t.Errorf("%v a second, %d: due at %d, want %d", c.rate, c.k, got, c.want)
		}
	}
	if (schedule{}).paced() || !(schedule{rate: 1}).paced() {
		t.Error("a schedule is paced when it has a rate")
	}
}

func TestSleep(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{-time.Second, 0, 300 * time.Microsecond, 3 * time.Millisecond} {
		began := time.Now()
		if !sleep(t.Context(), d) || time.Since(began) < d {
			t.Errorf("slept %v of %v", time.Since(began), d)
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if sleep(ended, time.Hour) || sleep(ended, 0) {
		t.Error("slept on after the end")
	}
}

func TestPercentiles(t *testing.T) {
	t.Parallel()
	l := newLatency()
	for ms := range 1000 {
		l.record(int64(ms+1) * int64(time.Millisecond))
	}
	l.record(-5)                    // a clock that was off: the shortest
	l.record(int64(24 * time.Hour)) // beyond: the longest
	p := l.percentiles()
	for _, c := range []struct {
		what      string
		got, want float64
	}{
		{"count", float64(p.Count), 1002}, {"min", p.Min, 0.001}, {"p50", p.P50, 500}, {"p90", p.P90, 901},
		{"p99", p.P99, 991}, {"p99.9", p.P999, 1000}, {"max", p.Max, 600_000},
	} {
		if c.got < c.want*0.998 || c.got > c.want*1.002 {
			t.Errorf("%s is %v, want %v", c.what, c.got, c.want)
		}
	}
}

func TestMark(t *testing.T) {
	t.Parallel()
	m, other := newMark(0xABCDEF12), newMark(7)
	for _, n := range []int{0, 7, maxEvents} {
		text := m.append([]byte(`{"data":"`), n)
		if len(text) != len(`{"data":"`)+markSize {
			t.Errorf("%s is not %d bytes", text, markSize)
		}
		got, ok := m.find(append(text, "xx"...))
		if !ok || got != n {
			t.Errorf("%s: found %d, %v", text, got, ok)
		}
		if _, ok := other.find(text); ok {
			t.Errorf("%s was taken for an event of another run", text)
		}
	}
	for _, text := range []string{"", "~", "~cdef12:12345", "~cdef12:12345x7890", `{"event":"x","data":"{}"}`} {
		if n, ok := m.find([]byte(text)); ok {
			t.Errorf("%q: found %d", text, n)
		}
	}
	for _, fill := range []string{FillX, FillJSON} {
		for _, size := range []int{0, 3, markSize, 100, 10_000} {
			data := gjson.Parse(`"` + padding(fill, size) + `"`).String()
			if len(data) != max(size-markSize, 0) {
				t.Errorf("padding with %s to %d: %d bytes", fill, size, len(data))
			}
		}
	}
}

func TestTracker(t *testing.T) {
	t.Parallel()
	track := newTracker(4, newLatency(), newLatency())
	for n := range 4 {
		track.begin(n, int64(n)*1000, 2)
	}
	if got := track.refuse(3); got != 2 || track.missing() != 6 {
		t.Errorf("refused %d, missing %d", got, track.missing())
	}
	for _, n := range []int{0, 0, 1, 2, 2, 2, 3, 99} { // 1 loses one, 2 is repeated, 3 was refused, 99 is not ours
		track.deliver(n, int64(n)*1000+5_000_000)
	}
	want := Deliveries{Expected: 6, Received: 5, Lost: 1, Repeated: 1}
	if got := track.sum(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if each, last := track.each.percentiles(), track.last.percentiles(); each.Count != 7 || last.Count != 2 || last.Max < 4.99 || last.Max > 5.01 {
		t.Errorf("each %+v, last %+v", each, last)
	}
}

// TestGate lets two windows of ten through and holds the third.
func TestGate(t *testing.T) {
	t.Parallel()
	g := newGate(10)
	through := make(chan bool)
	go func() {
		for range 3 {
			through <- g.enter(10)
		}
		through <- g.enter(10)
	}()
	for range 2 {
		if !<-through {
			t.Fatal("closed")
		}
	}
	select {
	case <-through:
		t.Fatal("a third went through")
	case <-time.After(20 * time.Millisecond):
	}
	g.leave(10)
	if !<-through {
		t.Error("no room after leaving")
	}
	g.close()
	if <-through {
		t.Error("a closed gate let somebody in")
	}
	if open := newGate(-1); !open.enter(1<<40) || !open.enter(1) {
		t.Error("a gate without a limit holds somebody")
	}
}

func TestPatience(t *testing.T) {
	t.Parallel()
	p := patience{limit: 10}
	for i, c := range []struct {
		now, moved int64
		awaited    bool
		want       bool
	}{{5, 0, true, true}, {10, 0, true, true}, {11, 0, true, false}, {12, 1, true, true}, {22, 1, true, true}, {30, 1, false, true}, {31, 1, true, false}} {
		if got := p.lasts(c.now, c.moved, c.awaited); got != c.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
}

func TestTally(t *testing.T) {
	t.Parallel()
	var l tally
	if l.worst() != "" {
		t.Error("something is wrong with nothing")
	}
	l.add("close 4100", "Over capacity")
	l.add("http 413", strings.Repeat("x", 1000))
	l.add("http 413", "another")
	got := l.list()
	if len(got) != 2 || got[0].Kind != "http 413" || got[0].Count != 2 || len(got[0].Text) != maxText || got[1].Text != "Over capacity" {
		t.Errorf("got %+v", got)
	}
	if !strings.HasPrefix(l.worst(), "http 413: xx") {
		t.Error(l.worst())
	}
}

func TestProcess(t *testing.T) {
	t.Parallel()
	stat := "4242 (a) b (c) S 1 4242 4242 0 -1 4194304 1000 0 0 0 123 45 7 8 20 0 9 0 100 0 0 18446744073709551615\n"
	if got, err := parseCPU([]byte(stat)); err != nil || got != 1680*time.Millisecond {
		t.Errorf("CPU %v, %v", got, err)
	}
	for _, bad := range []string{"", "1 (x) S 1 2 3", "1 (x) S 1 1 1 1 1 1 1 1 1 1 u s 0"} {
		if got, err := parseCPU([]byte(bad)); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
	if got, err := parseResident([]byte("Name:\tx\nVmHWM:\t 900 kB\nVmRSS:\t    812 kB\nThreads:\t1\n")); err != nil || got != 812<<10 {
		t.Errorf("memory %d, %v", got, err)
	}
	for _, bad := range []string{"", "Name:\tx\nState:\tZ (zombie)\n", "\nVmRSS:\n", "\nVmRSS:\t12", "\nVmRSS:\tx kB\n"} {
		if got, err := parseResident([]byte(bad)); err == nil {
			t.Errorf("%q: %d", bad, got)
		}
	}
}

func TestFileLimitOfTheServer(t *testing.T) {
	t.Parallel()
	const head = "Limit                     Soft Limit           Hard Limit           Units     \nMax processes             96000                96000                processes \n"
	for text, want := range map[string]int{
		head + "Max open files            1024                 524288               files     \n": 1024,
		head + "Max open files            unlimited            unlimited            files     \n": 0,
		head: 0, "": 0,
	} {
		if got := parseFileLimit([]byte(text)); got != want {
			t.Errorf("%q: %d", text, got)
		}
	}
}

func TestSaturated(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		p    Phase
		cpus int
		want bool
	}{
		{Phase{Seconds: 1, Loop: 0.95, Maker: 1}, 8, true}, {Phase{Seconds: 1, Loop: 0.5, Maker: 0.99}, 1, true},
		{Phase{Seconds: 1, Loop: 0.5, Maker: 2}, 8, false}, {Phase{Seconds: 0.1, Loop: 0.1, Maker: 0.1}, 1, false},
	} {
		if got := saturated(c.p, c.cpus); got != c.want {
			t.Errorf("%+v on %d: %v", c.p, c.cpus, got)
		}
	}
}

func TestSources(t *testing.T) {
	t.Parallel()
	local := newSources(nil, net.ParseIP("127.0.0.1"), 28232)
	given := newSources([]netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}, net.ParseIP("127.0.0.1"), 1)
	for _, c := range []struct {
		s    sources
		i    int
		want string
	}{
		{local, 0, "127.0.1.1"}, {local, 21173, "127.0.1.1"}, {local, 21174, "127.0.1.2"}, {local, 254 * 21174, "127.0.2.1"},
		{local, maxConnections, "127.0.2.219"}, {given, 0, "10.0.0.1"}, {given, 3, "10.0.0.2"},
		{newSources(nil, net.ParseIP("10.0.0.1"), 28232), 0, "invalid IP"}, {newSources(nil, net.ParseIP("::1"), 28232), 0, "invalid IP"},
	} {
		if got := c.s.of(c.i).String(); got != c.want {
			t.Errorf("connection %d from %s, want %s", c.i, got, c.want)
		}
	}
	for text, want := range map[string]int{"32768\t60999\n": 28232, "1024 1024": 1, "": defaultPorts, "a b": defaultPorts, "9 1": defaultPorts} {
		if got := parsePorts(text); got != want {
			t.Errorf("%q: %d ports, want %d", text, got, want)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, name := range Scenarios() {
		o := Defaults(name)
		o.Secret = protocol.NewSecret("s")
		if err := o.withDefaults().check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if o.PID = -1; o.check() == nil {
			t.Errorf("%s: a pid below 0 is taken", name)
		}
	}
	o := Options{Scenario: Fanout, Rate: 5, Window: 3}.withDefaults()
	if o.Window != 0 || o.Connections != 1000 || o.Size != 128 || o.Patience != 5*time.Second || o.files() != 1000+1+64 {
		t.Errorf("got %+v, %d files", o, o.files())
	}
	for want, change := range map[string]func(*Options){
		"--secret":         func(o *Options) { o.Secret = nil },
		"--size":           func(o *Options) { o.Size = 5 },
		"--rate":           func(o *Options) { o.Rate = -1 },
		"--fill":           func(o *Options) { o.Fill = "y" },
		"--group":          func(o *Options) { o.Scenario, o.Group = ClientEvents, 1 },
		"--per-connection": func(o *Options) { o.Channels, o.PerConnection = 3, 4 },
		"durations":        func(o *Options) { o.Duration = -1 },
	} {
		o := Defaults(Fanout)
		o.Secret = protocol.NewSecret("s")
		if change(&o); o.check() == nil || !strings.Contains(o.check().Error(), want) {
			t.Errorf("%s: %v", want, o.check())
		}
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		url, scenario, address, prefix, bad string
	}{
		{"http://127.0.0.1:6001", Fanout, "127.0.0.1:6001", "", ""}, {"http://127.0.0.1/ws/", Fanout, "127.0.0.1:80", "/ws", ""},
		{"https://127.0.0.1", Trigger, "127.0.0.1:443", "", ""}, {"http://[::1]:7", Fanout, "[::1]:7", "", ""},
		{"https://127.0.0.1", Fanout, "", "", "TLS"}, {"127.0.0.1:6001", Fanout, "", "", "--url"}, {"ws://x", Fanout, "", "", "--url"},
		{"http://127.0.0.1:70000", Fanout, "", "", "--url"},
	} {
		got, err := resolve(t.Context(), Options{URL: c.url, Scenario: c.scenario})
		switch {
		case c.bad != "" && (err == nil || !strings.Contains(err.Error(), c.bad)):
			t.Errorf("%s: error %v", c.url, err)
		case c.bad == "" && (err != nil || got.address() != c.address || got.prefix != c.prefix):
			t.Errorf("%s: %+v %v", c.url, got, err)
		}
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1: "-1", -123456: "-123,456"} {
		if got := Count(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}

// TestTable prints a report that has everything.
func TestTable(t *testing.T) {
	t.Parallel()
	p := Percentiles{Count: 1, Min: 1, Mean: 2, P50: 2.5, P90: 3, P99: 4, P999: 5, Max: 6.25}
	r := &Report{
		Scenario: Mixed, Options: Options{URL: "http://h:1"}, Interrupted: true,
		Connections: &Connections{Wanted: 1000, Ready: 998, Failed: 2, Lost: 1, Reopened: 3, PerSecond: 5000.7},
		Joins:       &Joins{Sent: 10, Succeeded: 9, PerSecond: 1}, Requests: &Requests{Sent: 20, Accepted: 19, PerSecond: 4},
		Clients: &ClientSends{Sent: 5, Refused: 1}, Deliveries: &Deliveries{Expected: 19000, Received: 18999, Lost: 1, PerSecond: 9e5, BytesEach: 1080.5},
		FromClients: &Deliveries{Expected: 1}, Members: &Deliveries{Expected: 2, Received: 2},
		Latency: map[string]Percentiles{timeDelivery: p, timeLast: p}, LatencyFrom: "schedule",
		Server: &Server{PID: 1, PerDelivery: 8.25, PerConnection: 70, ResidentBefore: 1 << 20, ResidentAfter: 2 << 20, PerConnectionB: 890.4},
		Phases: []Phase{{Name: "connecting", Seconds: 1.5, Server: 0.5, Maker: 0.25}},
		Errors: []Failure{{"close 4100", 2, "Over capacity"}}, Notes: []string{"what one should know"},
	}
	var out bytes.Buffer
	if err := r.Print(&out); err != nil {
		t.Fatal(err)
	}
	const file = "testdata/table.txt"
	want, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(out.Bytes(), want) {
		t.Errorf("%v; printed\n%swant (%s)\n%s", err, out.String(), file, want)
	}
}
