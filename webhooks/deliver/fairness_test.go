package deliver

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dunlin/apps"
	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/webhooks"
)

// picky is a receiver that never takes a request which tells of what it dislikes.
func picky(t *testing.T, dislikes string) *receiver {
	r := newReceiver(t, nil)
	r.answer = func(n int, w http.ResponseWriter, _ *http.Request) {
		if strings.Contains(r.got()[n-1].body, dislikes) {
			w.WriteHeader(500)
		}
	}
	return r
}

// takenBy lists the events that a picky receiver took, in order.
func (r *receiver) takenBy(dislikes string) (taken []string) {
	for _, p := range r.got() {
		if !strings.Contains(p.body, dislikes) {
			taken = append(taken, p.events...)
		}
	}
	return taken
}

// A message that its consumer can not digest holds up no other channel, and what
// follows in its own one comes after it is given up, also when that takes longer
// than these may be tried.
func TestIndigestibleMessage(t *testing.T) {
	t.Parallel()
	const bad = "indigestible"
	for name, events := range map[string][]webhooks.Event{
		"others":   {member("presence-b", "1"), occupied("c"), member("presence-b", "2"), member("presence-a", "after")},
		"its own":  {member("presence-a", "1"), member("presence-a", "2")},
		"no other": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := picky(t, bad)
			w := newWorld(t, func(o *Options) { o.Retry.GiveUp = 300 * time.Millisecond }, hook(r.URL, nil))
			w.append(append([]webhooks.Event{member("presence-a", bad)}, events...)...)
			w.settled()
			var want []string
			for _, e := range events {
				want = append(want, strings.TrimSpace(fmt.Sprint(e.Name, " ", e.Channel, " ", e.User)))
			}
			if got := r.takenBy(bad); !slices.Equal(got, want) {
				t.Errorf("taken %q, want %q", got, want)
			}
			dead := w.dead()
			if len(dead) != 1 || dead[0].User != bad {
				t.Errorf("dead %+v", dead)
			}
		})
	}
}

// While a batch is sent again none of its channels overtakes it.
func TestOrderBehindARestingBatch(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	r.answer = func(n int, w http.ResponseWriter, _ *http.Request) {
		if strings.Contains(r.got()[n-1].body, "stuck") && n < 12 {
			w.WriteHeader(500)
		}
	}
	w := newWorld(t, nil, hook(r.URL, func(h *apps.Webhook) { h.Batch = apps.Batch{Events: 3} }))
	w.append(member("presence-a", "stuck"), member("presence-b", "0"), member("presence-c", "0"))
	for i := range 10 {
		w.append(member("presence-a", fmt.Sprint(i)), member("presence-b", fmt.Sprint(i+1)), member("presence-d", fmt.Sprint(i)))
	}
	w.settled()
	seen := map[string][]string{}
	for _, e := range r.events() {
		channel, user, _ := strings.Cut(strings.TrimPrefix(e, "member_added "), " ")
		if user != "stuck" && !slices.Contains(seen[channel], user) {
			seen[channel] = append(seen[channel], user)
		}
	}
	for channel, users := range seen {
		if !slices.IsSortedFunc(users, func(a, b string) int { return len(a)*100 + int(a[0]) - len(b)*100 - int(b[0]) }) {
			t.Errorf("%s: %q", channel, users)
		}
	}
	if len(w.dead()) != 0 || len(seen["presence-a"]) != 10 || len(seen["presence-b"]) != 11 || len(seen["presence-d"]) != 10 {
		t.Errorf("dead %v, seen %v", w.dead(), seen)
	}
}

// No wait that an endpoint asks for silences it for ever.
func TestAbsurdRetryAfter(t *testing.T) {
	t.Parallel()
	for _, wait := range []string{"2147483647", "99999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT", "-5", "soon"} {
		t.Run(wait, func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t, func(n int, w http.ResponseWriter, _ *http.Request) {
				if n <= circuitOpensAt {
					w.Header().Set("Retry-After", wait)
					w.WriteHeader(503)
				}
			})
			w := newWorld(t, func(o *Options) { o.Retry.GiveUp = 30 * time.Millisecond }, hook(r.URL, nil))
			i := 0
			until(t, "a delivery", func() bool {
				w.append(occupied(fmt.Sprint(i)))
				i++
				return w.counters.Attempts("1", metrics.AttemptDelivered) > 0
			})
		})
	}
}

// large is an event of about 10 kB.
func large(channel string) webhooks.Event {
	e := occupied(channel)
	e.Name, e.Data = protocol.HookClientEvent, protocol.StringLiteral(`"`+strings.Repeat("x", 10_000)+`"`)
	return e
}

// Whatever takes all the room, few large events or the small backlogs of many
// endpoints: an endpoint that answers receives everything.
func TestFailuresLeaveRoom(t *testing.T) {
	t.Parallel()
	hole := func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }
	for name, c := range map[string]struct {
		endpoints, each int
		event           func(string) webhooks.Event
		change          func(*Options)
	}{
		"large events":   {1, 300, large, func(o *Options) { o.MaxHeldBytes = 1 << 20 }},
		"many endpoints": {40, 30, occupied, func(o *Options) { o.MaxHeld = 800 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad, good := newReceiver(t, hole), newReceiver(t, nil)
			hooks := []apps.Webhook{hook(good.URL, func(h *apps.Webhook) { h.Prefix = "good-" })}
			for k := range c.endpoints {
				hooks = append(hooks, hook(fmt.Sprint(bad.URL, "/", k), func(h *apps.Webhook) { h.Prefix = fmt.Sprintf("bad-%d-", k) }))
			}
			w := newWorld(t, func(o *Options) {
				o.Retry.First, o.Retry.Most = patience, patience
				c.change(o)
			}, hooks...)
			for i := range c.each {
				for k := range c.endpoints {
					w.append(c.event(fmt.Sprintf("bad-%d-%d", k, i)))
				}
			}
			w.append(occupied("good-1"))
			good.wait(t, 1)
			until(t, "dead letters", func() bool { return len(w.dead()) > 0 })
			if why := w.dead()[0].Reason; !strings.Contains(why, "too many events wait for it") {
				t.Errorf("dead because %s", why)
			}
		})
	}
}

// The oldest events of an endpoint that fails go when too much is held; others
// lose nothing.
func TestShedding(t *testing.T) {
	t.Parallel()
	bad, good := newReceiver(t, status(500)), newReceiver(t, nil)
	w := newWorld(t, func(o *Options) { o.MaxHeld, o.Retry.Most, o.Retry.First = 100, patience, patience },
		hook(bad.URL, func(h *apps.Webhook) { h.Prefix = "bad-" }), hook(good.URL, func(h *apps.Webhook) { h.Prefix = "good-" }))
	for i := range 400 {
		w.append(occupied(fmt.Sprint("bad-", i)))
		if i == 0 {
			until(t, "the endpoint to fail", func() bool { return strings.Contains(w.log.String(), "not delivered") })
		}
		if i%4 == 0 {
			w.append(occupied(fmt.Sprint("good-", i)))
		}
	}
	until(t, "the healthy endpoint has all", func() bool { return len(good.events()) == 100 })
	until(t, "all but those that are held are dead", func() bool { return len(w.dead()) >= 300 })
	dead := w.dead()
	if why := dead[0].Reason; !strings.Contains(why, " fails (answered 500 Internal Server Error), and too many events wait for it") {
		t.Errorf("dead because %s", why)
	}
	for _, d := range dead {
		if !strings.HasPrefix(d.Channel, "bad-") {
			t.Errorf("%s was given up", d.Channel)
		}
	}
}

// An endpoint that takes all the room before it fails for the first time keeps
// nobody waiting from then on.
func TestSheddingAfterTheFirstFailure(t *testing.T) {
	t.Parallel()
	fail := make(chan struct{})
	bad := newReceiver(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		<-fail
		w.WriteHeader(500)
	})
	good := newReceiver(t, nil)
	w := newWorld(t, func(o *Options) { o.MaxHeld, o.Retry.Most, o.Retry.First = 300, patience, patience },
		hook(bad.URL, func(h *apps.Webhook) { h.Prefix = "bad-" }), hook(good.URL, func(h *apps.Webhook) { h.Prefix = "good-" }))
	for i := range 1000 {
		w.append(occupied(fmt.Sprint("bad-", i)))
	}
	for i := range 10 {
		w.append(occupied(fmt.Sprint("good-", i)))
	}
	until(t, "all room is taken", func() bool {
		w.d.mu.Lock()
		defer w.d.mu.Unlock()
		return w.d.full() && w.d.room != nil
	})
	close(fail)
	until(t, "the healthy endpoint has all", func() bool { return len(good.events()) == 10 })
}

// An endpoint that answers, but does not keep up, pays as those do that fail.
func TestTooSlow(t *testing.T) {
	t.Parallel()
	slow := newReceiver(t, func(_ int, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	good := newReceiver(t, nil)
	var taken atomic.Bool // the room
	w := newWorld(t, func(o *Options) {
		o.MaxHeld, o.Timeout = 100, patience
		o.Now = func() time.Time { // a minute has passed when the room is taken
			if taken.Load() {
				return time.Now().Add(time.Minute)
			}
			return time.Now()
		}
	}, hook(slow.URL, func(h *apps.Webhook) { h.Prefix = "slow-" }), hook(good.URL, func(h *apps.Webhook) { h.Prefix = "good-" }))
	w.append(occupied("good-1"))
	good.wait(t, 1)
	for i := range 99 {
		w.append(occupied(fmt.Sprint("slow-", i)))
	}
	slow.wait(t, 1)
	taken.Store(true)
	for i := range 20 {
		w.append(occupied(fmt.Sprint("slow-", 99+i)), occupied(fmt.Sprint("good-", i)))
	}
	good.wait(t, 21)
	until(t, "dead letters", func() bool { return len(w.dead()) > 0 })
	if why := w.dead()[0].Reason; !strings.Contains(why, "is too slow, and too many events wait for it") {
		t.Errorf("dead because %s", why)
	}
}

// At a stop what rests is tried once more, after all that may well be delivered.
func TestStopWithARestingBatch(t *testing.T) {
	t.Parallel()
	const bad = "indigestible"
	r := picky(t, bad)
	w := newWorld(t, func(o *Options) { o.Retry.First, o.Retry.Most, o.ProbeEvery = patience, patience, patience }, hook(r.URL, nil))
	w.append(occupied(bad))
	until(t, "a failure", func() bool { return w.counters.Attempts("1", metrics.AttemptStatus) == 1 })
	w.append(occupied("a"), occupied(bad), occupied("b"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if left := w.stop(ctx); left != 2 {
		t.Errorf("%d left", left)
	}
	if got := r.takenBy(bad); !slices.Equal(got, []string{"channel_occupied a", "channel_occupied b"}) || len(r.got()) != 4 {
		t.Errorf("%d requests, taken %q", len(r.got()), got)
	}
}

// The app of an event may be gone, or not be there yet: nothing is lost silently.
func TestAppThatIsGone(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	w := newWorld(t, nil, hook(r.URL, nil))
	e := occupied("a")
	e.App = "2"
	w.append(e)
	until(t, "a dead letter", func() bool { return len(w.dead()) == 1 })
	if dead := w.dead(); dead[0].Reason != "the app is not configured" || len(dead[0].Only) != 0 {
		t.Fatalf("dead %+v", dead)
	}
	second := *w.app
	second.ID, second.Key = "2", "key-2"
	w.registry.Replace([]*apps.App{w.app, &second})
	if n, err := w.queue.Replay(t.Context(), ""); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if p := r.wait(t, 1); p[0].header.Get(HeaderKey) != "key-2" {
		t.Errorf("%v", p[0].header)
	}
}
