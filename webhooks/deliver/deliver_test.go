package deliver

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dunlin/apps"
	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/webhooks"
)

// PROTOCOL 6.2, 6.4: the request as it is on the wire, header names to the letter
func TestRequestOnTheWire(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	w := newWorld(t, nil, hook("http://"+ln.Addr().String()+"/a//b%2Fc?x=hush&y", func(h *apps.Webhook) {
		h.Headers = []apps.Header{{Name: "X-Own", Value: protocol.NewSecret("hush-1")}, {Name: "x-pusher-signature", Value: protocol.NewSecret("hush-forged")},
			{Name: "X-Pusher-Key", Value: protocol.NewSecret("hush-forged")}, {Name: "content-type", Value: protocol.NewSecret("text/hush")}}
	}))
	w.append(webhooks.Event{ID: "e-1", App: "1", Name: protocol.HookOccupied, Channel: "my-channel", At: time.UnixMilli(1327078148132)})
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	lines := bufio.NewScanner(c)
	var head []string
	for lines.Scan() && lines.Text() != "" {
		head = append(head, lines.Text())
	}
	const body = `{"time_ms":1327078148132,"events":[{"name":"channel_occupied","channel":"my-channel"}]}`
	want := []string{
		"POST /a//b%2Fc?x=hush&y HTTP/1.1", "Host: " + ln.Addr().String(), "User-Agent: dunlin/test", "Content-Type: application/json",
		"Content-Length: " + strconv.Itoa(len(body)), "X-Pusher-Key: app-key", "X-Pusher-Signature: " + w.app.Secrets[0].Sign([]byte(body)),
		"X-Own: hush-1", "X-Dunlin-Attempt: 1", "X-Dunlin-Event-Ids: e-1",
	}
	for _, line := range want {
		if !slices.Contains(head, line) {
			t.Errorf("no %q in %q", line, head)
		}
	}
	if len(head) != len(want)+1 || strings.Contains(strings.Join(head, " "), "forged") {
		t.Errorf("got %q", head)
	}
	if _, err := fmt.Fprint(c, "HTTP/1.1 204 No Content\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	w.settled()
}

// PROTOCOL 6.19, PITFALLS 19: each endpoint has its types, and filters keep one's
// events from another's
func TestTypesAndFilters(t *testing.T) {
	t.Parallel()
	all, some, prefix, suffix := newReceiver(t, nil), newReceiver(t, nil), newReceiver(t, nil), newReceiver(t, nil)
	w := newWorld(t, nil,
		hook(all.URL, nil),
		hook(some.URL, func(h *apps.Webhook) { h.Types = protocol.HookMemberAdded | protocol.HookVacated }),
		hook(prefix.URL, func(h *apps.Webhook) { h.Prefix = "presence-" }),
		hook(suffix.URL, func(h *apps.Webhook) { h.Suffix = "-x" }),
	)
	foreign := occupied("foreign-x")
	foreign.App = "2"
	w.append(occupied("a-x"), foreign, member("presence-b", "u"), occupied("presence-x"))
	w.settled()
	for _, c := range []struct {
		r    *receiver
		want string
	}{
		{all, "channel_occupied a-x,member_added presence-b u,channel_occupied presence-x"},
		{some, "member_added presence-b u"},
		{prefix, "member_added presence-b u,channel_occupied presence-x"},
		{suffix, "channel_occupied a-x,channel_occupied presence-x"},
	} {
		if got := strings.Join(c.r.events(), ","); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

// PITFALLS 19: who shares a URL, two apps or two endpoints of one, shares nothing
// else
func TestSharedURL(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	second := apps.NewWebhook(r.URL, 2)
	second.Types, second.Batch = protocol.HookOccupied, apps.Batch{Events: 1}
	w := newWorld(t, nil, hook(r.URL, nil), second)
	other := apps.App{ID: "2", Key: "key-2", Secrets: []*protocol.Secret{protocol.NewSecret("hush-2")}, Webhooks: []apps.Webhook{hook(r.URL, nil)}}
	w.registry.Replace([]*apps.App{w.app, &other})
	foreign := occupied("foreign")
	foreign.App = "2"
	w.append(occupied("a"), foreign)
	w.settled()
	until(t, "the other app's", func() bool { b, err := w.queue.Backlog(t.Context()); return err == nil && len(b) == 0 })
	deliveries := map[string]bool{}
	for _, p := range r.wait(t, 3) {
		app := w.app
		if p.header.Get(HeaderKey) == "key-2" {
			app = &other
		}
		deliveries[p.header.Get(HeaderDelivery)] = true
		if !app.Verify([]byte(p.header.Get(HeaderSignature)), []byte(p.body)) || strings.Contains(p.body, "foreign") != (app == &other) {
			t.Errorf("%v %s", p.header, p.body)
		}
	}
	if len(deliveries) != 3 || len(r.got()) != 3 {
		t.Errorf("%d deliveries in %d requests", len(deliveries), len(r.got()))
	}
}

// PROTOCOL 6.6: many events in one request, in order; each of its signature valid
func TestBatches(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	w := newWorld(t, nil, hook(r.URL, func(h *apps.Webhook) { h.Batch = apps.Batch{Events: 10, Window: patience} }))
	var events []webhooks.Event
	var want []string
	for i := range 30 {
		events = append(events, occupied(fmt.Sprint(i)))
		want = append(want, fmt.Sprint("channel_occupied ", i))
	}
	w.append(events...)
	w.settled()
	if got := r.events(); !slices.Equal(got, want) || len(r.got()) != 3 {
		t.Errorf("%d requests: %q", len(r.got()), got)
	}
	for _, p := range r.got() {
		if !w.app.Verify([]byte(p.header.Get(HeaderSignature)), []byte(p.body)) || strings.Count(p.header.Get(HeaderEvents), ",") != 9 {
			t.Errorf("headers %v of %s", p.header, p.body)
		}
	}
	if w.counters.Attempts("1", metrics.AttemptDelivered) != 3 {
		t.Error("attempts are not counted")
	}
}

func TestBatchWaitsForItsWindowOnly(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	w := newWorld(t, nil, hook(r.URL, func(h *apps.Webhook) { h.Batch = apps.Batch{Events: 10, Window: 5 * time.Millisecond} }))
	w.append(occupied("a"), occupied("b"))
	w.settled()
	if got := r.events(); len(got) != 2 || len(r.got()) != 1 {
		t.Errorf("%d requests: %q", len(r.got()), got)
	}
}

// PROTOCOL 6.5: again, with the same body and name, until it is delivered
func TestAgainUntilDelivered(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader([]int{500, 302, 404, 429, 199 + 1}[n-1])
	})
	w := newWorld(t, nil, hook(r.URL, nil))
	w.append(occupied("a"))
	w.settled()
	posts := r.got()
	for i, p := range posts {
		first := posts[0]
		if p.body != first.body || p.header.Get(HeaderDelivery) != first.header.Get(HeaderDelivery) || p.header.Get(HeaderDelivery) == "" ||
			p.header.Get(HeaderSignature) != first.header.Get(HeaderSignature) || p.header.Get(HeaderAttempt) != strconv.Itoa(i+1) {
			t.Errorf("attempt %d: %v %s", i+1, p.header, p.body)
		}
	}
	if len(posts) != 5 || len(w.dead()) != 0 {
		t.Errorf("%d attempts, dead %v", len(posts), w.dead())
	}
	log := w.log.String()
	for _, part := range []string{"answered 500 Internal Server Error", "answered 302 Found; redirects are not followed", "endpoint=" + r.URL, "channel=a", "again_in="} {
		if !strings.Contains(log, part) {
			t.Errorf("no %q in the log:\n%s", part, log)
		}
	}
}

func TestGivenUpAndReplayed(t *testing.T) {
	t.Parallel()
	good := newReceiver(t, nil)
	bad := newReceiver(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n == 1 {
			w.WriteHeader(503)
		}
	})
	w := newWorld(t, func(o *Options) { o.Retry.GiveUp = time.Nanosecond }, hook(good.URL, nil), hook(bad.URL+"/path?token=hush", nil))
	w.append(occupied("a"))
	w.settled()
	dead := w.dead()
	if len(dead) != 1 || !slices.Equal(dead[0].Only, []string{w.app.Webhooks[1].ID}) ||
		dead[0].Reason != bad.URL+"/path answered 503 Service Unavailable" {
		t.Fatalf("dead %+v", dead)
	}
	if n, err := w.queue.Replay(t.Context(), "1", dead[0].ID); n != 1 || err != nil {
		t.Fatalf("Replay = %d, %v", n, err)
	}
	w.settled()
	if len(good.got()) != 1 || len(bad.got()) != 2 || len(w.dead()) != 0 {
		t.Errorf("%d and %d requests, dead %v", len(good.got()), len(bad.got()), w.dead())
	}
	p := bad.got()
	if p[0].body != p[1].body || p[0].header.Get(HeaderDelivery) != p[1].header.Get(HeaderDelivery) {
		t.Errorf("a replay is not recognisable: %v %v", p[0], p[1])
	}
}

// The order of a channel is kept, whatever fails, also with several requests at
// once.
func TestOrderPerChannel(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*apps.Webhook){
		"one":     nil,
		"several": func(h *apps.Webhook) { h.Flights = 4 },
		"batches": func(h *apps.Webhook) { h.Flights, h.Batch = 3, apps.Batch{Events: 5} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t, func(n int, w http.ResponseWriter, _ *http.Request) {
				if n%5 == 3 {
					w.WriteHeader(500)
				}
			})
			w := newWorld(t, nil, hook(r.URL, change))
			const channels, each = 6, 20
			for i := range each {
				for c := range channels {
					w.append(member(fmt.Sprint("presence-", c), fmt.Sprint(i)))
				}
			}
			w.settled()
			next, seen := map[string]int{}, map[string]bool{}
			for _, p := range r.got() {
				for _, e := range p.events {
					channel, user, _ := strings.Cut(strings.TrimPrefix(e, "member_added "), " ")
					if seen[e] {
						continue // again, after a 500
					}
					seen[e] = true
					if user != strconv.Itoa(next[channel]) {
						t.Errorf("%s: user %s, want %d", channel, user, next[channel])
					}
					next[channel]++
				}
			}
			if len(seen) != channels*each {
				t.Errorf("%d events", len(seen))
			}
		})
	}
}

// PROTOCOL 6.2: the oldest secret signs, of those that there are when it is sent
func TestSecretOfTheMoment(t *testing.T) {
	t.Parallel()
	var w *world
	ready := make(chan struct{})
	r := newReceiver(t, func(n int, rw http.ResponseWriter, _ *http.Request) {
		<-ready
		if n == 1 {
			changed := *w.app
			changed.Secrets = []*protocol.Secret{protocol.NewSecret("hush-newest"), protocol.NewSecret("hush-new")}
			w.registry.Replace([]*apps.App{&changed})
			rw.WriteHeader(500)
		}
	})
	w = newWorld(t, nil, hook(r.URL, nil))
	close(ready)
	w.append(occupied("a"))
	w.settled()
	posts := r.got()
	if posts[0].header.Get(HeaderSignature) != w.app.Secrets[0].Sign([]byte(posts[0].body)) ||
		posts[1].header.Get(HeaderSignature) != protocol.NewSecret("hush-new").Sign([]byte(posts[1].body)) {
		t.Errorf("signatures %v, %v", posts[0].header, posts[1].header)
	}
}

func TestEndpointThatIsGone(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, status(500))
	w := newWorld(t, nil, hook(r.URL, nil))
	w.append(occupied("a"))
	r.wait(t, 1)
	changed := *w.app
	changed.Webhooks = nil
	w.registry.Replace([]*apps.App{&changed})
	w.append(occupied("b")) // nobody wants it
	w.settled()
	if dead := w.dead(); len(dead) != 1 || dead[0].Reason != w.app.Webhooks[0].ID+" is no longer configured" {
		t.Fatalf("dead %+v", dead)
	}
	if n, err := w.queue.Replay(t.Context(), ""); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	until(t, "it is dead again", func() bool { return len(w.dead()) == 1 })
	until(t, "nothing is remembered", func() bool {
		w.d.mu.Lock()
		defer w.d.mu.Unlock()
		return len(w.d.endpoints) == 0 && w.d.held == 0 && w.d.heldBytes == 0
	})
}

// A dead endpoint is spared: while its circuit is open what is too old is given
// up without a request.
func TestCircuitSparesTheDead(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, status(500))
	w := newWorld(t, func(o *Options) { o.Retry.GiveUp = 100 * time.Millisecond }, hook(r.URL, nil))
	for i := range 500 {
		w.append(occupied(fmt.Sprint(i)))
	}
	w.settled()
	if n := len(r.got()); n > 50 || len(w.dead()) != 500 {
		t.Errorf("%d requests, %d dead letters", n, len(w.dead()))
	}
	if log := w.log.String(); strings.Count(log, "fails all the time") < 1 || strings.Count(log, "\n") > 100 {
		t.Errorf("%d lines of log", strings.Count(log, "\n"))
	}
	if dead := w.dead(); !strings.Contains(dead[0].Reason, "fails all the time: answered 500") {
		t.Errorf("reason %q", dead[0].Reason)
	}
}

func TestEndpointThatRecovers(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n <= circuitOpensAt+2 {
			w.WriteHeader(500)
		}
	})
	w := newWorld(t, nil, hook(r.URL, nil))
	for i := range 50 {
		w.append(occupied(fmt.Sprint(i)))
	}
	w.settled()
	if len(w.dead()) != 0 || len(r.got()) != 50+circuitOpensAt+2 {
		t.Errorf("%d requests, dead %v", len(r.got()), w.dead())
	}
	if !strings.Contains(w.log.String(), "answers again") {
		t.Errorf("log:\n%s", w.log)
	}
}

// An endpoint is tried again though each event is too old at once.
func TestEndpointThatRecoversWithoutRepetitions(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n <= circuitOpensAt+1 {
			w.WriteHeader(500)
		}
	})
	w := newWorld(t, func(o *Options) { o.Retry.GiveUp = time.Nanosecond }, hook(r.URL, nil))
	i := 0
	until(t, "a delivery", func() bool {
		w.append(occupied(fmt.Sprint(i)))
		i++
		return w.counters.Attempts("1", metrics.AttemptDelivered) > 0
	})
}

// Stop delivers what can be delivered at once, also what waits for a window; what
// can not stays the queue's.
func TestStop(t *testing.T) {
	t.Parallel()
	good, bad := newReceiver(t, nil), newReceiver(t, status(500))
	slow := func(o *Options) { o.Retry.First, o.Retry.Most = patience, patience }
	w := newWorld(t, slow, hook(good.URL, func(h *apps.Webhook) { h.Prefix, h.Batch = "good-", apps.Batch{Events: 50, Window: patience} }),
		hook(bad.URL, func(h *apps.Webhook) { h.Prefix = "bad-" }))
	w.append(occupied("bad-1"), occupied("bad-2"))
	bad.wait(t, 1)
	w.append(occupied("good-1"), occupied("bad-3"), occupied("good-2"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if left := w.stop(ctx); left != 3 {
		t.Errorf("%d left", left)
	}
	left, dead := w.queue.Left()
	if len(good.events()) != 2 || len(left) != 3 || len(dead) != 0 {
		t.Errorf("delivered %q, left %v", good.events(), left)
	}
}
