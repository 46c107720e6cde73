package stream

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"dunlin/metrics"
	"dunlin/transport/wire"
)

// fileLimit is what a listener does when the process may open no more files: a
// file that is kept open for that is closed, which lets one connection be
// accepted, told and closed.
type fileLimit struct{ kept *os.File }

// patience is how long a connection that is turned away may take over its
// request, while others wait behind it, and how long nothing is accepted when
// even the kept file was of no use.
const patience = 50 * time.Millisecond

func reachedFileLimit(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// reserve opens the file again, as soon as the limit allows it.
func (f *fileLimit) reserve() {
	if f.kept == nil {
		f.kept, _ = os.Open(os.DevNull) // there is a next time
	}
}

func (f *fileLimit) release() {
	if f.kept != nil {
		f.kept.Close()
		f.kept = nil
	}
}

// turnAway accepts one connection beyond the limit, answers and closes it. It
// reports whether there was one. The limit is felt without a connection too, so
// one may be long in coming, and find room again: then it is served.
func (f *fileLimit) turnAway(l net.Listener, count *metrics.Loop, serve func(net.Conn)) bool {
	if f.kept == nil {
		return false
	}
	f.release()
	defer f.reserve()
	nc, err := l.Accept()
	if err != nil {
		return false
	}
	if f.reserve(); f.kept != nil {
		serve(nc)
		return true
	}
	defer nc.Close()
	count.Accepted.Add(1)
	count.Drop(metrics.DropFileLimit)
	nc.SetDeadline(time.Now().Add(patience))
	// With input unread, closing would reset the connection and lose the answer.
	nc.Read(make([]byte, 16<<10))
	nc.Write(wire.ErrOverCapacity.Response())
	return true
}
