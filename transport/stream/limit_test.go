package stream

import (
	"net"
	"testing"

	"dunlin/metrics"
)

// oneConn is a listener with one connection.
type oneConn struct {
	net.Listener
	nc net.Conn
}

func (l oneConn) Accept() (net.Conn, error) { return l.nc, nil }

// The limit may be felt while nobody is waiting. Whoever comes later, when there
// is room again, is not to be turned away for it.
func TestRoomAgain(t *testing.T) {
	t.Parallel()
	var limit fileLimit
	limit.reserve()
	defer limit.release()
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	var served net.Conn
	var count metrics.Loop
	if !limit.turnAway(oneConn{nc: there}, &count, func(nc net.Conn) { served = nc }) {
		t.Fatal("no connection")
	}
	if served != there || count.Dropped(metrics.DropFileLimit) != 0 || limit.kept == nil {
		t.Errorf("served %v, counted %d, reserve %v", served, count.Dropped(metrics.DropFileLimit), limit.kept)
	}
}
