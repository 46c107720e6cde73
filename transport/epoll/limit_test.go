//go:build linux

package epoll

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/transport"
)

const fileLimitOfChild = 200

// limitedServer prints its address, and for each line of input its counters.
func limitedServer() error {
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: fileLimitOfChild, Max: fileLimitOfChild}); err != nil {
		return err
	}
	set := metrics.New()
	web := make(chan net.Conn, 1000)
	go http.Serve(chanListener(web), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }))
	s, err := Listen([]transport.Address{{Network: "tcp", Address: "127.0.0.1:0"}}, transport.Options{
		Loops: 2, Counters: set.Loop, Linger: 100 * time.Millisecond, HandshakeTimeout: time.Hour,
		PongTimeout: 100 * time.Millisecond, // nobody is pinged: this makes ticks short
		HTTP:        func(nc net.Conn) { web <- nc },
	}, func(transport.Loop) transport.Handler { return greeter{} })
	if err != nil {
		return err
	}
	defer s.Close()
	fmt.Println(s.Addrs()[0])
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		turns := set.Sum(func(l *metrics.Loop) int64 { return int64(l.Turns.Load()) })
		fmt.Println(turns, set.Connections(), set.Drops(metrics.DropFileLimit))
	}
	return nil
}

type chanListener chan net.Conn

func (l chanListener) Accept() (net.Conn, error) { return <-l, nil }
func (l chanListener) Close() error              { return nil }
func (l chanListener) Addr() net.Addr            { return &net.TCPAddr{} }

type greeter struct{}

func (greeter) Open(c transport.Conn, _ transport.Handshake) (transport.Session, *protocol.Error) {
	c.Send(protocol.ConnectionEstablished(c.ID(), 120))
	return silent{}, nil
}

func (greeter) Turn(time.Time) bool { return false }

func (c *child) counters() (turns, connections, dropped int) {
	c.t.Helper()
	fmt.Fprintln(c.in)
	if _, err := fmt.Sscan(c.line(), &turns, &connections, &dropped); err != nil {
		c.t.Fatal(err)
	}
	return turns, connections, dropped
}

// ask connects, sends a request and returns the whole answer's beginning.
func (c *child) ask(request string) (net.Conn, string) {
	c.t.Helper()
	nc, err := net.Dial("tcp", c.addr)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	if request == "" {
		return nc, ""
	}
	if _, err := io.WriteString(nc, request); err != nil {
		c.t.Fatal(err)
	}
	r := bufio.NewReader(nc)
	response, err := http.ReadResponse(r, nil)
	if err != nil {
		c.t.Fatalf("reading the answer: %v", err)
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		return nc, response.Status
	}
	first := make([]byte, 40)
	if _, err := io.ReadFull(r, first); err != nil {
		c.t.Fatal(err)
	}
	return nc, string(first[2:])
}

const (
	plainRequest = "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n"
	welcome      = `{"event":"pusher:connection_establishe`
	overCapacity = `{"event":"pusher:error","data":{"code"`
)

// fill opens connections until some in a row are turned away.
func (c *child) fill() (open []net.Conn) {
	c.t.Helper()
	for refused := 0; refused < 5; {
		nc, got := c.ask(upgradeRequest)
		switch got {
		case overCapacity:
			refused++
		case welcome:
			open = append(open, nc)
			refused = 0
		default:
			c.t.Fatalf("connection %d was answered %q", len(open), got)
		}
		if len(open) > fileLimitOfChild {
			c.t.Fatal("there is no limit")
		}
	}
	return open
}

// TestFileLimit is a server that runs out of files: it answers, closes and
// counts, it does not spin, and it recovers by itself.
func TestFileLimit(t *testing.T) {
	t.Parallel()
	c := startChild(t, "limited")
	open := c.fill()
	if len(open) < fileLimitOfChild/2 {
		t.Errorf("the limit was reached with %d connections", len(open))
	}
	for range 20 {
		if _, got := c.ask(upgradeRequest); got != overCapacity {
			t.Errorf("a WebSocket client was answered %q", got)
		}
		if _, got := c.ask(plainRequest); got != "503 Service Unavailable" {
			t.Errorf("an HTTP client was answered %q", got)
		}
	}
	before, connections, dropped := c.counters()
	if connections != len(open) || dropped < 45 {
		t.Errorf("%d connections, %d drops counted, want %d and at least 45", connections, dropped, len(open))
	}

	// More than can be turned away at a time, and they say nothing.
	for range 30 {
		c.ask("")
	}
	if _, got := c.ask(plainRequest); got != "503 Service Unavailable" { // behind all of them
		t.Errorf("an HTTP client was answered %q", got)
	}
	if after, _, _ := c.counters(); after-before > 5000 {
		t.Errorf("%d turns for 31 connections", after-before)
	}

	for _, nc := range open[:len(open)/2] {
		nc.Close()
	}
	deadline := time.Now().Add(20 * time.Second)
	for got := ""; got != welcome; {
		if time.Now().After(deadline) {
			t.Fatal("it does not recover")
		}
		_, got = c.ask(upgradeRequest)
	}
	if _, got := c.ask(plainRequest); got != "200 OK" {
		t.Errorf("an HTTP client was answered %q", got)
	}
}
