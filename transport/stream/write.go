package stream

import (
	"sync"
	"time"
)

const (
	flushBytes = 64 << 10 // a writer gets to know at once of so much
	chunkBytes = 64 << 10 // one Write has at most so much
	// stall is how long one Write may take before the bytes behind it count as
	// refused: to a healthy reader a chunk leaves in far less.
	stall = 50 * time.Millisecond
	// ceiling bounds what waits for a reader of which it is not yet known whether
	// it is slow, in multiples of MaxPendingBytes.
	ceiling = 16
)

// output is what waits for a connection's writer goroutine.
type output struct {
	c *conn // Static after construction

	// Guarded by mu
	mu        sync.Mutex
	ready     sync.Cond
	pending   [][]byte
	size      int       // of pending, and of what the writer is writing
	since     time.Time // when the current Write began; zero: none is under way
	rung      bool
	finishing bool // after pending comes the end
	atOnce    bool // the socket too: the peer has said that it closes
	abandoned bool
}

func newOutput(c *conn) *output {
	o := &output{c: c}
	o.ready.L = &o.mu
	return o
}

// add queues b. ok is false when the socket refuses more than it may.
func (o *output) add(b []byte) (size int, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pending = append(o.pending, b)
	o.size += len(b)
	most := o.c.loop.o.MaxPendingBytes
	return o.size, o.size <= most || o.size <= ceiling*most && !o.stalled(time.Now())
}

func (o *output) stalled(now time.Time) bool {
	return !o.since.IsZero() && now.Sub(o.since) > stall
}

// slow reports whether the socket refuses more than it may.
func (o *output) slow(now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.size > o.c.loop.o.MaxPendingBytes && o.stalled(now)
}

// drop forgets what waits. What is being written is whole frames and stays.
func (o *output) drop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, b := range o.pending {
		o.size -= len(b)
	}
	o.pending = nil
}

// ring tells the writer that pending is worth writing.
func (o *output) ring() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rung = true
	o.ready.Signal()
}

// finish ends the output behind what is pending; at once: and the socket.
func (o *output) finish(atOnce bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.finishing, o.atOnce = true, atOnce
	o.ready.Signal()
}

// abandon ends the writer without writing more.
func (o *output) abandon() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.abandoned = true
	o.ready.Signal()
}

// run is the writer goroutine.
func (o *output) run() {
	var batch [][]byte
	scratch := make([]byte, 0, 2<<10)
	for {
		o.mu.Lock()
		for !o.rung && !o.finishing && !o.abandoned {
			o.ready.Wait()
		}
		batch, o.pending = o.pending, batch[:0]
		o.rung = false
		finishing, atOnce, abandoned := o.finishing, o.atOnce, o.abandoned
		o.mu.Unlock()
		if abandoned {
			return
		}
		if scratch = o.write(batch, scratch); scratch == nil {
			return
		}
		clear(batch)
		if finishing && len(batch) == 0 {
			o.end(atOnce)
			return
		}
	}
}

// end closes the sending half, or all when the peer is done too.
func (o *output) end(atOnce bool) {
	h, ok := o.c.nc.(interface{ CloseWrite() error })
	if atOnce || !ok {
		o.c.nc.Close()
		return
	}
	h.CloseWrite() // the reader waits for the peer's end
}

// write joins small frames so that a turn's output takes few writes. It returns
// the scratch buffer for the next time, nil when the socket failed.
func (o *output) write(batch [][]byte, scratch []byte) []byte {
	for len(batch) > 0 {
		n, size := 0, 0
		for n < len(batch) && (n == 0 || size+len(batch[n]) <= chunkBytes) {
			size += len(batch[n])
			n++
		}
		b := batch[0]
		if n > 1 {
			scratch = scratch[:0]
			for _, f := range batch[:n] {
				scratch = append(scratch, f...)
			}
			b = scratch
		}
		for len(b) > 0 { // in pieces, so that a long frame makes visible progress
			piece := b[:min(len(b), chunkBytes)]
			if !o.writeOne(piece) {
				return nil
			}
			b = b[len(piece):]
		}
		batch = batch[n:]
	}
	if cap(scratch) > 16<<10 {
		scratch = make([]byte, 0, 2<<10)
	}
	return scratch
}

func (o *output) writeOne(b []byte) bool {
	o.mu.Lock()
	o.since = time.Now()
	o.mu.Unlock()
	_, err := o.c.nc.Write(b)
	o.mu.Lock()
	o.since = time.Time{}
	o.size -= len(b)
	o.mu.Unlock()
	count := o.c.loop.count
	count.Writes.Add(1)
	count.BytesOut.Add(uint64(len(b)))
	return err == nil
}
