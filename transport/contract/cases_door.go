package contract

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/transport"
)

var doorCases = []testCase{
	{"handshake (PROTOCOL 1.1, 1.2)", handshake},
	{"handshake byte by byte", handshakeInBytes},
	{"handshake with frames behind it", handshakeWithFrames},
	{"subprotocol (PROTOCOL 1.5)", subprotocol},
	{"path prefix (PROTOCOL 1.4)", pathPrefix},
	{"bad upgrades", badUpgrades},
	{"header too large", headerTooLarge},
	{"handshake timeout", handshakeTimeout},
	{"silent connections", silentConnections},
	{"refused (PROTOCOL 1.3, 1.32)", refused},
	{"http", httpHandOver},
	{"http without a taker", httpWithoutTaker},
	{"adopt", adopt},
	{"adopt from http", adoptFromHTTP},
}

func handshake(t *testing.T, listen Listen) {
	n := start(t, listen, config{})
	c := n.dial()
	c.write("GET /app/the%20key?protocol=7&client=js HTTP/1.1\r\nOrigin: https://a.example\r\n" + upgradeHeaders + "\r\n")
	c.switched()
	p := n.established(c)
	h := p.handshake
	if h.Remote == nil || h.Remote.String() != c.nc.LocalAddr().String() {
		t.Errorf("remote %v, want %v", h.Remote, c.nc.LocalAddr())
	}
	h.Remote = nil
	want := transport.Handshake{Path: "/app/the%20key", Key: "the key", OnPath: true, Query: "protocol=7&client=js", Origin: "https://a.example"}
	if h != want {
		t.Errorf("%+v, want %+v", h, want)
	}
	if n.metrics.Connections() != 1 {
		t.Errorf("%d connections counted", n.metrics.Connections())
	}
}

func handshakeInBytes(t *testing.T, listen Listen) {
	n := start(t, listen, config{})
	c := n.dial()
	for _, b := range []byte(upgradeRequest("/app/key")) {
		c.write(string(b))
	}
	c.switched()
	n.established(c)
	c.say("hello")
	c.hears("hello")
}

func handshakeWithFrames(t *testing.T, listen Listen) {
	n := start(t, listen, config{})
	c := n.dial()
	two := frame(fin|opText, "one") + frame(fin|opText, "two")
	c.write(upgradeRequest("/app/key") + two[:len(two)-3])
	c.switched()
	n.established(c)
	c.hears("one")
	c.write(two[len(two)-3:])
	c.hears("two")
}

func subprotocol(t *testing.T, listen Listen) {
	n := start(t, listen, config{})
	c := n.dial()
	c.write("GET /app/key HTTP/1.1\r\nSec-WebSocket-Protocol: pusher-channels-protocol-7\r\n" + upgradeHeaders + "\r\n")
	r, _ := c.response()
	if got := r.Header.Get("Sec-WebSocket-Protocol"); got != "pusher-channels-protocol-7" {
		t.Errorf("subprotocol %q", got)
	}
	n.established(c)
}

func pathPrefix(t *testing.T, listen Listen) {
	n := start(t, listen, config{options: transport.Options{PathPrefix: "/ws"}})
	c := n.dial()
	c.write(upgradeRequest("/ws/app/key"))
	c.switched()
	if p := n.established(c); p.handshake.Key != "key" {
		t.Errorf("key %q", p.handshake.Key)
	}
	c = n.dial()
	c.write(upgradeRequest("/app/key")) // is HTTP here, and nobody takes that
	c.cut()
}

func badUpgrades(t *testing.T, listen Listen) {
	n := start(t, listen, config{})
	for _, c := range []struct {
		request string
		status  int
	}{
		{"GET /app/key HTTP/1.1\r\nHost: h\r\n\r\n", 426},
		{strings.Replace(upgradeRequest("/app/key"), "Version: 13", "Version: 12", 1), 426},
		{strings.Replace(upgradeRequest("/app/key"), "Sec-WebSocket-Key", "X", 1), 400},
	} {
		conn := n.dial()
		conn.write(c.request)
		r, body := conn.response()
		if r.StatusCode != c.status || !strings.HasSuffix(body, "\n") {
			t.Errorf("%q: %s %q, want %d", c.request, r.Status, body, c.status)
		}
		conn.ended()
	}
	n.drops(metrics.DropBadRequest, 3)
}

func headerTooLarge(t *testing.T, listen Listen) {
	n := start(t, listen, config{})
	large := "GET /app/key HTTP/1.1\r\nCookie: " + repeat("c", 15_000) + "\r\n" + upgradeHeaders + "\r\n"
	c := n.dial()
	c.write(large)
	c.switched()
	c = n.dial()
	c.write("GET /app/key HTTP/1.1\r\nCookie: " + repeat("c", 40_000))
	if r, _ := c.response(); r.StatusCode != 431 {
		t.Errorf("status %s, want 431", r.Status)
	}
	c.ended()
}

func handshakeTimeout(t *testing.T, listen Listen) {
	n := start(t, listen, config{options: transport.Options{HandshakeTimeout: 80 * time.Millisecond}})
	silent, half, slow := n.dial(), n.dial(), n.dial()
	half.write("GET /app/key HTTP/1.1\r\nHost")
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for _, b := range []byte("GET /app/key HTTP/1.1\r\nX: " + repeat("x", 10_000)) {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			if _, err := slow.nc.Write([]byte{b}); err != nil {
				return
			}
		}
	})
	silent.cut()
	half.cut()
	slow.cut()
	close(stop)
	writer.Wait()
	n.drops(metrics.DropHandshake, 3)
}

func silentConnections(t *testing.T, listen Listen) {
	const many = 1000
	n := start(t, listen, config{options: transport.Options{HandshakeTimeout: 2 * time.Second}})
	silent := make([]*client, many)
	for i := range silent {
		silent[i] = n.dial()
	}
	c, _ := n.connect()
	c.say("still served")
	c.hears("still served")
	for _, s := range silent {
		s.cut()
	}
	n.drops(metrics.DropHandshake, many)
	c.say("and after")
	c.hears("and after")
}

func refused(t *testing.T, listen Listen) {
	n := start(t, listen, config{refuse: func(h transport.Handshake) *protocol.Error {
		return protocol.ErrUnknownKey(h.Key)
	}})
	c := n.dial()
	c.write(upgradeRequest("/app/nobody") + frame(fin|opText, "hello"))
	c.switched()
	bad := protocol.ErrUnknownKey("nobody")
	c.closing(bad.Code, bad.Reason())
	if got := n.metrics.Connections(); got != 0 {
		t.Errorf("%d connections counted", got)
	}
}

// queue is a net.Listener fed by Options.HTTP.
type queue struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newQueue() *queue { return &queue{conns: make(chan net.Conn, 100), done: make(chan struct{})} }

func (q *queue) push(nc net.Conn) { q.conns <- nc }

func (q *queue) Accept() (net.Conn, error) {
	select {
	case nc := <-q.conns:
		return nc, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

func (q *queue) Close() error   { q.once.Do(func() { close(q.done) }); return nil }
func (q *queue) Addr() net.Addr { return &net.TCPAddr{} }

// serveHTTP runs a real HTTP server on what the door sends away.
func serveHTTP(t *testing.T, q *queue, h http.HandlerFunc) {
	s := &http.Server{Handler: h}
	var done sync.WaitGroup
	done.Go(func() { s.Serve(q) })
	t.Cleanup(func() { s.Close(); done.Wait() })
}

func httpHandOver(t *testing.T, listen Listen) {
	q := newQueue()
	serveHTTP(t, q, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		io.WriteString(w, r.Method+" "+r.URL.Path+" "+string(body))
	})
	n := start(t, listen, config{options: transport.Options{HTTP: q.push, HandshakeTimeout: 200 * time.Millisecond}})
	c := n.dial()
	post := "POST /apps/1/events HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"
	get := "GET /apps/1/channels HTTP/1.1\r\nHost: h\r\n\r\n"
	expect := func(want string) {
		t.Helper()
		if r, body := c.response(); r.StatusCode != 200 || body != want {
			t.Fatalf("%s %q, want %q", r.Status, body, want)
		}
	}
	c.write(post + get) // pipelined
	expect("POST /apps/1/events body")
	expect("GET /apps/1/channels ")
	for _, b := range []byte(get) { // keep-alive
		c.write(string(b))
	}
	expect("GET /apps/1/channels ")
	n.dial().cut() // when a later connection's time is up, the door's timeout must not have followed
	c.write(get)
	expect("GET /apps/1/channels ")

	c = n.dial() // undecided until its last byte
	for _, b := range []byte("GET /ap") {
		c.write(string(b))
	}
	c.write("i HTTP/1.1\r\nHost: h\r\n\r\n")
	expect("GET /api ")
}

func httpWithoutTaker(t *testing.T, listen Listen) {
	n := start(t, listen, config{})
	c := n.dial()
	c.write("GET / HTTP/1.1\r\n\r\n")
	c.cut()
}

func adopt(t *testing.T, listen Listen) {
	n := start(t, listen, config{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dial := func(request string) *client {
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		nc.SetDeadline(time.Now().Add(patience))
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if err := n.server.Adopt(accepted, []byte(request)); err != nil {
			t.Fatal(err)
		}
		return &client{t: t, nc: nc, br: bufio.NewReader(nc)}
	}
	c := dial(upgradeRequest("/elsewhere?x=1") + frame(fin|opText, "early"))
	c.switched()
	if h := n.established(c).handshake; h.OnPath || h.Key != "" || h.Path != "/elsewhere" || h.Query != "x=1" {
		t.Errorf("%+v", h)
	}
	c.hears("early")
	c.say(repeat("later", 20_000))
	c.hears(repeat("later", 20_000))

	c = dial("GET /elsewhere HTTP/1.1\r\nHost: h\r\n\r\n")
	if r, _ := c.response(); r.StatusCode != 426 {
		t.Errorf("status %s, want 426", r.Status)
	}
	c.ended()
}

func adoptFromHTTP(t *testing.T, listen Listen) {
	q := newQueue()
	n := start(t, listen, config{options: transport.Options{HTTP: q.push}})
	serveHTTP(t, q, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			io.WriteString(w, "plain")
			return
		}
		nc, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		request := upgradeRequest(r.URL.RequestURI())
		buffered, _ := rw.Reader.Peek(rw.Reader.Buffered())
		if err := n.server.Adopt(nc, append([]byte(request), buffered...)); err != nil {
			t.Error(err)
		}
	})
	c := n.dial()
	c.write("GET /first HTTP/1.1\r\nHost: h\r\n\r\n")
	if _, body := c.response(); body != "plain" {
		t.Fatalf("body %q", body)
	}
	c.write(upgradeRequest("/app/key?protocol=7"))
	c.switched()
	if h := n.established(c).handshake; !h.OnPath || h.Key != "key" || h.Remote.String() != c.nc.LocalAddr().String() {
		t.Errorf("%+v", h)
	}
	c.say("hello")
	c.hears("hello")
}
