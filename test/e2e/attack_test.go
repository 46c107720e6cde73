package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"dunlin/internal/client"
	"dunlin/internal/testkit"
)

const attackConfig = `
server: {port: 0, drain: 1s, handshake_timeout: 1s, max_message_bytes: 100KiB, max_pending_bytes: 256KiB}
ops: {port: 0}
apps:
  - {id: app-id, key: app-key, secret: app-secret, client_events: true, limits: {event_bytes: 100000}}
  - {id: off, key: off-key, secret: off-secret, enabled: false}
`

// healthy is a client that must notice nothing of what others do.
type healthy struct {
	t *testing.T
	s *testkit.Server
	c *client.Conn
	n int
}

func newHealthy(t *testing.T, s *testkit.Server) *healthy {
	h := &healthy{t: t, s: s, c: s.Dial()}
	if err := h.c.Subscribe(testkit.Context(t), "health", client.Authorization{}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.c.Await(testkit.Context(t), client.SubscriptionSucceeded, "health"); err != nil {
		t.Fatal(err)
	}
	h.check()
	return h
}

// check publishes an event and sees it arrive.
func (h *healthy) check() {
	h.t.Helper()
	ctx := testkit.Context(h.t)
	h.n++
	want := fmt.Sprint("beat ", h.n)
	if _, err := h.s.API.Trigger(ctx, client.Publication{Name: want, Channel: "health", Data: "x"}); err != nil {
		h.t.Fatalf("the healthy client's publisher: %v", err)
	}
	for {
		e, err := h.c.Next(ctx)
		if err != nil {
			h.t.Fatalf("the healthy client: %v", err)
		}
		if e.Name == want {
			return
		}
	}
}

// PROTOCOL 1.7, 1.41, 1.42, 8.5; PITFALLS 1: 27 bytes from anybody
func TestHostileMessages(t *testing.T) {
	t.Parallel()
	eachTransport(t, attackConfig, func(t *testing.T, s *testkit.Server) {
		h := newHealthy(t, s)
		c := s.Dial()
		ctx := testkit.Context(t)
		for _, m := range []string{
			`{"event":"pusher:subscribe"}`, `{"event":"pusher:subscribe","data":null}`, `{"event":"pusher:subscribe","data":{"channel":5}}`,
			`{"event":"pusher:subscribe","data":"…"}`, `{"event":"pusher:subscribe","data":[]}`, `{"event":"pusher:signin"}`,
			`{"event":"pusher:signin","data":{"auth":5,"user_data":[]}}`, `{"event":"pusher:unsubscribe","data":{"channel":{}}}`,
			`{"event":"client-x"}`, `{"event":"client-x","channel":[],"data":{}}`, `[]`, `5`, `"x"`, `{`, ``, `{"event":{}}`,
			strings.Repeat(`[`, 90000), strings.Repeat(`{"a":`, 15000), `{"event":"pusher:subscribe","data":{"channel":"` + strings.Repeat("x", 90000) + `"}}`,
			`{"event":"pusher:subscribe","data":{"channel":"presence-x","auth":"app-key:0","channel_data":"` + strings.Repeat(`[`, 50000) + `"}}`,
		} {
			if err := c.Send(ctx, m); err != nil {
				t.Fatalf("%.40q closed the connection: %v", m, err)
			}
			e, err := c.Next(ctx)
			if err != nil {
				t.Fatalf("after %.40q: %v", m, err)
			}
			if e.Name == client.SubscriptionError {
				e, err = c.Next(ctx)
			}
			if err != nil || e.Failure() == nil {
				t.Fatalf("after %.40q: %v %v", m, e.Raw, err)
			}
		}
		if err := c.SendBinary(ctx, []byte{1, 2, 3}); err != nil {
			t.Fatal(err)
		}
		if e, err := c.Next(ctx); err != nil || e.Failure() == nil {
			t.Fatalf("after a binary message: %v %v", e.Raw, err)
		}
		h.check()
	})
}

// PROTOCOL 5.29, 5.60; PITFALLS 1, 4: hostile bodies, correctly signed, get a 400 at once
func TestHostileRequests(t *testing.T) {
	t.Parallel()
	eachTransport(t, attackConfig, func(t *testing.T, s *testkit.Server) {
		h := newHealthy(t, s)
		for _, path := range []string{"/events", "/batch_events"} {
			for _, body := range []string{
				`null`, `{}`, `{"batch":[null]}`, `{"batch":5}`, `[5]`, `[null]`, `5`, `"x"`, `{`, strings.Repeat("[", 900000),
				`{"name":"e","channels":"abc","data":"x"}`, `{"name":"e","channels":[5],"data":"x"}`, `{"name":"e","channels":[null],"data":"x"}`,
				`{"name":"e","channels":[],"data":"x"}`, `{"name":5,"channel":"health","data":"x"}`, `{"name":"e","channel":"health","data":{}}`,
				`{"name":"e","channel":"a b","data":"x"}`, `{"name":"pusher:x","channel":"health","data":"x"}`, "{\"name\":\"\xff\"}",
			} {
				r, err := s.API.Do(testkit.Context(t), "POST", path, nil, []byte(body))
				if err != nil || r.Status != 400 || !strings.HasSuffix(string(r.Body), "\n") {
					t.Errorf("%s %.40q: %d %q %v", path, body, r.Status, r.Body, err)
				}
			}
		}
		r, err := s.API.Do(testkit.Context(t), "POST", "/events", nil, []byte(`{"x":"`+strings.Repeat("x", 2<<20)+`"}`))
		if err != nil || r.Status != 413 {
			t.Errorf("2 MiB: %d %q %v", r.Status, r.Body, err)
		}
		h.check()
	})
}

func dialRaw(t *testing.T, s *testkit.Server) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(testkit.Patience))
	return nc
}

const upgradeRequest = "GET /app/app-key?protocol=7 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// upgraded returns a connection whose greeting was read.
func upgraded(t *testing.T, s *testkit.Server) (net.Conn, *bufio.Reader) {
	t.Helper()
	nc, r, _ := upgradedBy(t, s, upgradeRequest)
	return nc, r
}

// upgradedBy is upgraded with a request, and returns the answer's header.
func upgradedBy(t *testing.T, s *testkit.Server, request string) (net.Conn, *bufio.Reader, http.Header) {
	t.Helper()
	nc := dialRaw(t, s)
	if _, err := io.WriteString(nc, request); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(nc)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 101 {
		t.Fatalf("upgrade: %v %v", resp, err)
	}
	return nc, r, resp.Header
}

// drained reads to the end and reports the close code in the last frame, 0 if
// there was none.
func drained(r io.Reader) (code int) {
	all, _ := io.ReadAll(r)
	for len(all) >= 2 {
		n, header := int(all[1]&127), 2
		switch n {
		case 126:
			n, header = int(all[2])<<8|int(all[3]), 4
		case 127:
			n, header = int(all[6])<<24|int(all[7])<<16|int(all[8])<<8|int(all[9]), 10
		}
		if all[0]&15 == 8 && n >= 2 && len(all) >= header+2 {
			return int(all[header])<<8 | int(all[header+1])
		}
		if len(all) < header+n {
			return 0
		}
		all = all[header+n:]
	}
	return 0
}

// Framing faults end the socket with the right code and a count, and harm nobody
// (PROTOCOL 1.36).
func TestHostileFrames(t *testing.T) {
	t.Parallel()
	mask := "\x00\x00\x00\x00"
	eachTransport(t, attackConfig, func(t *testing.T, s *testkit.Server) {
		h := newHealthy(t, s)
		for _, tt := range []struct {
			name, bytes, reason string
			code                int
		}{
			{"unmasked", "\x81\x02hi", "framing", 4200},
			{"reserved bit", "\xc1\x82" + mask + "hi", "framing", 4200},
			{"unknown opcode", "\x83\x82" + mask + "hi", "framing", 4200},
			{"long control frame", "\x89\xfe\x00\x80" + mask + strings.Repeat("x", 128), "framing", 4200},
			{"fragmented control frame", "\x09\x80" + mask, "framing", 4200},
			{"continuation of nothing", "\x80\x82" + mask + "hi", "framing", 4200},
			{"text within text", "\x01\x81" + mask + "h\x81\x81" + mask + "i", "framing", 4200},
			{"bad UTF-8", "\x81\x82" + mask + "\xff\xfe", "invalid_utf8", 1007},
			{"announced 1 GiB", "\x81\xff\x00\x00\x00\x00\x40\x00\x00\x00" + mask, "too_big", 1009},
			{"length with the top bit", "\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00" + mask, "too_big", 1009},
			{"fragments beyond the limit", "\x01\xfe\x80\x00" + mask + strings.Repeat("x", 0x8000) + strings.Repeat("\x00\xfe\x80\x00"+mask+strings.Repeat("x", 0x8000), 4), "too_big", 1009},
		} {
			metric := `dunlin_drops_total{reason="` + tt.reason + `"}`
			before := s.Metric(metric)
			nc, r := upgraded(t, s)
			io.WriteString(nc, tt.bytes)
			if code := drained(r); code != tt.code {
				t.Errorf("%s: closed with %d, want %d", tt.name, code, tt.code)
			}
			if s.Metric(metric) != before+1 {
				t.Errorf("%s: not counted as %s", tt.name, tt.reason)
			}
			h.check()
		}
		half, _ := upgraded(t, s) // and never the rest
		io.WriteString(half, "\x81\xfe\x10\x00"+mask+"half a frame")
		h.check()
	})
}

// Handshakes that never end, or are too much, are ended in time and counted.
func TestHostileHandshakes(t *testing.T) {
	t.Parallel()
	eachTransport(t, attackConfig, func(t *testing.T, s *testkit.Server) {
		h := newHealthy(t, s)
		const silent = 2000
		for range silent {
			dialRaw(t, s)
		}
		slow := dialRaw(t, s)
		io.WriteString(slow, upgradeRequest[:60])
		h.check()
		testkit.Until(t, "silent connections closed and counted", func() bool {
			h.check()
			return s.Metric(`dunlin_drops_total{reason="handshake_timeout"}`) >= silent+1
		})
		if n, err := slow.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a half request was answered, or is waited for: %d bytes, %v", n, err)
		}
		for name, head := range map[string]string{
			"one huge header": "GET /app/app-key?protocol=7 HTTP/1.1\r\nX: " + strings.Repeat("x", 64<<10),
			"many headers":    "GET /app/app-key?protocol=7 HTTP/1.1\r\n" + strings.Repeat("X: y\r\n", 8000),
			"huge key":        "GET /app/" + strings.Repeat("k", 64<<10),
		} {
			nc := dialRaw(t, s)
			io.WriteString(nc, head)
			if _, err := io.ReadAll(nc); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: still open", name)
			}
		}
		for _, head := range []string{
			"GET /app/app-key?protocol=7 HTTP/1.1\r\nHost: x\r\n\r\n",
			strings.Replace(upgradeRequest, "Version: 13", "Version: 8", 1),
			strings.Replace(upgradeRequest, "dGhlIHNhbXBsZSBub25jZQ==", "short", 1),
		} {
			nc := dialRaw(t, s)
			io.WriteString(nc, head)
			r, err := http.ReadResponse(bufio.NewReader(nc), nil)
			if err != nil || r.StatusCode/100 != 4 {
				t.Errorf("%.60q: %v %v", head, r, err)
			}
		}
		h.check()
	})
}

// PITFALLS 12, 34: who does not read is closed and counted; who reads gets all,
// however much it is
func TestSlowReader(t *testing.T) {
	t.Parallel()
	eachTransport(t, attackConfig, func(t *testing.T, s *testkit.Server) {
		ctx := testkit.Context(t)
		fast := s.Dial()
		if err := fast.Subscribe(ctx, "flood", client.Authorization{}); err != nil {
			t.Fatal(err)
		}
		if _, err := fast.Next(ctx); err != nil {
			t.Fatal(err)
		}
		slow, _ := upgraded(t, s)
		sub := `{"event":"pusher:subscribe","data":{"channel":"flood"}}`
		io.WriteString(slow, string([]byte{0x81, 0x80 | byte(len(sub)), 0, 0, 0, 0})+sub) // 0: the mask
		testkit.Until(t, "both subscribed", func() bool { return s.Metric("dunlin_subscriptions") == 2 })
		data := strings.Repeat("x", 90000)
		sent := 0
		got := make(chan error, 1)
		const most = 400
		// A reader counts as healthy while it is at most two events behind: on a machine
		// with no time for this process, its socket would rightly be called slow.
		behind := make(chan struct{}, 2)
		go func() {
			for n := 0; n < most; n++ {
				if _, err := fast.Next(ctx); err != nil {
					got <- fmt.Errorf("after %d events: %w", n, err)
					return
				}
				<-behind
			}
			got <- nil
		}()
		for ; sent < most; sent++ {
			select {
			case behind <- struct{}{}:
			case err := <-got:
				t.Fatalf("the healthy reader: %v", err)
			}
			if _, err := s.API.Trigger(ctx, client.Publication{Name: "e", Channel: "flood", Data: data}); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-got; err != nil {
			t.Errorf("the healthy reader: %v", err)
		}
		testkit.Until(t, "the slow reader counted", func() bool { return s.Metric(`dunlin_drops_total{reason="slow"}`) == 1 })
		testkit.Until(t, "the slow reader gone", func() bool { return s.Metric("dunlin_subscriptions") == 1 })
	})
}

// PROTOCOL 1.34, 2.5; PITFALLS 26: gauges return to zero, also when nobody says goodbye
func TestGaugesReturnToZero(t *testing.T) {
	t.Parallel()
	eachTransport(t, attackConfig, func(t *testing.T, s *testkit.Server) {
		ctx := testkit.Context(t)
		for i := range 50 {
			c := s.Dial()
			data := fmt.Sprintf(`{"user_id":"%d"}`, i%7)
			if err := c.Subscribe(ctx, "presence-p", s.API.Authorize(c.SocketID(), "presence-p", data)); err != nil {
				t.Fatal(err)
			}
			if err := c.Subscribe(ctx, "room", client.Authorization{}); err != nil {
				t.Fatal(err)
			}
			if i%2 == 0 {
				defer c.Drop()
			} else {
				defer c.Close(4200, "")
			}
		}
		testkit.Until(t, "all subscribed", func() bool { return s.Metric("dunlin_subscriptions") == 100 })
		t.Cleanup(func() { // after the deferred ends
			testkit.Until(t, "zero", func() bool {
				return s.Metric("dunlin_subscriptions") == 0 && s.Metric("dunlin_connections") == 0
			})
			r, err := s.API.Do(testkit.Context(t), "GET", "/channels", nil, nil)
			if err != nil || string(r.Body) != `{"channels":{}}` {
				t.Errorf("channels left: %s %v", r.Body, err)
			}
		})
	})
}

// PITFALLS 31
func TestTakenPort(t *testing.T) {
	t.Parallel()
	eachTransport(t, "", func(t *testing.T, s *testkit.Server) {
		bin, err := testkit.Binary()
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(s.Addr)
		cmd := exec.Command(bin, "serve", "--port", port)
		cmd.Env = append(cmd.Environ(), "DUNLIN_APP_ID=a", "DUNLIN_APP_KEY=b", "DUNLIN_APP_SECRET=c", "DUNLIN_OPS_PORT=0")
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), port) || !strings.Contains(string(out), "in use") {
			t.Errorf("a second start on port %s: %v\n%s", port, err, out)
		}
		newHealthy(t, s)
	})
}

// PROTOCOL 1.35; PITFALLS 27: a stop sends everybody away to reconnect (4200), exit 0
func TestGracefulStop(t *testing.T) {
	t.Parallel()
	eachTransport(t, "", func(t *testing.T, s *testkit.Server) {
		var all []*client.Conn
		for range 100 {
			all = append(all, s.Dial())
		}
		s.Signal(syscall.SIGTERM)
		for _, c := range all {
			_, err := c.Next(testkit.Context(t))
			if err == nil {
				_, err = c.Next(testkit.Context(t))
			}
			var end *client.CloseError
			if !errors.As(err, &end) || end.Code != 4200 || end.Reason != "Please reconnect immediately" || end.Cause == nil {
				t.Fatalf("ended with %v", err)
			}
		}
		if err := s.Wait(); err != nil {
			t.Errorf("exit: %v", err)
		}
	})
}

// PITFALLS 32: at the file limit the server answers, counts and recovers
func TestFileLimit(t *testing.T) {
	t.Parallel()
	for _, name := range transports() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testkit.Start(t, testkit.Options{Config: attackConfig, Env: []string{"DUNLIN_SERVER_TRANSPORT=" + name},
				Wrap: []string{"sh", "-c", `ulimit -n 200; exec "$@"`, "sh"}})
			h := newHealthy(t, s)
			var open []net.Conn
			for range 400 {
				nc := dialRaw(t, s)
				io.WriteString(nc, upgradeRequest)
				open = append(open, nc)
			}
			if err := h.c.Ping(testkit.Context(t)); err != nil {
				t.Fatal(err)
			}
			if _, err := h.c.Await(testkit.Context(t), "pusher:pong", ""); err != nil {
				t.Fatalf("the healthy client at the limit: %v", err)
			}
			for _, nc := range open {
				nc.Close()
			}
			testkit.Until(t, "recovery", func() bool {
				c, err := client.Dial(testkit.Context(t), "http://"+s.Addr, testkit.Key, client.Options{})
				if err != nil {
					return false
				}
				c.Drop()
				return true
			})
			h.check()
			if n := s.Metric(`dunlin_drops_total{reason="file_limit"}`); n == 0 {
				t.Error("not counted")
			}
		})
	}
}
