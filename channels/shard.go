package channels

import (
	"time"

	"dunlin/internal/mailbox"
	"dunlin/internal/tracing"
	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/transport"
)

// Shard is the part of the state that one loop owns.
type Shard struct {
	// Static after construction
	hub      *Hub
	loop     transport.Loop
	index    int
	bit      uint64
	counters *metrics.Loop
	box      *mailbox.Box[command]

	// Owned by the loop
	batch     []command // handed back to the mailbox when it is swapped
	sessions  []*session
	rooms     map[*entry]*room
	busy      []*room                            // with unfinished fan-outs, served in turn
	paused    []*session                         // not read from until a mailbox has room again
	resuming  bool                               // somebody waits for that
	guards    map[*session]*guard                // where something is limited that they need
	signed    map[protocol.ChannelKey][]*session // by cluster.UserKey
	probation []probation                        // sessions that are to be authorized in time, the oldest first
	mutating  bool                               // a panic now would leave half a change behind
}

// command is what other goroutines want of a shard: a frame for the room of entry,
// or something to do.
type command struct {
	frame  *protocol.Frame
	entry  *entry
	serial uint64
	except protocol.SocketID
	at     int64 // when it was published; 0: it is no event
	trace  *tracing.Span
	do     func() // nil: a frame
}

// turnBudget is how many subscribers a shard serves in one turn before its
// sockets are read again: each costs a write of some microseconds.
const turnBudget = 1024

func newShard(h *Hub, loop transport.Loop) *Shard {
	return &Shard{
		hub:      h,
		loop:     loop,
		index:    loop.Index(),
		bit:      1 << loop.Index(),
		counters: h.counters.Loop(loop.Index()),
		box:      mailbox.New[command](h.opts.MailboxBytes),
		rooms:    make(map[*entry]*room),
		guards:   make(map[*session]*guard),
		signed:   make(map[protocol.ChannelKey][]*session),
	}
}

// post puts a command into the shard's mailbox, from any goroutine.
func (s *Shard) post(c command, weight int) {
	if s.box.Post(c, weight) {
		s.loop.Wake()
	}
}

// do has f run on the loop's goroutine. It is for control, which is never refused:
// bounded by connections and their subscriptions.
func (s *Shard) do(f func()) { s.post(command{do: f}, 0) }

// Turn implements transport.Handler: what was posted is done, then fan-outs are
// moved on by one slice.
func (s *Shard) Turn(time.Time) (more bool) {
	s.batch = s.box.Swap(s.batch)
	for i := range s.batch {
		s.run(&s.batch[i])
	}
	clear(s.batch)
	s.fanOut()
	return len(s.busy) > 0
}

func (s *Shard) run(c *command) {
	if c.do != nil {
		c.do()
		return
	}
	r := s.rooms[c.entry]
	if r == nil { // the last subscriber left meanwhile
		s.box.Release(frameWeight(c.frame))
		c.trace.End()
		return
	}
	r.begin(c)
	if !r.queued {
		r.queued = true
		s.busy = append(s.busy, r)
	}
}

// traced begins the span of a fan-out on this loop.
func (s *Shard) traced(trace *tracing.Span, e *entry) *tracing.Span {
	span := trace.Child("fan-out")
	span.Set("dunlin.app", e.key.App)
	span.Set("dunlin.channel", e.key.Name)
	span.Set("dunlin.loop", s.index)
	return span
}

// fanOut serves the rooms with unfinished fan-outs, each once, until the turn's
// budget is spent. Rooms that were not reached come first in the next turn.
func (s *Shard) fanOut() {
	if len(s.busy) == 0 {
		return
	}
	budget, served := turnBudget, 0
	again := s.busy[:0:0]
	for _, r := range s.busy {
		if budget <= 0 {
			break
		}
		served++
		if r.head == len(r.fanouts) { // abandoned
			r.queued = false
			continue
		}
		visited, weight := r.step(budget, s.counters)
		budget -= visited
		s.box.Release(weight)
		if r.head < len(r.fanouts) {
			again = append(again, r)
		} else {
			r.queued = false
		}
	}
	n := copy(s.busy, s.busy[served:])
	clear(s.busy[n:])
	s.busy = append(s.busy[:n], again...)
}

// pause stops reading from a session until box has room. Sessions that wait for
// another box are resumed with it, and paused again if need be.
func (s *Shard) pause(x *session, box *mailbox.Box[command]) {
	if x.paused {
		return
	}
	x.paused = true
	x.conn.Pause()
	s.paused = append(s.paused, x)
	if s.resuming {
		return
	}
	s.resuming = true
	drained := box.Drained()
	go func() { // at most one a shard; it ends when the loop behind box has caught up
		<-drained
		s.do(s.resume)
	}()
}

func (s *Shard) resume() {
	s.resuming = false
	for i, x := range s.paused {
		s.paused[i] = nil
		x.paused = false
		if !x.closed && !s.holds(x) {
			x.conn.Resume()
		}
	}
	s.paused = s.paused[:0]
}
