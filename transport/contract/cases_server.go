package contract

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"dunlin/protocol"
	"dunlin/transport"
)

var errNotYet = errors.New("not yet")

var serverCases = []testCase{
	{"addresses", addresses},
	{"taken port", takenPort},
	{"deserted socket", desertedSocket},
	{"taken file", takenFile},
	{"two starts at once", twoStarts},
	{"shutdown", shutdown},
	{"server close", serverClose},
	{"adopt after close", adoptAfterClose},
}

func addresses(t *testing.T, listen Listen) {
	path := filepath.Join(t.TempDir(), "dunlin.sock")
	all := []transport.Address{{Network: "tcp4", Address: "127.0.0.1:0"}, {Network: "tcp", Address: "[::1]:0"}, {Network: "unix", Address: path}}
	if l, err := net.Listen("tcp", "[::1]:0"); err != nil {
		all = append(all[:1], all[2]) // a machine without IPv6
	} else {
		l.Close()
	}
	n := start(t, listen, config{addresses: all})
	got := n.server.Addrs()
	if len(got) != len(all) {
		t.Fatalf("addresses %v", got)
	}
	for i := range all {
		one := &node{t: t, server: only{n.server, got[i]}, opened: n.opened}
		for range 10 { // more than there are loops
			c, p := one.connect()
			if p.handshake.Remote == nil {
				t.Error("no remote address")
			}
			c.say("hello")
			c.hears("hello")
		}
	}
	n.server.Shutdown()
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket file is still there")
	}
}

// only shows one address of a server.
type only struct {
	transport.Server
	addr net.Addr
}

func (o only) Addrs() []net.Addr { return []net.Addr{o.addr} }

// desertedSocket replaces the file of a server that was killed, but not that of
// one that lives.
func desertedSocket(t *testing.T, listen Listen) {
	at := transport.Address{Network: "unix", Address: filepath.Join(t.TempDir(), "dunlin.sock")}
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: at.Address})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	left.Close()
	n := start(t, listen, config{addresses: []transport.Address{at}})
	if second, err := listen([]transport.Address{at}, transport.Options{Loops: 2}, n.newHandler); err == nil {
		second.Close()
		t.Error("a second start shares the socket")
	}
	c, _ := n.connect()
	c.say("hello")
	c.hears("hello")
}

// takenFile must leave alone what is at the address and is no socket.
func takenFile(t *testing.T, listen Listen) {
	path := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(path, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	newHandler := func(transport.Loop) transport.Handler { return nil }
	s, err := listen([]transport.Address{{Network: "unix", Address: path}}, transport.Options{Loops: 1}, newHandler)
	if err == nil {
		s.Close()
		t.Error("listens in the place of a file")
	}
	if got, err := os.ReadFile(path); string(got) != "data" {
		t.Errorf("the file is gone: %q, %v", got, err)
	}
}

func takenPort(t *testing.T, listen Listen) {
	n := start(t, listen, config{})
	addr := n.addr().String()
	_, port, _ := net.SplitHostPort(addr)
	s, err := listen([]transport.Address{{Network: "tcp", Address: addr}}, transport.Options{Loops: 2}, n.newHandler)
	if err == nil {
		s.Close()
		t.Fatal("a second start shares the port")
	}
	if !strings.Contains(err.Error(), port) {
		t.Errorf("%q does not name the port", err)
	}
}

// twoStarts is a race for a port: one gets it.
func twoStarts(t *testing.T, listen Listen) {
	for range 20 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		at := []transport.Address{{Network: "tcp", Address: l.Addr().String()}}
		l.Close()
		var both sync.WaitGroup
		var servers [2]transport.Server
		n := &node{t: t, opened: make(chan *peer, 10)}
		for i := range servers {
			both.Go(func() {
				if s, err := listen(at, transport.Options{Loops: 3}, n.newHandler); err == nil {
					servers[i] = s
				}
			})
		}
		both.Wait()
		if servers[0] != nil && servers[1] != nil {
			t.Error("both share the port")
		}
		for _, s := range servers {
			if s != nil {
				s.Close()
			}
		}
	}
}

func shutdown(t *testing.T, listen Listen) {
	n := start(t, listen, config{})
	c, _ := n.connect()
	n.server.Shutdown()
	n.server.Shutdown()
	if nc, err := net.Dial("tcp", n.addr().String()); err == nil {
		nc.Close()
		t.Error("a connection was accepted")
	}
	c.say("still here")
	c.hears("still here")
}

func serverClose(t *testing.T, listen Listen) {
	n := start(t, listen, config{})
	var clients []*client
	var peers []*peer
	for range 20 {
		c, p := n.connect()
		clients, peers = append(clients, c), append(peers, p)
	}
	n.server.Close()
	n.server.Close()
	for i, p := range peers {
		if err := p.ended(t); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Closed was told %v", err)
		}
		clients[i].cut()
	}
	if got := n.metrics.Connections(); got != 0 {
		t.Errorf("%d connections counted", got)
	}
	n.shards[0].loop.Wake() // does no harm
}

func adoptAfterClose(t *testing.T, listen Listen) {
	n := start(t, listen, config{})
	n.server.Close()
	a, b := tcpPair(t)
	if err := n.server.Adopt(a, []byte(upgradeRequest("/app/key"))); err == nil {
		t.Fatal("no error")
	}
	go io.WriteString(a, "untouched")
	got := make([]byte, 9)
	if _, err := io.ReadFull(b, got); err != nil {
		t.Error(err)
	}
}

func tcpPair(t *testing.T) (a, b net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if b, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if a, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// leaks counts goroutines and files before and after a server in every state.
func leaks(t *testing.T, listen Listen) {
	before := files(t)
	q := newQueue()
	n := start(t, listen, config{options: transport.Options{HTTP: q.push}})
	n.dial()
	n.dial().write("GET /app/half")
	n.dial().write("GET /http HTTP/1.1\r\n\r\n")
	handed := <-q.conns
	held, _ := n.connect()
	held.write(frame(opText, "part of a message"))
	closing, p := n.connect()
	p.do(func() { p.conn.Close(protocol.ErrReconnect) })
	closing.hears(string(protocol.ErrorMessage(protocol.ErrReconnect).Payload()))
	_, paused := n.connect()
	paused.do(paused.conn.Pause)
	n.server.Close()
	handed.Close()
	n.closeClients()
	eventually(t, func() error {
		if s := goroutines(); s != "" {
			return fmt.Errorf("goroutines are left:\n%s", s)
		}
		if after := files(t); after != before {
			return fmt.Errorf("%d files are open, %d before", after, before)
		}
		return nil
	})
}

// goroutines returns the stacks that run code of a transport, but not the tests.
func goroutines() string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var found []string
	for _, g := range bytes.Split(buf, []byte("\n\n")) {
		s := string(g)
		if strings.Contains(s, "dunlin/transport/stream.") || strings.Contains(s, "dunlin/transport/epoll.") {
			if !strings.Contains(s, "testing.tRunner") {
				found = append(found, s)
			}
		}
	}
	return strings.Join(found, "\n\n")
}

// files counts the process's open files, where the system can say it.
func files(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// reuse closes and opens so fast that descriptors come back at once: nobody may
// hear what was meant for the one before.
func reuse(t *testing.T, listen Listen) {
	n := start(t, listen, config{})
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 150 {
				c, p := n.connect()
				mine := fmt.Sprint(g, "/", i)
				c.say(mine)
				if i%3 == 0 { // gone before it is answered
					c.nc.Close()
					continue
				}
				c.hears(mine)
				if i%3 == 1 {
					p.do(func() { p.conn.Close(protocol.ErrReconnect) })
					c.cut()
				}
				c.nc.Close()
			}
		})
	}
	all.Wait()
	eventually(t, func() error {
		if got := n.metrics.Connections(); got != 0 {
			return fmt.Errorf("%d connections are left", got)
		}
		return nil
	})
}
