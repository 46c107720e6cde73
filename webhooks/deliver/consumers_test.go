package deliver

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dunlin/apps"
	"dunlin/metrics"
)

// PITFALLS 20, PROTOCOL 6.5: one endpoint is a black hole, one answers 500, one is
// healthy. The healthy one receives everything while the others hold.
func TestDeadEndpointsDelayNobody(t *testing.T) {
	t.Parallel()
	hole := newReceiver(t, func(_ int, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	bad := newReceiver(t, status(500))
	good := newReceiver(t, nil)
	w := newWorld(t, func(o *Options) { o.Retry.First, o.Retry.Most, o.ProbeEvery = time.Second, time.Minute, probeEvery },
		hook(hole.URL, nil), hook(bad.URL, nil), hook(good.URL, func(h *apps.Webhook) { h.Batch = apps.DefaultBatch() }))
	const events = 2000
	for i := range events {
		w.append(occupied(fmt.Sprint(i)))
	}
	until(t, "the healthy endpoint has all", func() bool { return len(good.events()) == events })
	if len(hole.got()) > 1 || len(bad.got()) > 3 {
		t.Errorf("%d requests into the hole, %d to the one that fails", len(hole.got()), len(bad.got()))
	}
	if b := w.backlog(); b.Queued != events {
		t.Errorf("%d events are held for the dead ones", b.Queued)
	}
}

// A receiver that answers 200 when the time is over gets the event again, and
// knows it by its ids.
func TestAnswerAfterTheTimeout(t *testing.T) {
	t.Parallel()
	var late atomic.Bool
	r := newReceiver(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if n == 1 {
			<-r.Context().Done() // the sender has turned away
			w.WriteHeader(200)
			late.Store(true)
		}
	})
	w := newWorld(t, func(o *Options) { o.Timeout = 50 * time.Millisecond }, hook(r.URL, nil))
	w.append(occupied("a"))
	w.settled()
	p := r.wait(t, 2)
	if !late.Load() || p[0].header.Get(HeaderDelivery) != p[1].header.Get(HeaderDelivery) || p[0].header.Get(HeaderEvents) != p[1].header.Get(HeaderEvents) ||
		p[0].header.Get(HeaderEvents) == "" || p[1].header.Get(HeaderAttempt) == "1" {
		t.Errorf("late %v, %v, %v", late.Load(), p[0].header, p[1].header)
	}
	if w.counters.Attempts("1", metrics.AttemptTimeout) == 0 {
		t.Error("the timeout is not counted")
	}
}

// Receivers that misbehave once: the event is delivered all the same, and the log
// says what was wrong.
func TestReceiversThatMisbehave(t *testing.T) {
	t.Parallel()
	raw := func(text string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			c, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			defer c.Close()
			fmt.Fprint(c, text)
		}
	}
	for name, c := range map[string]struct {
		do      func(http.ResponseWriter)
		reason  string
		outcome metrics.Attempt
	}{
		"closes without an answer":    {raw(""), "closed the connection without an answer", metrics.AttemptNetwork},
		"closes within its headers":   {raw("HTTP/1.1 200 OK\r\nContent-"), "reason=", metrics.AttemptNetwork},
		"closes within its body":      {raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"), "EOF", metrics.AttemptNetwork},
		"is no web server":            {raw("SSH-2.0-OpenSSH_9.6\r\n"), "reason=", metrics.AttemptNetwork},
		"sends endless headers":       {raw("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2*maxAnswerHeader)), "headers of more than", metrics.AttemptNetwork},
		"sends an endless failure":    {raw("HTTP/1.1 500 No\r\nContent-Length: 99999999\r\n\r\n" + strings.Repeat("x", 2*maxAnswerBody)), "answered 500", metrics.AttemptStatus},
		"hints before it fails":       {raw("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"), "answered 500", metrics.AttemptStatus},
		"hints for ever":              {raw(strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 2000)), "too many 1xx", metrics.AttemptNetwork},
		"switches protocols":          {raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), "answered 101", metrics.AttemptStatus},
		"answers twice":               {raw("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), "answered 500", metrics.AttemptStatus},
		"has statuses of its own":     {raw("HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"), "invalid response status code", metrics.AttemptNetwork},
		"is gone":                     {func(w http.ResponseWriter) { w.WriteHeader(410) }, "answered 410 Gone", metrics.AttemptStatus},
		"redirects":                   {func(w http.ResponseWriter) { w.Header().Set("Location", "/elsewhere"); w.WriteHeader(307) }, "redirects are not followed", metrics.AttemptStatus},
		"asks for a pause of seconds": {func(w http.ResponseWriter) { w.Header().Set("Retry-After", "0"); w.WriteHeader(503) }, "answered 503", metrics.AttemptStatus},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t, func(n int, w http.ResponseWriter, _ *http.Request) {
				if n == 1 {
					c.do(w)
				}
			})
			w := newWorld(t, nil, hook(r.URL, nil))
			w.append(occupied("a"), occupied("b"))
			w.settled()
			if got := strings.Join(r.events(), ","); got != "channel_occupied a,channel_occupied a,channel_occupied b" {
				t.Errorf("got %s", got)
			}
			if !strings.Contains(w.log.String(), c.reason) || w.counters.Attempts("1", c.outcome) != 1 {
				t.Errorf("log:\n%s", w.log)
			}
		})
	}
}

// A body that is too long is not read, however it is framed; a status of 2xx counts
// all the same.
func TestDeliveredWithAnEndlessBody(t *testing.T) {
	t.Parallel()
	for name, head := range map[string]string{
		"length": "Content-Length: 99999999\r\n\r\n", "chunks": "Transfer-Encoding: chunked\r\n\r\nfffffff\r\n", "until the end": "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t, func(_ int, w http.ResponseWriter, r *http.Request) {
				c, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					return
				}
				defer c.Close()
				fmt.Fprint(c, "HTTP/1.1 201 Created\r\n"+head)
				for err == nil { // until nobody reads any more
					_, err = fmt.Fprint(c, strings.Repeat("x", maxAnswerBody))
				}
			})
			w := newWorld(t, nil, hook(r.URL, nil))
			w.append(occupied("a"))
			w.settled()
			if len(r.got()) != 1 || len(w.dead()) != 0 {
				t.Errorf("%d requests, dead %v; log:\n%s", len(r.got()), w.dead(), w.log)
			}
		})
	}
}

// The whole answer has one time limit: a trickle does not prolong it.
func TestTrickle(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if n > 1 {
			return
		}
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for r.Context().Err() == nil {
			fmt.Fprint(w, "x")
			w.(http.Flusher).Flush()
			<-tick.C
		}
	})
	w := newWorld(t, func(o *Options) { o.Timeout = 60 * time.Millisecond }, hook(r.URL, nil))
	w.append(occupied("a"))
	w.settled()
	if len(r.got()) < 2 || w.counters.Attempts("1", metrics.AttemptTimeout) == 0 {
		t.Errorf("%d requests; log:\n%s", len(r.got()), w.log)
	}
}

// Retry-After is a longer wait than dunlin's own would be.
func TestRetryAfterIsRespected(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(429)
		}
	})
	w := newWorld(t, nil, hook(r.URL, nil))
	w.append(occupied("a"))
	w.settled()
	if p := r.wait(t, 2); p[1].at.Sub(p[0].at) < time.Second {
		t.Errorf("tried again after %v", p[1].at.Sub(p[0].at))
	}
}

// A slow receiver gets one request at a time, or as many as it was configured for.
func TestFlights(t *testing.T) {
	t.Parallel()
	for _, flights := range []int{1, 3} {
		t.Run(fmt.Sprint(flights), func(t *testing.T) {
			t.Parallel()
			var now, most atomic.Int64
			r := newReceiver(t, func(_ int, _ http.ResponseWriter, r *http.Request) {
				n := now.Add(1)
				defer now.Add(-1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				timer := time.NewTimer(2 * time.Millisecond)
				defer timer.Stop()
				<-timer.C
			})
			w := newWorld(t, nil, hook(r.URL, func(h *apps.Webhook) { h.Flights = flights }))
			for i := range 60 {
				w.append(occupied(fmt.Sprint("c", i)))
			}
			w.settled()
			if got := int(most.Load()); got > flights || flights > 1 && got < 2 {
				t.Errorf("%d requests at once", got)
			}
		})
	}
}

// HTTPS is verified: an unknown issuer and another name are failures.
func TestHTTPSIsVerified(t *testing.T) {
	t.Parallel()
	var served atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served.Add(1) }))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		url  string
		tls  *tls.Config
		want string
	}{
		{"trusted", s.URL, &tls.Config{RootCAs: roots}, ""},
		{"unknown issuer", s.URL, nil, "certificate"},
		{"another name", "https://localhost:" + port, &tls.Config{RootCAs: roots}, "certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, func(o *Options) { o.TLS, o.Retry.GiveUp = c.tls, time.Nanosecond }, hook(c.url, nil))
			before := served.Load()
			w.append(occupied("a"))
			w.settled()
			dead := w.dead()
			if c.want == "" && (len(dead) != 0 || served.Load() != before+1) {
				t.Errorf("dead %v", dead)
			}
			if c.want != "" && (len(dead) != 1 || !strings.Contains(dead[0].Reason, c.want) || served.Load() != before) {
				t.Errorf("dead %v, served %d", dead, served.Load()-before)
			}
		})
	}
}

func TestPrivateTargets(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	w := newWorld(t, func(o *Options) { o.AllowPrivate, o.Retry.GiveUp = false, time.Nanosecond }, hook(r.URL, nil))
	w.append(occupied("a"))
	w.settled()
	if dead := w.dead(); len(r.got()) != 0 || len(dead) != 1 || !strings.Contains(dead[0].Reason, "127.0.0.1 is private, and webhooks.allow_private_targets is off") {
		t.Errorf("%d requests, dead %v", len(r.got()), dead)
	}
	if w.counters.Attempts("1", metrics.AttemptRefused) != 1 {
		t.Error("the refusal is not counted")
	}
}

// A user and a password in the URL are Basic authentication.
func TestCredentialsInTheURL(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); n > 1 && (!ok || user != "me" || password != "hush it") {
			w.WriteHeader(401)
		} else if n == 1 {
			w.WriteHeader(500)
		}
	})
	w := newWorld(t, func(o *Options) { o.Retry.GiveUp = 200 * time.Millisecond }, hook(strings.Replace(r.URL, "http://", "http://me:hush%20it@", 1), nil))
	w.append(occupied("a"))
	w.settled()
	if len(r.got()) != 2 || len(w.dead()) != 0 || !strings.Contains(w.log.String(), "endpoint="+r.URL) {
		t.Errorf("%d requests, dead %v; log:\n%s", len(r.got()), w.dead(), w.log)
	}
}

// A receiver that closes idle connections, at once and without a word, costs no
// failures, with TLS and without.
func TestIdleConnectionsThatWereClosed(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprint("tls=", secure), func(t *testing.T) {
			t.Parallel()
			var conns, closed atomic.Int64
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			s.Config.ConnState = func(c net.Conn, state http.ConnState) {
				switch state {
				case http.StateNew:
					conns.Add(1)
				case http.StateIdle:
					c.Close()
					closed.Add(1)
				}
			}
			roots := x509.NewCertPool()
			if secure {
				s.StartTLS()
				roots.AddCert(s.Certificate())
			} else {
				s.Start()
			}
			t.Cleanup(s.Close)
			w := newWorld(t, func(o *Options) { o.TLS = &tls.Config{RootCAs: roots} }, hook(s.URL, nil))
			for i := range 5 {
				w.append(occupied(fmt.Sprint(i)))
				w.settled()
				until(t, "the connection's end", func() bool { return int(closed.Load()) == i+1 })
			}
			if w.counters.Attempts("1", metrics.AttemptNetwork) != 0 || w.counters.Attempts("1", metrics.AttemptDelivered) != 5 || conns.Load() != 5 {
				t.Errorf("%d connections; log:\n%s", conns.Load(), w.log)
			}
		})
	}
}
