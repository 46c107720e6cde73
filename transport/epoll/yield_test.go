//go:build linux

package epoll

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/transport"
)

// TestBusyLoopLetsHTTPBeRead: goroutines that wait for sockets of their own, those
// of the HTTP API for one, are not kept waiting by a loop with a long fan-out,
// where one P is all there is.
func TestBusyLoopLetsHTTPBeRead(t *testing.T) {
	t.Parallel()
	c := startChild(t, "busy", "GOMAXPROCS=1")
	turns, err := strconv.Atoi(c.addr)
	if err != nil {
		t.Fatal(err)
	}
	if most := 3 * busyPings; turns > most {
		t.Errorf("%d bytes were read after %d turns, want at most %d", busyPings, turns, most)
	}
}

const (
	busyPings = 50
	busyTurn  = 2 * time.Millisecond // as long as a slice to 1,000 takes
)

// busyServer prints how many turns it took until a goroutine had read so many bytes,
// each written in a turn after the one before was read.
func busyServer() error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(pair[0]), "reader")
	defer f.Close()
	reader, err := net.FileConn(f)
	if err != nil {
		return err
	}
	defer reader.Close()
	b := &burner{fd: int32(pair[1]), read: make(chan struct{}, 1)}
	b.read <- struct{}{}
	counters := metrics.New()
	s, err := Listen(nil, transport.Options{Loops: 1, Counters: counters.Loop}, func(l transport.Loop) transport.Handler {
		l.Wake()
		return b
	})
	if err != nil {
		return err
	}
	defer s.Close()
	for range busyPings {
		if _, err := reader.Read(make([]byte, 1)); err != nil {
			return err
		}
		b.read <- struct{}{}
	}
	fmt.Println(b.turns.Load())
	return nil
}

// burner is a handler that always has more to do.
type burner struct {
	fd    int32         // is written to
	read  chan struct{} // holds one when what was written has been read
	turns atomic.Int64
}

func (b *burner) Open(transport.Conn, transport.Handshake) (transport.Session, *protocol.Error) {
	return nil, protocol.ErrReconnect
}

func (b *burner) Turn(now time.Time) (more bool) {
	b.turns.Add(1)
	for time.Since(now) < busyTurn {
	}
	select {
	case <-b.read:
		sysWrite(b.fd, []byte{1})
	default:
	}
	return true
}
