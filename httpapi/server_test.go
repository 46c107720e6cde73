package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestKeepAlive: many requests on one connection, refused ones among them.
//
// PROTOCOL 5.15.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	f := start(t)
	nc, br := f.dial()
	for range 5 {
		fmt.Fprint(nc, app3.request("POST", "/apps/3/events", vectorBody))
		f.expect(f.read(br, "POST"), 200, "{}")
		fmt.Fprint(nc, request("POST", "/apps/3/events", vectorBody))
		f.expect(f.read(br, "POST"), 401, "Missing parameter: auth_key\n")
		fmt.Fprint(nc, app3.request("GET", "/apps/3/channels", ""))
		f.expect(f.read(br, "GET"), 200, `{"channels":{}}`)
	}
}

// TestPipelining: requests sent at once are answered in order.
func TestPipelining(t *testing.T) {
	t.Parallel()
	f := start(t)
	nc, br := f.dial()
	fmt.Fprint(nc, app3.request("POST", "/apps/3/events", vectorBody)+request("GET", "/live", "")+
		app3.request("GET", "/apps/3/channels/a", ""))
	f.expect(f.read(br, "POST"), 200, "{}")
	f.expect(f.read(br, "GET"), 200, "OK")
	f.expect(f.read(br, "GET"), 200, `{"occupied":false}`)
}

// TestBodyForms: chunked bodies, bodies behind 100-continue, any content type, and a
// GET's body, which is signed and never the next request.
//
// PROTOCOL 5.14.
func TestBodyForms(t *testing.T) {
	t.Parallel()
	f := start(t)
	target := app3.target("POST", "/apps/3/events", vectorBody)
	chunked := "POST " + target + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"5\r\n" + vectorBody[:5] + "\r\n" + strconv.FormatInt(int64(len(vectorBody)-5), 16) + "\r\n" + vectorBody[5:] + "\r\n0\r\n\r\n"
	f.expect(f.send(chunked), 200, "{}")
	for _, contentType := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"} {
		f.expect(f.send(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
			target, contentType, len(vectorBody), vectorBody)), 200, "{}")
	}

	nc, br := f.dial()
	fmt.Fprintf(nc, "POST %s HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", target, len(vectorBody))
	f.expect(f.read(br, "POST"), 100, "")
	fmt.Fprint(nc, vectorBody)
	f.expect(f.read(br, "POST"), 200, "{}")

	body := "GET /live HTTP/1.1\r\n\r\n"
	fmt.Fprint(nc, request("GET", app3.target("GET", "/apps/3/channels", body), body)+request("GET", "/", ""))
	f.expect(f.read(br, "GET"), 200, `{"channels":{}}`)
	f.expect(f.read(br, "GET"), 200, "OK")
}

// TestBodyTooLarge: a 413 that the sender gets to read, though it never stops sending.
//
// PITFALLS 4.
func TestBodyTooLarge(t *testing.T) {
	t.Parallel()
	const limit = 4096
	want := "The request body exceeds the allowed maximum (4096 bytes)"
	f := start(t, func(o *Options) { o.MaxRequestBytes = limit })
	exact := `{"name":"e","channel":"a","data":""}`
	exact += strings.Repeat(" ", limit-len(exact))
	f.expect(f.post("events", exact), 200, "{}")
	f.engine.published = nil
	f.refused(f.post("events", exact+" "), 413, want)
	for range 3 {
		f.refused(f.post("events", strings.Repeat("x", 8<<20)), 413, want)
	}
	f.refused(f.send("POST /apps/3/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"+
		"400000\r\n"+strings.Repeat("x", 4<<20)+"\r\n0\r\n\r\n"), 413, want)

	nc, br := f.dial() // announced, not sent: refused without waiting
	fmt.Fprint(nc, "POST /apps/3/events HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n")
	got := f.read(br, "POST")
	f.refused(got, 413, want)
	if _, err := br.ReadByte(); !got.last || err != io.EOF {
		t.Errorf("the connection stays open: %v", err)
	}
}

// TestMalformed: what is not HTTP, or too much of it.
func TestMalformed(t *testing.T) {
	t.Parallel()
	f := start(t)
	const bad = "Bad request: this is not valid HTTP"
	f.refused(f.send("nonsense\r\n\r\n"), 400, bad)
	f.refused(f.send("GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n"), 400, bad)
	f.refused(f.send("POST /apps/3/events HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n"), 400, bad)
	f.refused(f.send("GET /?"+strings.Repeat("x", maxHeaderBytes)+" HTTP/1.1\r\nHost: x\r\n\r\n"), 431,
		"The request line and headers exceed the allowed maximum (16384 bytes)")
	long := "GET /live?" + strings.Repeat("x", 12<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n"
	f.expect(f.send(long), 200, "OK")
}

// TestTimeouts: a request that does not come whole is answered 408, an idle
// connection is closed.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	f := start(t, func(o *Options) { o.ReadTimeout, o.IdleTimeout = 50*time.Millisecond, 50*time.Millisecond })
	f.refused(f.send("POST /apps/3/events HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nx"), 408, "Request timeout")
	f.refused(f.send("GET / HTTP/1.1\r\nHost: x\r\n"), 408, "Request timeout")
	nc, br := f.dial()
	fmt.Fprint(nc, request("GET", "/live", ""))
	f.expect(f.read(br, "GET"), 200, "OK")
	if _, err := br.ReadByte(); err != io.EOF {
		t.Errorf("an idle connection: %v", err)
	}
}

// TestShutdown: a request under way is finished, then connections end; Serve
// returns nil, and refuses to start again.
func TestShutdown(t *testing.T) {
	t.Parallel()
	f := build(t)
	listener := NewConnListener(nil)
	served := make(chan error, 1)
	go func() { served <- f.server.Serve(listener) }()
	client, server := tcpPair(t)
	listener.Push(server)
	fmt.Fprint(client, request("GET", "/live", ""))
	buf := make([]byte, 4096)
	if _, err := client.Read(buf); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := f.server.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if err := receive(t, served); err != nil {
		t.Error(err)
	}
	if _, err := client.Read(buf); err != io.EOF {
		t.Errorf("an idle connection after shutdown: %v", err)
	}
	late := NewConnListener(nil)
	if err := f.server.Serve(late); err != nil {
		t.Error(err)
	}
	if _, err := late.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept: %v", err)
	}
	if err := f.server.Shutdown(ctx); err != nil {
		t.Errorf("a second shutdown: %v", err)
	}
}

// TestDrainingIsNotReady: from Shutdown on (PITFALLS 28).
func TestDrainingIsNotReady(t *testing.T) {
	t.Parallel()
	f := build(t)
	if err := f.server.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	got := f.direct("GET", "/ready", "")
	if got.status != 503 || got.body != `{"ready":false,"reasons":["shutting down"]}` {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := f.direct("GET", "/live", ""); got.status != 200 {
		t.Errorf("live: %d", got.status)
	}
}

// tcpPair returns the two ends of a connection.
func tcpPair(t testing.TB) (client, server net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if client, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	client.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// replay is a connection of which something was read, as the node's door makes
// them.
type replay struct {
	net.Conn
	first *bytes.Reader
}

func (r *replay) Read(p []byte) (int, error) {
	if r.first.Len() > 0 {
		return r.first.Read(p)
	}
	return r.Conn.Read(p)
}

// TestConnListener serves connections that were begun elsewhere, and hands an
// upgrade over with everything that was to be replayed.
func TestConnListener(t *testing.T) {
	t.Parallel()
	given := make(chan adopted, 1)
	f := build(t, func(o *Options) {
		o.Adopt = func(nc net.Conn, request []byte) error {
			given <- adopted{nc, string(request)}
			return nil
		}
	})
	listener := NewConnListener(&net.TCPAddr{Port: 6001})
	f.serve(listener)
	if f.addr != ":6001" {
		t.Errorf("address %s", f.addr)
	}
	raw := request("GET", "/live", "")
	client, server := tcpPair(t)
	listener.Push(&replay{server, bytes.NewReader([]byte(raw[:9]))})
	fmt.Fprint(client, raw[9:])
	buf := make([]byte, 4096)
	if n, err := client.Read(buf); err != nil || !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 200 OK") {
		t.Errorf("%q, %v", buf[:n], err)
	}

	_, server = tcpPair(t)
	upgrade := "GET /foo HTTP/1.1\r\n" + upgradeHeaders + strings.Repeat("frames", 10_000)
	pushed := &replay{server, bytes.NewReader([]byte(upgrade))}
	listener.Push(pushed)
	got := receive(t, given)
	if got.nc != net.Conn(pushed) || len(got.request) != len(upgrade) {
		t.Errorf("handed over %d of %d bytes", len(got.request), len(upgrade))
	}
}

// TestConnListenerClose: what is pushed and not accepted is closed, before and
// after; Accept ends.
func TestConnListenerClose(t *testing.T) {
	t.Parallel()
	l := NewConnListener(nil)
	var peers []net.Conn
	push := func() {
		a, b := net.Pipe()
		peers = append(peers, a)
		l.Push(b)
	}
	push()
	push()
	if _, err := l.Accept(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 2)
	var drained sync.WaitGroup
	drained.Go(func() {
		for {
			if _, err := l.Accept(); err != nil {
				ended <- err
				return
			}
		}
	})
	push()
	l.Close()
	l.Close()
	push()
	if err := receive(t, ended); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	drained.Wait()
	last := peers[len(peers)-1]
	if _, err := last.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("pushed after close: %v", err)
	}
}

// TestConnListenerManyAtOnce: Push from many goroutines, each connection served
// once.
func TestConnListenerManyAtOnce(t *testing.T) {
	t.Parallel()
	l := NewConnListener(nil)
	const n = 500
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			a, _ := net.Pipe()
			l.Push(a)
		})
	}
	seen := make(map[net.Conn]bool)
	for range n {
		nc, err := l.Accept()
		if err != nil || seen[nc] {
			t.Fatal(err, seen[nc])
		}
		seen[nc] = true
	}
	wg.Wait()
}
