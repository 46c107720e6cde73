package channels

import (
	"dunlin/internal/tracing"
	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/transport"
)

// subscription is one connection's place in one channel. Only its loop touches it.
type subscription struct {
	conn    transport.Conn // the session's, here to save a step per delivery
	session *session       // nil once it has ended; late answers of the engine find it so
	entry   *entry
	room    *room  // nil while joining
	since   uint64 // messages with a higher serial are for it
	user    *user  // presence channels only
	place   int32  // in room.subs
	listed  int32  // in session.subs
}

// room is a channel's subscribers on one loop. Only the loop touches it.
type room struct {
	entry   *entry
	counts  *metrics.App    // of the channel's app on this loop
	subs    []*subscription // nil: left while fan-outs were unfinished
	fanouts []fanout        // unfinished, oldest first
	head    int             // fanouts before it are finished
	holes   int32           // nils in subs
	queued  bool            // in Shard.busy
}

// fanout is a frame on its way through a room.
type fanout struct {
	frame  *protocol.Frame
	serial uint64
	except protocol.SocketID
	at     int64 // when it was published; 0: it is no event
	trace  *tracing.Span
	next   int // index in subs
	end    int // subscribers that came later have no claim to it
}

func (r *room) add(sub *subscription) {
	sub.room, sub.place = r, int32(len(r.subs))
	r.subs = append(r.subs, sub)
}

// remove takes a subscription out. While fan-outs are under way it leaves a hole,
// so that their cursors stay true.
func (r *room) remove(sub *subscription) {
	i := int(sub.place)
	sub.room = nil
	if r.head < len(r.fanouts) {
		r.subs[i] = nil
		if r.holes++; r.holes > turnBudget && int(r.holes) > len(r.subs)/2 {
			r.compact() // a room that is never idle must not keep a place of everybody who ever left
		}
		return
	}
	last := len(r.subs) - 1
	r.subs[i] = r.subs[last]
	r.subs[i].place = int32(i)
	r.subs[last] = nil
	r.subs = r.subs[:last]
}

func (r *room) empty() bool { return len(r.subs) == int(r.holes) }

// compact closes the holes. The cursors of unfinished fan-outs move along.
func (r *room) compact() {
	var moved []int // where an index of subs points then
	if r.head < len(r.fanouts) {
		moved = make([]int, 0, len(r.subs)+1)
	}
	kept := r.subs[:0]
	for _, sub := range r.subs {
		if moved != nil {
			moved = append(moved, len(kept))
		}
		if sub != nil {
			sub.place = int32(len(kept))
			kept = append(kept, sub)
		}
	}
	if moved != nil {
		moved = append(moved, len(kept)) // a cursor may stand behind the last
		for i := r.head; i < len(r.fanouts); i++ {
			f := &r.fanouts[i]
			f.next, f.end = moved[f.next], moved[f.end]
		}
	}
	clear(r.subs[len(kept):])
	r.subs, r.holes = kept, 0
}

// begin queues a frame behind the unfinished ones.
func (r *room) begin(c *command) {
	if r.head > 64 && r.head > len(r.fanouts)/2 { // never idle: drop the finished ones
		n := copy(r.fanouts, r.fanouts[r.head:])
		clear(r.fanouts[n:])
		r.fanouts, r.head = r.fanouts[:n], 0
	}
	r.fanouts = append(r.fanouts, fanout{frame: c.frame, serial: c.serial, except: c.except, at: c.at, trace: c.trace, end: len(r.subs)})
}

// stepBytes is what a subscriber is given in one step. More would save no writes,
// and a long burst would be one long turn.
const stepBytes = 64 << 10

// step moves unfinished fan-outs on, the oldest by up to budget subscribers, each
// later one no further than the one before it, so that frames of a channel never
// overtake. It returns how many subscribers were visited and the weight of the
// frames that are done with, of which it tells count.
func (r *room) step(budget int, count *metrics.Loop) (visited, weight int) {
	limit, given := r.fanouts[r.head].next+budget, 0
	for i := r.head; i < len(r.fanouts) && given < stepBytes; i++ {
		f := &r.fanouts[i]
		stop := min(limit, f.end)
		if f.next < stop {
			visited = max(visited, stop-f.next)
			given += f.frame.Size()
			n := uint64(f.deliver(r.subs[f.next:stop]))
			r.counts.Delivered.Add(n, n*uint64(f.frame.Size()))
			f.next = stop
		}
		if f.next == f.end && i == r.head {
			weight += frameWeight(f.frame)
			f.done(count)
			f.frame = nil
			r.head++
			continue // those behind it may go as far as it did
		}
	}
	if r.head == len(r.fanouts) {
		r.finish()
	}
	return max(visited, 1), weight
}

// done measures a fan-out whose last frames leave at the end of the turn.
func (f *fanout) done(count *metrics.Loop) {
	if f.at > 0 {
		count.Fanned(f.at)
	}
	if f.trace != nil {
		f.trace.Set("dunlin.subscribers", f.end)
		count.AfterWrite(f.trace.End)
		f.trace = nil
	}
}

// deliver returns to how many subscribers it sent the frame.
func (f *fanout) deliver(subs []*subscription) (n int) {
	if f.except.IsZero() {
		for _, sub := range subs {
			if sub != nil && sub.since < f.serial {
				sub.conn.Send(f.frame)
				n++
			}
		}
		return n
	}
	for _, sub := range subs {
		if sub != nil && sub.since < f.serial && sub.conn.ID() != f.except {
			sub.conn.Send(f.frame)
			n++
		}
	}
	return n
}

// finish readies the room for its next fan-out.
func (r *room) finish() {
	if cap(r.fanouts) > 64 {
		r.fanouts = nil
	}
	r.fanouts, r.head = r.fanouts[:0], 0
	if r.holes > 0 {
		r.compact()
	}
}

// abandon drops what is unfinished because nobody is left, and returns its weight.
func (r *room) abandon() (weight int) {
	for i := r.head; i < len(r.fanouts); i++ {
		weight += frameWeight(r.fanouts[i].frame)
		r.fanouts[i].trace.End()
	}
	r.fanouts, r.head = nil, 0
	return weight
}

// frameWeight is what a frame counts in a mailbox: its bytes and its keeping.
func frameWeight(f *protocol.Frame) int { return f.Size() + 96 }
