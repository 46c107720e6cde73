package httpapi

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dunlin/apps"
)

// limited is a server whose app 3 has limits, and whose clock the test moves.
type limited struct {
	*fixture
	now atomic.Int64 // ms since 1970
}

func startLimited(t testing.TB, events, reads int) *limited {
	l := &limited{}
	l.now.Store(testTime * 1000)
	l.fixture = build(t, func(o *Options) { o.Now = func() time.Time { return time.UnixMilli(l.now.Load()) } })
	l.limit(events, reads)
	return l
}

// limit replaces app 3 by one with other limits.
func (l *limited) limit(events, reads int) {
	app := *l.apps.ByID("3")
	app.Limits.BackendEventsPerSec, app.Limits.ReadRequestsPerSec = events, reads
	l.apps.Replace([]*apps.App{&app, l.apps.ByID("4")})
}

func (l *limited) call(c credentials, method, path, body string) reply {
	return l.direct(method, c.target(method, path, body), body)
}

// trigger publishes an event to n channels, batch publishes n events.
func (l *limited) trigger(n int) reply {
	return l.call(app3, "POST", "/apps/3/events", `{"name":"e","data":"d","channels":["a"`+numbered(`,"c%d"`, n-1)+`]}`)
}

func (l *limited) batch(n int) reply {
	list := numbered(`,{"name":"e","channel":"c%d","data":"d"}`, n)
	return l.call(app3, "POST", "/apps/3/batch_events", `{"batch":[`+strings.TrimPrefix(list, ",")+`]}`)
}

func numbered(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// took checks an answer, and how many events have been published by now.
func (l *limited) took(got reply, status, published int) {
	l.t.Helper()
	if n := len(l.engine.events()); got.status != status || n != published {
		l.t.Errorf("answer %d %q, %d events published; want %d, %d", got.status, got.body, n, status, published)
	}
}

// TestBackendEventsPerSecond: an event counts once for each distinct channel, a
// batch all or nothing, and what is malformed not at all.
//
// PROTOCOL 5.62; PITFALLS 29.
func TestBackendEventsPerSecond(t *testing.T) {
	t.Parallel()
	l := startLimited(t, 10, 0)
	l.took(l.trigger(4), 200, 4)
	l.took(l.call(app3, "POST", "/apps/3/events", `{"name":"e","data":"d","channels":["a","a","a"]}`), 200, 5)
	l.took(l.call(app3, "POST", "/apps/3/events", `{"name":"pusher:e","data":"d","channel":"a"}`), 400, 5)
	l.took(l.batch(11), 400, 5)
	l.took(l.batch(6), 403, 5)
	l.took(l.batch(4), 200, 9)
	l.took(l.call(app3, "POST", "/apps/3/channels/a/events?name=e", "d"), 401, 9)
	l.took(l.direct("POST", app3.target("POST", "/apps/3/channels/a/events", "d", "name=e"), "d"), 202, 10)
	got := l.trigger(1)
	l.took(got, 403, 10)
	l.expect(got, 403, "The app is over its limit of 10 published events per second\n")

	l.now.Add(100) // brings one event
	l.took(l.trigger(2), 403, 10)
	l.took(l.trigger(1), 200, 11)
	l.took(l.trigger(1), 403, 11)
	l.now.Add(60_000) // brings no more than a second's worth
	l.took(l.batch(10), 200, 21)
	l.took(l.trigger(1), 403, 21)
	l.took(l.call(credentials{"other-key", "other-secret", testTime}, "POST", "/apps/4/events", vectorBody), 200, 22)
	l.took(l.call(app3, "GET", "/apps/3/channels", ""), 200, 22)
}

// TestRefusedByQuota: the answer as it comes over the wire. Retry-After is there
// when waiting helps, and a client that waits so long gets through.
//
// PROTOCOL 5.60, 5.61, 5.62.
func TestRefusedByQuota(t *testing.T) {
	t.Parallel()
	l := startLimited(t, 2, 2)
	wire := start(t, func(o *Options) { o.Now = l.server.opts.Now })
	wire.apps.Replace(l.apps.All())
	const body = `{"name":"e","data":"d","channels":["a","b","c"]}`
	got := wire.post("events", body)
	wire.refused(got, 403, "The request publishes 3 events, but the app may publish 2 per second")
	if h := got.header.Get("Retry-After"); h != "" {
		t.Errorf("Retry-After %q though it cannot pass", h)
	}
	for range 2 {
		wire.expect(wire.get("channels"), 200, `{"channels":{}}`)
	}
	got = wire.get("channels")
	wire.refused(got, 403, "The app is over its limit of 2 read requests per second")
	if h := got.header.Get("Retry-After"); h != "1" {
		t.Errorf("Retry-After %q", h)
	}
	l.now.Add(1000)
	wire.expect(wire.get("channels"), 200, `{"channels":{}}`)
}

// TestReadRequestsPerSecond: all that ask for state share one limit; HEAD is such a
// request, events and terminate_connections are not, and neither is what was not
// signed.
//
// PROTOCOL 5.62; PITFALLS 29.
func TestReadRequestsPerSecond(t *testing.T) {
	t.Parallel()
	reads := []string{"channels", "channels/a", "channels/presence-a/users", "channels/a/stats"}
	l := startLimited(t, 0, len(reads)+1)
	for range 20 {
		l.took(l.direct("GET", "/apps/3/channels?"+vectorQuery, ""), 401, 0)
	}
	for _, path := range reads {
		l.took(l.call(app3, "GET", "/apps/3/"+path, ""), 200, 0)
	}
	l.took(l.call(app3, "HEAD", "/apps/3/channels", ""), 200, 0)
	for _, path := range reads {
		l.took(l.call(app3, "GET", "/apps/3/"+path, ""), 403, 0)
	}
	l.took(l.call(credentials{"other-key", "other-secret", testTime}, "GET", "/apps/4/channels", ""), 200, 0)
	l.took(l.call(app3, "POST", "/apps/3/users/a/terminate_connections", "{}"), 200, 0)
	l.took(l.call(app3, "POST", "/users/a/terminate_connections", "{}"), 200, 0)
	l.took(l.trigger(100), 200, 100)
}

// TestQuotaFollowsTheApp: 0 is no limit, a changed one begins anew, and a reload
// with the same one gives nothing back.
//
// PITFALLS 29.
func TestQuotaFollowsTheApp(t *testing.T) {
	t.Parallel()
	l := startLimited(t, 0, 0)
	for i := range 100 {
		l.took(l.trigger(1), 200, i+1)
		l.took(l.call(app3, "GET", "/apps/3/channels", ""), 200, i+1)
	}
	l.limit(2, 0)
	l.took(l.batch(2), 200, 102)
	l.limit(2, 1)
	l.took(l.trigger(1), 403, 102)
	l.took(l.call(app3, "GET", "/apps/3/channels", ""), 200, 102)
	l.took(l.call(app3, "GET", "/apps/3/channels", ""), 403, 102)
	l.limit(3, 0)
	l.took(l.batch(3), 200, 105)
	l.took(l.trigger(1), 403, 105)
	l.took(l.call(app3, "GET", "/apps/3/channels", ""), 200, 105)
}

// TestQuotaAtOnce: many at once get what there is, to the last one.
//
// PITFALLS 29.
func TestQuotaAtOnce(t *testing.T) {
	t.Parallel()
	const limit, each, askers = 40, 4, 50
	l := startLimited(t, limit, 0)
	var passed atomic.Int64
	var all sync.WaitGroup
	for range askers {
		all.Go(func() {
			if l.batch(each).status == 200 {
				passed.Add(1)
			}
		})
	}
	all.Wait()
	if n := passed.Load(); n != limit/each || len(l.engine.events()) != limit {
		t.Errorf("%d batches passed, %d events were published", n, len(l.engine.events()))
	}
}

// TestQuotaDoesNotGrow: nothing is kept of requests or of unknown apps, only of the
// two that have signed some.
//
// PITFALLS 26, 29.
func TestQuotaDoesNotGrow(t *testing.T) {
	t.Parallel()
	l := startLimited(t, 5, 5)
	other := credentials{"other-key", "other-secret", testTime}
	for i := range 200 {
		l.call(app3, "POST", "/apps/3/events", vectorBody)
		l.call(app3, "GET", fmt.Sprintf("/apps/3/channels/c%d", i), "")
		l.call(app3, "GET", fmt.Sprintf("/apps/unknown-%d/channels", i), "")
		l.call(other, "GET", "/apps/4/channels", "")
	}
	n := 0
	l.server.quotas.byApp.Range(func(any, any) bool { n++; return true })
	if n != 2 {
		t.Errorf("quotas of %d apps are kept", n)
	}
}

// TestTerminateIsLimited: ending a user's connections is told to every node, and
// counts as an event.
func TestTerminateIsLimited(t *testing.T) {
	t.Parallel()
	l := startLimited(t, 2, 0)
	for _, want := range []int{200, 200, 403} {
		if got := l.call(app3, "POST", "/apps/3/users/ann/terminate_connections", ""); got.status != want {
			t.Errorf("answer %d %q, want %d", got.status, got.body, want)
		}
	}
}
