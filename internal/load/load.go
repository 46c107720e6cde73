// Package load makes load for any server of the Pusher Channels protocol and
// measures what comes of it. Run plays one scenario and returns a Report.
//
// All WebSocket connections live on one epoll loop on one thread, so that the
// load costs less than the server that it loads; publishes over HTTP come from
// plain goroutines on keep-alive connections. Run takes over the calling
// goroutine for the loop. It needs a few Ps: the loop's thread holds one while it
// waits in a system call.
package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"time"
)

// The scenarios.
const (
	Connect      = "connect"       // open connections, subscribe, hold them
	Fanout       = "fanout"        // one channel, many subscribers
	Channels     = "channels"      // events spread over many channels
	ClientEvents = "client-events" // clients send to each other in groups
	Presence     = "presence"      // a storm of joins to presence channels
	Trigger      = "trigger"       // the HTTP API alone, nobody subscribed
	Mixed        = "mixed"         // all of it at once, at given rates
)

// scenarios are those that this system can play; files for one system add theirs.
var scenarios = map[string]func(*run) error{Trigger: (*run).trigger}

// Scenarios lists all scenarios.
func Scenarios() []string {
	return []string{Connect, Fanout, Channels, ClientEvents, Presence, Trigger, Mixed}
}

// Run plays o.Scenario until it is through, a bound of o is reached or ctx ends;
// then the report says that it was interrupted and holds what was measured so
// far. An error means that nothing was.
func Run(ctx context.Context, o Options) (*Report, error) {
	play, ok := scenarios[o.Scenario]
	switch {
	case !slices.Contains(Scenarios(), o.Scenario):
		return nil, fmt.Errorf("there is no scenario %q; there are %s", o.Scenario, strings.Join(Scenarios(), ", "))
	case !ok:
		return nil, fmt.Errorf("the scenario %s needs Linux: its connections live on epoll", o.Scenario)
	}
	r, err := newRun(ctx, o)
	if err != nil {
		return nil, err
	}
	defer r.close()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := play(r); err != nil {
		return nil, err
	}
	r.finish()
	return r.report, nil
}

// grace is for what is under way when the caller has had enough.
const grace = time.Second

// run is one scenario being played.
type run struct {
	// Static after construction
	ctx    context.Context
	o      Options
	target target
	base   time.Time // of all times in nanoseconds
	mark   *mark
	api    *api
	server *process // nil without a pid

	// Owned by the goroutine that called Run
	report   *Report
	open     *phase    // under way
	shown    int64     // when progress was last shown
	received int64     // bytes, on all WebSocket connections
	closers  []func()  // in the order of construction
	elapsed  latencies // by what was timed

	errors tally
}

func newRun(ctx context.Context, o Options) (*run, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	t, err := resolve(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := reserveFiles(o.files()); err != nil {
		return nil, err
	}
	r := &run{ctx: ctx, o: o, target: t, base: time.Now(), mark: newMark(rand.Uint32()), elapsed: latencies{}}
	r.api = newAPI(o, t)
	hurry := context.AfterFunc(ctx, func() { time.AfterFunc(grace, r.api.close) })
	r.closers = append(r.closers, func() { hurry() })
	r.report = &Report{Scenario: o.Scenario, Options: o, Started: r.base}
	if o.PID != 0 {
		if r.server, err = newProcess(o.PID); err != nil {
			return nil, err
		}
		if most := r.server.files(); most > 0 && o.files() > most {
			r.note("the server may open %s files: not all of the connections can be served", Count(int64(most)))
		}
	}
	return r, nil
}

func (r *run) close() {
	for _, f := range slices.Backward(r.closers) {
		f()
	}
	r.api.close()
}

// now is the time since the run began, in nanoseconds.
func (r *run) now() int64 { return int64(time.Since(r.base)) }

// ended reports whether the caller has had enough.
func (r *run) ended() bool { return r.ctx.Err() != nil }

// note adds a sentence to the report.
func (r *run) note(format string, args ...any) {
	r.report.Notes = append(r.report.Notes, fmt.Sprintf(format, args...))
}

// target is where to connect.
type target struct {
	tls    bool
	host   string // as in the URL, for Host
	ip     net.IP
	port   int
	prefix string // path prefix
}

// resolve takes o.URL apart and looks its host up.
func resolve(ctx context.Context, o Options) (target, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return target{}, fmt.Errorf("--url must be like http://127.0.0.1:6001, not %q", o.URL)
	}
	t := target{tls: u.Scheme == "https", host: u.Host, port: 80, prefix: strings.TrimRight(u.EscapedPath(), "/")}
	if t.tls {
		t.port = 443
	}
	if t.tls && o.Scenario != Trigger {
		return t, fmt.Errorf("connections over TLS are not supported: load the server behind its TLS, or use the scenario %s", Trigger)
	}
	if p := u.Port(); p != "" {
		if t.port, err = net.DefaultResolver.LookupPort(ctx, "tcp", p); err != nil {
			return t, fmt.Errorf("--url: %w", err)
		}
	}
	ips, err := net.DefaultResolver.LookupIP(ctx, "ip", u.Hostname())
	if err != nil {
		return t, fmt.Errorf("--url: %w", err)
	}
	t.ip = ips[0]
	for _, ip := range ips {
		if ip.To4() != nil {
			t.ip = ip.To4()
			break
		}
	}
	return t, nil
}

// address is what a dialler takes.
func (t target) address() string { return net.JoinHostPort(t.ip.String(), fmt.Sprint(t.port)) }
