package contract

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"dunlin/transport"
)

var handoverCases = []testCase{
	{"listeners go on elsewhere", func(t *testing.T, listen Listen) {
		handOver(t, listen, transport.Address{Network: "tcp", Address: "127.0.0.1:0"})
	}},
	{"a unix socket goes on elsewhere", func(t *testing.T, listen Listen) {
		path := filepath.Join(t.TempDir(), "dunlin.sock")
		handOver(t, listen, transport.Address{Network: "unix", Address: path})
		if _, err := os.Stat(path); err == nil {
			t.Error("the socket file is still there after the last one's end")
		}
	}},
	{"what is no listener is not inherited", noListener},
}

// handOver passes the listeners of one server on to the next, of another number of
// loops each time. Who connects while nobody accepts waits, and is served.
func handOver(t *testing.T, listen Listen, at transport.Address) {
	cfg := config{addresses: []transport.Address{at}}
	n := start(t, listen, cfg)
	for _, loops := range []int{3, 1, 2} {
		client, _ := n.connect()
		files, err := n.server.Listeners()
		if err != nil || len(files[at]) == 0 {
			t.Fatalf("%v %v", files, err)
		}
		n.server.Leave()
		if left, err := n.server.Listeners(); err != nil || len(left) != 0 {
			t.Errorf("%v %v after Leave", left, err)
		}
		waiting := n.dial()
		waiting.write(upgradeRequest("/app/key?protocol=7"))

		cfg.options = transport.Options{Loops: loops, Inherited: files}
		next := start(t, listen, cfg)
		transport.CloseFiles(files)
		if got, want := next.addr().String(), n.addr().String(); got != want {
			t.Fatalf("the address is %s, and was %s", got, want)
		}
		waiting.switched()
		next.established(waiting)
		for range 10 { // more than there are loops
			next.connect()
		}
		client.say("still here")
		client.hears("still here")
		n.server.Close()
		n = next
	}
	n.connect()
	n.server.Shutdown()
}

func noListener(t *testing.T, listen Listen) {
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	connected, err := c.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer connected.Close()
	notInherited(t, listen, file)
	notInherited(t, listen, connected)
}

func notInherited(t *testing.T, listen Listen, f *os.File) {
	t.Helper()
	at := transport.Address{Network: "tcp", Address: "127.0.0.1:0"}
	s, err := listen([]transport.Address{at}, transport.Options{Inherited: map[transport.Address][]*os.File{at: {f}}},
		func(transport.Loop) transport.Handler { return nil })
	if err == nil {
		s.Close()
		t.Errorf("no error from %s", f.Name())
	}
}
