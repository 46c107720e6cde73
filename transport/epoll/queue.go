//go:build linux

package epoll

import "dunlin/protocol"

const (
	// turnBytes is what a connection may gather in a turn before it is flushed.
	turnBytes = 64 << 10
	// keepFrames is the largest frame list whose memory is kept for others.
	keepFrames = 1024
)

// queue is what waits to be written to one connection. Only connections with
// something to write have one. It leaves in this order: the rest of frames[0]
// if a part has left, control, frames, last.
type queue struct {
	frames  []*protocol.Frame
	offset  int    // bytes of frames[0] that have left
	control []byte // control frames, and the upgrade's response
	last    []byte // the close frame: when it has left, the connection ends
	size    int    // bytes in all
	limit   int    // of size: turnBytes, or when blocked what the socket may refuse
	blocked bool   // the socket refused; EPOLLOUT tells when it takes more
}

// consume forgets the first n bytes.
func (q *queue) consume(n int) {
	q.size -= n
	if q.offset > 0 {
		if n += q.offset; n < q.frames[0].Size() {
			q.offset = n
			return
		}
		n -= q.frames[0].Size()
		q.pop(1)
	}
	if k := min(n, len(q.control)); k > 0 {
		q.control = q.control[k:]
		n -= k
	}
	i := 0
	for i < len(q.frames) && n >= q.frames[i].Size() {
		n -= q.frames[i].Size()
		i++
	}
	q.pop(i)
	if len(q.frames) > 0 {
		q.offset = n
		return
	}
	q.last = q.last[n:]
}

// pop removes whole frames from the front, in place.
func (q *queue) pop(n int) {
	q.offset = 0
	if n == 0 {
		return
	}
	rest := copy(q.frames, q.frames[n:])
	clear(q.frames[rest:]) // let the frames go
	q.frames = q.frames[:rest]
}

// drop forgets all frames of which no byte has left.
func (q *queue) drop() {
	keep := min(len(q.frames), 1)
	if q.offset == 0 {
		keep = 0
	}
	for _, f := range q.frames[keep:] {
		q.size -= f.Size()
	}
	clear(q.frames[keep:])
	q.frames = q.frames[:keep]
}

// take returns an empty queue.
func (o *output) take() *queue {
	n := len(o.spare)
	if n == 0 {
		return &queue{limit: turnBytes}
	}
	q := o.spare[n-1]
	o.spare[n-1] = nil
	o.spare = o.spare[:n-1]
	o.idle = min(o.idle, n-1)
	return q
}

// give takes a queue back, whatever it holds.
func (o *output) give(q *queue) {
	if cap(q.frames) > keepFrames {
		q.frames = nil
	}
	clear(q.frames)
	control := q.control[:0]
	if cap(control) > 1024 {
		control = nil
	}
	*q = queue{frames: q.frames[:0], control: control, limit: turnBytes}
	o.spare = append(o.spare, q)
}

// trim is called in every tick. Of the queues that nobody took since the last
// time it lets half go, so that a fan-out to all does not hold memory for ever.
func (o *output) trim() {
	rest := len(o.spare) - (o.idle+1)/2
	clear(o.spare[rest:])
	o.spare = o.spare[:rest]
	o.idle = rest
}
