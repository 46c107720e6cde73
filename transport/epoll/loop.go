//go:build linux

package epoll

import (
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"dunlin/internal/addrlimit"
	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/transport"
	"dunlin/transport/wire"
)

// readBytes is a loop's read buffer, and so what one connection may bring in one
// turn.
const readBytes = 64 << 10

// patience is for how many ticks timers wait while there is much input.
const patience = 4

// loop is one goroutine and everything that it serves.
type loop struct {
	// Static after construction
	index    int
	o        transport.Options
	door     wire.Door
	up       wire.Upgrader
	deflater wire.Deflater
	handler  transport.Handler
	count    *metrics.Loop
	start    time.Time // of tick 0
	tickLen  time.Duration
	timeout  ticks
	limit    *fileLimit // shared by the loops

	poller

	// Owned by the loop
	table     table
	wheel     wheel
	tick      uint32 // now
	buf       []byte
	reading   *conn                     // whose frames are being handed out
	requests  map[*conn][]byte          // upgrade requests of which a part has come
	peers     map[*conn]transport.Peer  // of connections at the door, where proxies say who comes
	seats     map[*conn]*addrlimit.Seat // of connections at the door, where those of an address are bounded
	late      []late                    // input for the next turn
	touched   []*conn                   // have output to flush at the end of the turn
	endings   []ending                  // sessions that are to hear Closed
	output    output
	listeners []listener
	limited   bool // the file limit was felt, and logged
	deaf      bool // the listeners are not in the epoll
	tally     tally

	quitting atomic.Bool

	// Guarded by inboxMu
	inboxMu sync.Mutex
	inbox   []func()
	ended   bool // nobody takes from inbox any more
}

// ending is a session that is to hear Closed.
type ending struct {
	session transport.Session
	err     error
}

// tally is what a turn counted. It goes to the shared counters once a turn.
type tally struct {
	messagesIn, bytesIn, bytesOut, writes uint64
	sent                                  [metrics.SentKinds]struct{ frames, bytes uint64 }
}

// ticks are the timeouts in ticks, so rounded that nothing is ever early.
type ticks struct{ handshake, activity, pong, linger uint32 }

func timeouts(o transport.Options) ticks {
	in := func(d time.Duration) uint32 { return uint32((d+o.Tick()-1)/o.Tick()) + 1 }
	return ticks{in(o.HandshakeTimeout), in(o.ActivityTimeout), in(o.PongTimeout), in(o.Linger)}
}

func newLoop(index int, how Sleep, o transport.Options, limit *fileLimit) (*loop, error) {
	l := &loop{
		index: index, o: o, door: wire.NewDoor(o.PathPrefix), up: wire.NewUpgrader(o.PathPrefix, o.CompressFrom > 0).Behind(o.Proxies),
		deflater: wire.NewDeflater(o.CompressFrom), count: o.Counters(index), start: time.Now(), tickLen: o.Tick(),
		limit: limit, table: newTable(), buf: make([]byte, readBytes), requests: make(map[*conn][]byte), peers: make(map[*conn]transport.Peer),
		seats: make(map[*conn]*addrlimit.Seat),
	}
	l.wheel.reset()
	l.timeout = timeouts(o)
	if err := l.open(how); err != nil {
		l.release()
		return nil, err
	}
	return l, nil
}

// release closes the descriptors that a loop has without connections.
func (l *loop) release() {
	l.deafen()
	l.close()
}

// Index implements transport.Loop.
func (l *loop) Index() int { return l.index }

// Wake implements transport.Loop.
func (l *loop) Wake() { l.wake() }

// post runs f on the loop. It reports false when the loop has ended.
func (l *loop) post(f func()) bool {
	l.inboxMu.Lock()
	if l.ended {
		l.inboxMu.Unlock()
		return false
	}
	l.inbox = append(l.inbox, f)
	l.inboxMu.Unlock()
	l.wake()
	return true
}

func (l *loop) stop() {
	l.quitting.Store(true)
	l.wake()
}

func (l *loop) run() {
	for more := false; !l.quitting.Load(); {
		more = l.turn(l.wait(more, l.nextTick()))
	}
	l.tearDown()
}

// nextTick is when the wheel must be looked at, zero for never.
func (l *loop) nextTick() time.Time {
	if l.table.used == 0 && !l.deaf && l.limit.missing.Load() == 0 && len(l.output.spare) == 0 {
		return time.Time{}
	}
	return l.start.Add(time.Duration(l.tick+1) * l.tickLen)
}

// turn is input, Handler.Turn, output.
func (l *loop) turn(events []unix.EpollEvent) (more bool) {
	now := time.Now()
	l.tick = uint32(now.Sub(l.start) / l.tickLen)
	l.catchUp()
	for i := range events {
		l.dispatch(&events[i])
	}
	// Timers come after input: when the machine has stalled, what lies in the
	// sockets shows who is alive. With a full batch there is more of it to read.
	if behind := l.tick - l.wheel.now; behind > 0 && (len(events) < eventsPerTurn || behind > patience) {
		l.advance(l.tick)
		l.hearAgain()
		l.output.trim()
	}
	l.wanted.Store(false) // before anything that Wake announces is looked at
	l.runInbox()
	more = l.handler.Turn(now) || len(l.late) > 0
	worked := more || len(events) > 0 || len(l.touched) > 0
	l.settle()
	l.report()
	if worked {
		// With one P nothing else would run until sysmon steps in, while there is
		// always more to do here.
		runtime.Gosched()
	}
	return more
}

func (l *loop) dispatch(e *unix.EpollEvent) {
	switch e.Pad {
	case ofBell:
	case ofListener:
		l.accept(int(e.Fd))
	default:
		if c := l.table.find(e); c != nil {
			l.serve(c, e.Events)
		}
	}
}

func (l *loop) runInbox() {
	l.inboxMu.Lock()
	inbox := l.inbox
	l.inbox = nil
	l.inboxMu.Unlock()
	for _, f := range inbox {
		f()
	}
}

// settle writes each touched connection once and tells sessions that they ended,
// which may touch more.
func (l *loop) settle() {
	for len(l.touched) > 0 || len(l.endings) > 0 {
		for i := 0; i < len(l.touched); i++ {
			c := l.touched[i]
			c.flags &^= flagTouched
			if c.queue != nil {
				l.flush(c)
			}
		}
		clear(l.touched)
		l.touched = l.touched[:0]
		l.output.forget()
		endings := l.endings
		l.endings = nil
		for _, e := range endings {
			l.count.Connections.Add(-1)
			e.session.Closed(e.err)
		}
	}
}

// report adds the turn's tally to the counters that others read.
func (l *loop) report() {
	t := &l.tally
	l.count.Turns.Add(1)
	if t.bytesIn > 0 {
		l.count.BytesIn.Add(t.bytesIn)
		l.count.MessagesIn.Add(t.messagesIn)
	}
	for i := range t.sent {
		if s := &t.sent[i]; s.frames > 0 {
			l.count.Sent[i].Add(s.frames, s.bytes)
		}
	}
	if t.writes > 0 {
		l.count.Writes.Add(t.writes)
		l.count.BytesOut.Add(t.bytesOut)
	}
	*t = tally{}
	l.count.Written()
}

// sending counts a frame that is on its way.
func (t *tally) sending(f *protocol.Frame) {
	s := &t.sent[f.Class()]
	s.frames++
	s.bytes += uint64(f.Size())
}

// touch sees to it that c is flushed at the end of the turn.
func (l *loop) touch(c *conn) {
	if c.flags&flagTouched == 0 {
		c.flags |= flagTouched
		l.touched = append(l.touched, c)
	}
}

// tearDown ends everything that the loop has.
func (l *loop) tearDown() {
	l.inboxMu.Lock()
	l.ended = true
	l.inboxMu.Unlock()
	l.runInbox()
	for i := range l.table.places {
		if c := l.table.places[i].c; c != nil {
			l.lose(c, net.ErrClosed)
		}
	}
	l.settle()
	l.report()
	l.wanted.Store(true) // nobody needs to ring any more
	l.release()
}

// fail ends a connection whose frames were wrong.
func (l *loop) fail(c *conn, bad *protocol.Error) {
	l.count.Drop(wire.DropOf(bad))
	c.close(bad, bad)
}
