package stream

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/transport"
	"dunlin/transport/wire"
)

// loop is one goroutine that serves a handler. Connections' readers reach it
// through its inbox, which holds at most one post of each.
type loop struct {
	// Static after construction
	index   int
	server  *Server
	o       transport.Options
	handler transport.Handler
	count   *metrics.Loop
	quit    chan struct{} // closed: end
	ended   chan struct{} // closed: run has returned
	bell    chan struct{} // of one: somebody posted, or Wake was called
	once    sync.Once

	// Owned by the loop
	conns   map[*conn]struct{} // whose upgrade is done and whose reader lives
	touched []*conn            // have something for their writer
	ending  []*conn            // their session is to hear Closed

	woken atomic.Bool // a turn is to come

	// Guarded by mu
	mu    sync.Mutex
	inbox []post
	spare []post
}

// post is what a reader found. The reader waits until it was dealt with, so
// nothing is copied.
type post struct {
	c     *conn
	what  what
	event wire.Event
	bad   *protocol.Error // of broken, and of opened when the session is not wanted
	err   error           // of gone
	reply []byte          // of opened: the 101 response
	h     transport.Handshake
}

type what uint8

const (
	opened what = iota // the upgrade request was good
	event              // a message or control frame
	broken             // the frames were not
	gone               // the socket ended, err says how; the last post of a reader
)

func newLoop(s *Server, index int) *loop {
	return &loop{
		index: index, server: s, o: s.o, count: s.o.Counters(index),
		quit: make(chan struct{}), ended: make(chan struct{}), bell: make(chan struct{}, 1),
		conns: make(map[*conn]struct{}),
	}
}

// Index implements transport.Loop.
func (l *loop) Index() int { return l.index }

// Wake implements transport.Loop.
func (l *loop) Wake() {
	if l.woken.Load() || l.woken.Swap(true) {
		return
	}
	select {
	case l.bell <- struct{}{}:
	default:
	}
}

func (l *loop) stop() { l.once.Do(func() { close(l.quit) }) }

// post hands p to the loop and waits until it was dealt with. It reports false
// when the loop has ended instead.
func (l *loop) post(p post) bool {
	l.mu.Lock()
	l.inbox = append(l.inbox, p)
	l.mu.Unlock()
	l.Wake()
	select {
	case <-p.c.taken:
		return true
	case <-l.ended:
		return false
	}
}

func (l *loop) run() {
	defer close(l.ended)
	tick := time.NewTicker(l.o.Tick())
	defer tick.Stop()
	for more := false; ; {
		sweep := false
		if more {
			select {
			case <-l.quit:
				l.endAll()
				return
			case <-tick.C:
				sweep = true
			default:
			}
		} else {
			select {
			case <-l.quit:
				l.endAll()
				return
			case <-tick.C:
				sweep = true
			case <-l.bell:
			}
		}
		more = l.turn(sweep)
	}
}

// turn is input, Handler.Turn, output.
func (l *loop) turn(sweep bool) (more bool) {
	now := time.Now()
	l.woken.Store(false) // before anything is looked at: later calls want another turn
	l.mu.Lock()
	batch := l.inbox
	l.inbox = l.spare[:0]
	l.mu.Unlock()
	for i := range batch {
		l.take(&batch[i])
	}
	clear(batch)
	l.mu.Lock()
	l.spare = batch
	l.mu.Unlock()
	if sweep {
		for c := range l.conns {
			c.checkAlive(now)
		}
	}
	more = l.handler.Turn(now)
	l.settle()
	l.count.Written()
	l.count.Turns.Add(1)
	return more
}

// settle hands output to the writers and tells sessions that they ended, which
// may make more output.
func (l *loop) settle() {
	for len(l.touched) > 0 || len(l.ending) > 0 {
		for _, c := range l.touched {
			c.touched = false
			c.out.ring()
		}
		clear(l.touched)
		l.touched = l.touched[:0]
		ending := l.ending
		l.ending = nil
		for _, c := range ending {
			c.closed()
		}
	}
}

func (l *loop) take(p *post) {
	c := p.c
	switch p.what {
	case opened:
		c.open(p)
	case event:
		c.event(p.event)
	case broken:
		c.breakOff(p.bad)
	case gone:
		delete(l.conns, c)
		c.end(p.err)
		c.out.abandon()
	}
	c.taken <- struct{}{}
}

// endAll tells every session that it ended.
func (l *loop) endAll() {
	for c := range l.conns {
		c.end(net.ErrClosed)
	}
	l.settle()
}
