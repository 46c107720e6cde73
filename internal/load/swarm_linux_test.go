package load

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"
	"golang.org/x/sys/unix"

	"dunlin/protocol"
	"dunlin/transport/wire"
)

// odd is a server with the habits of others: what it does to connections is the
// test's to say.
type odd struct {
	t        *testing.T
	open     func(p *peer)                  // after the upgrade; nil: greet
	message  func(p *peer, m gjson.Result)  // nil: answer subscribes
	publish  func(all []*peer, data string) // of POST /events; nil: to all
	refusal  string                         // HTTP answer instead of the upgrade
	listener net.Listener

	mu    sync.Mutex
	peers []*peer // guarded by mu
}

// peer is the server's side of a connection.
type peer struct {
	s *odd
	n int // in the order of upgrades
	net.Conn
	pongs chan string
}

func (s *odd) start(t *testing.T) Options {
	t.Helper()
	var err error
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.t = t
	t.Cleanup(func() { s.listener.Close() })
	go func() {
		for {
			nc, err := s.listener.Accept()
			if err != nil {
				return
			}
			go s.serve(nc)
		}
	}()
	o := Defaults(Fanout)
	o.URL, o.Secret = "http://"+s.listener.Addr().String(), protocol.NewSecret("secret")
	o.Connections, o.Events, o.Patience = 5, 20, 10*time.Second
	return o
}

// serve tells requests apart.
func (s *odd) serve(nc net.Conn) {
	defer nc.Close()
	in := bufio.NewReader(nc)
	for {
		r, err := http.ReadRequest(in)
		switch {
		case err != nil:
			return
		case r.Method == http.MethodPost:
			s.post(nc, r)
		case s.refusal != "":
			io.WriteString(nc, s.refusal)
			return
		default:
			s.socket(nc, in)
			return
		}
	}
}

func (s *odd) post(nc net.Conn, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	if data := gjson.GetBytes(body, "data").Str; s.publish != nil {
		s.publish(s.peers, data)
	} else {
		for _, p := range s.peers {
			p.event(data)
		}
	}
	s.mu.Unlock()
	io.WriteString(nc, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
}

func (s *odd) socket(nc net.Conn, in *bufio.Reader) {
	io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+wire.SampleAccept+"\r\n\r\n")
	s.mu.Lock()
	p := &peer{s, len(s.peers), nc, make(chan string, 10)}
	s.peers = append(s.peers, p)
	s.mu.Unlock()
	if s.open != nil {
		s.open(p)
	} else {
		p.greet()
	}
	var r wire.Reader
	chunk := make([]byte, 4096)
	for {
		n, err := in.Read(chunk)
		if err != nil {
			return
		}
		for rest := chunk[:n]; len(rest) > 0; {
			e, more, bad := r.Next(rest, 8<<20, false)
			if bad != nil {
				s.t.Errorf("the load maker sent %v", bad)
				return
			}
			p.take(e)
			rest = more
		}
	}
}

func (p *peer) take(e wire.Event) {
	switch e.Kind {
	case wire.Pong:
		p.pongs <- "frame " + string(e.Payload)
	case wire.Text:
		m := gjson.ParseBytes(e.Payload)
		switch {
		case m.Get("event").Str == "pusher:pong":
			p.pongs <- "message"
		case p.s.message != nil:
			p.s.message(p, m)
		default:
			p.succeed(m)
		}
	}
}

func (p *peer) text(format string, args ...any) {
	p.Write(protocol.NewFrame(fmt.Appendf(nil, format, args...)).WebSocket())
}

func (p *peer) greet() {
	p.text(`{"event":"pusher:connection_established","data":"{\"socket_id\":\"%d.1\",\"activity_timeout\":120}"}`, p.n)
}

func (p *peer) succeed(m gjson.Result) {
	p.text(`{"channel":%s,"event":"pusher_internal:subscription_succeeded","data":"{}"}`, m.Get("data.channel").Raw)
}

func (p *peer) event(data string) { p.text(`{"channel":"bench","data":"%s","event":"bench"}`, data) }

// TestOtherServers: the order of keys, pings of both kinds, a greeting that comes
// byte by byte, and compression that is declined.
func TestOtherServers(t *testing.T) {
	t.Parallel()
	s := &odd{}
	s.open = func(p *peer) {
		f := protocol.NewFrame(fmt.Appendf(nil, `{"data": "{\"socket_id\":\"%d.1\"}", "event": "pusher:connection_established"}`, p.n)).WebSocket()
		for i := range f {
			p.Write(f[i : i+1])
		}
		p.Write(wire.AppendPing(nil, []byte("are you there")))
		p.text(`{"event":"pusher:ping","data":{}}`)
	}
	o := s.start(t)
	o.Compress = true
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Notes) != 1 || r.Notes[0] != "0 of 5 connections have negotiated compression" {
		t.Errorf("notes %q", r.Notes)
	}
	if d := r.Deliveries; *d != (Deliveries{100, 100, 0, 0, d.PerSecond, d.BytesEach}) || d.BytesEach < 128 || d.BytesEach > 256 || r.Requests.Accepted != 20 || len(r.Errors) != 0 {
		t.Errorf("%+v %+v %+v", d, r.Requests, r.Errors)
	}
	if each, last := r.Latency[timeDelivery], r.Latency[timeLast]; each.Count != 100 || last.Count != 20 || last.Max < each.P50 {
		t.Errorf("%+v %+v", each, last)
	}
	for _, p := range s.peers {
		if a, b := <-p.pongs, <-p.pongs; a != "frame are you there" || b != "message" {
			t.Errorf("pongs %q, %q", a, b)
		}
	}
}

// TestLosses: one subscriber misses one event, and gets another twice.
func TestLosses(t *testing.T) {
	t.Parallel()
	n := 0
	s := &odd{publish: func(all []*peer, data string) {
		for _, p := range all {
			switch {
			case n == 3 && p.n == 1:
				continue
			case n == 4 && p.n == 1:
				p.event(data)
			}
			p.event(data)
		}
		n++
	}}
	o := s.start(t)
	o.Window, o.Patience = 0, 2*time.Second
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if d := r.Deliveries; *d != (Deliveries{100, 99, 1, 1, d.PerSecond, d.BytesEach}) {
		t.Errorf("%+v", d)
	}
}

// TestStall: a server that stops delivering ends the load, though the window is
// full and publishers wait.
func TestStall(t *testing.T) {
	t.Parallel()
	n := 0
	s := &odd{publish: func(all []*peer, data string) {
		if n++; n <= 5 {
			for _, p := range all {
				p.event(data)
			}
		}
	}}
	o := s.start(t)
	o.Window, o.Patience = 2, 2*time.Second
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Deliveries.Received != 25 || r.Deliveries.Lost == 0 || r.Requests.Sent >= 20 || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "nothing came") {
		t.Errorf("%+v %+v %q", r.Deliveries, r.Requests, r.Notes)
	}
}

// TestDropped: the server sends a subscriber away in the middle.
func TestDropped(t *testing.T) {
	t.Parallel()
	n := 0
	s := &odd{publish: func(all []*peer, data string) {
		if n++; n == 10 {
			all[2].Write(wire.AppendClose(nil, 4100, "Over capacity"))
		}
		for _, p := range all {
			p.event(data)
		}
	}}
	o := s.start(t)
	o.Window, o.Patience = 0, 2*time.Second
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Errors) != 1 || r.Errors[0] != (Failure{"close 4100", 1, "Over capacity"}) || r.Connections.Lost != 1 || r.Connections.Ready != 5 {
		t.Errorf("%+v %+v", r.Errors, r.Connections)
	}
	if d := r.Deliveries; d.Expected != 100 || d.Lost != 11 {
		t.Errorf("%+v", d)
	}
}

// TestRefusals: the reasons why nothing can be opened reach the caller.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]*odd{
		"upgrade refused: HTTP/1.1 503 Service Unavailable": {refusal: "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"},
		"upgrade refused: HTTP/1.1 101 Fine":                {refusal: "HTTP/1.1 101 Fine\r\nSec-WebSocket-Accept: wrong\r\n\r\n"},
		"socket closed":                                     {refusal: "HTT"},
		"error 4001: App key": {open: func(p *peer) {
			p.text(`{"event":"pusher:error","data":{"code":4001,"message":"App key k not in this cluster"}}`)
		}},
		"close 4003: disabled":                {open: func(p *peer) { p.Write(wire.AppendClose(nil, 4003, "disabled")) }},
		"broken frame: Invalid frame: masked": {open: func(p *peer) { p.Write([]byte("\x81\x80\x00\x00\x00\x00")) }},
		"subscription error 401: No": {message: func(p *peer, _ gjson.Result) {
			p.text(`{"event":"pusher:subscription_error","channel":"bench","data":"{\"type\":\"AuthError\",\"error\":\"No\",\"status\":401}"}`)
		}},
		"not ready in time: nothing came for 2s": {message: func(*peer, gjson.Result) {}},
	} {
		o := s.start(t)
		o.Patience = 2 * time.Second
		r, err := Run(t.Context(), o)
		switch {
		case err == nil:
			t.Errorf("%s: %+v", want, r)
		case !strings.Contains(err.Error(), want):
			t.Errorf("got %q, want %q", err, want)
		}
	}
	o := (&odd{}).start(t)
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	o.URL = "http://" + gone.Addr().String()
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "connect failed: connection refused") {
		t.Error(err)
	}
}

// TestInterruptedSwarm ends a fan-out in the middle and keeps what was measured.
func TestInterruptedSwarm(t *testing.T) {
	t.Parallel()
	ctx, end := context.WithCancel(t.Context())
	n := 0
	s := &odd{publish: func(all []*peer, data string) {
		if n++; n == 10 {
			end()
		}
		for _, p := range all {
			p.event(data)
		}
	}}
	o := s.start(t)
	o.Events, o.Rate = 1000, 100
	r, err := Run(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if d := r.Deliveries; !r.Interrupted || d.Received < 50 || d.Lost != 0 || d.Expected > 100 {
		t.Errorf("%v %+v", r.Interrupted, d)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if r, err := Run(ended, (&odd{}).start(t)); err == nil && !r.Interrupted {
		t.Errorf("%+v", r)
	}
}

// TestWriteBacklog has a client write more than its socket takes.
func TestWriteBacklog(t *testing.T) {
	t.Parallel()
	got, release := make(chan int, 100), make(chan struct{})
	s := &odd{message: func(p *peer, m gjson.Result) {
		if m.Get("event").Str == "pusher:subscribe" {
			p.succeed(m)
			return
		}
		if p.n == 0 {
			<-release
		}
		got <- len(m.Get("data.text").Str)
	}}
	o := s.start(t)
	o.Scenario, o.Connections, o.Group, o.Size, o.Events, o.Duration = ClientEvents, 2, 2, 4<<20, 4, time.Second
	go func() {
		<-got
		close(release)
	}()
	o.Patience = 2 * time.Second
	if r, err := Run(t.Context(), o); err != nil || r.FromClients.Expected != 4 || r.FromClients.Lost != 4 {
		t.Fatalf("%+v %v", r, err)
	}
	for range 2 { // whole, though they left in pieces
		if n := <-got; n != 4<<20 {
			t.Errorf("%d bytes", n)
		}
	}
}

func TestFileLimit(t *testing.T) {
	t.Parallel()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Max < math.MaxInt64 {
		o := Defaults(Connect)
		o.Secret, o.Connections = protocol.NewSecret("s"), int(min(limit.Max+1, maxConnections))
		_, err := Run(t.Context(), o)
		want := fmt.Sprintf("open files, and the limit is %d (ulimit -Hn)", limit.Max)
		if err == nil || o.Connections > int(limit.Max) && !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if err := reserveFiles(10); err != nil {
		t.Error(err)
	}
	if got := tooManyFiles(18064, 1024).Error(); got != "this needs 18064 open files, and the limit is 1024 (ulimit -Hn): raise it, or lower --connections" {
		t.Error(got)
	}
}

// TestCPUClock compares the process's clock with what /proc says of it.
func TestCPUClock(t *testing.T) {
	t.Parallel()
	p, err := newProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	coarse, err := parseCPU(stat)
	if err != nil {
		t.Fatal(err)
	}
	u, err := p.usage()
	if err != nil || u.cpu < coarse || u.cpu > coarse+10*time.Second || u.resident < 1<<20 {
		t.Errorf("%+v, %v by /proc, %v", u, coarse, err)
	}
	if _, ok := cpuClock(1 << 28); ok {
		t.Error("a process that is not there has a clock")
	}
}

func TestSnapshotCount(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		`{"data":"{\"presence\":{\"count\":12,\"ids\":[]}}"}`: 12, `{"data":"{\"presence\": {\"count\": 7}}"}`: 7, `{"data":"{}"}`: 0,
	} {
		if got := snapshotCount([]byte(text)); got != want {
			t.Errorf("%s: %d", text, got)
		}
	}
}

func TestNameOf(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"event":"a","data":1}`: "a", `{"data":{"event":"no"}, "event": "b"}`: "b", `{}`: "", `{"event":"a`: "", `nonsense`: "",
	} {
		if got := string(nameOf([]byte(text))); got != want {
			t.Errorf("%s: %q", text, got)
		}
	}
}

func TestScatter(t *testing.T) {
	t.Parallel()
	var hits [50]int
	for n := range 5000 {
		hits[scatter(n, len(hits))]++
	}
	for k, n := range hits {
		if n < 50 || n > 150 {
			t.Errorf("channel %d gets %d of 5,000", k, n)
		}
	}
}
