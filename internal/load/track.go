package load

import (
	"sync"
	"sync/atomic"
)

// tracker follows events from their publish to their last subscriber. Publishers
// begin events and settle them, the loop delivers. All of it is made before the
// first event, so that the loop finds an event without a lock.
type tracker struct {
	slots    []slot
	expected atomic.Int64 // deliveries of all events that were not refused

	// Owned by the loop
	delivered int64 // of this run's events, twice included
	lastAt    int64 // when the last delivery came
	each      *latency
	last      *latency
}

// slot is one event. Publishers write at and expect before the event leaves.
type slot struct {
	at     atomic.Int64 // when it was due, or left
	expect atomic.Int32 // how many are to get it; 0: not sent, or refused
	got    int32        // owned by the loop
}

func newTracker(events int, each, last *latency) *tracker {
	return &tracker{slots: make([]slot, events), each: each, last: last}
}

// begin says that event n is about to leave for so many subscribers.
func (t *tracker) begin(n int, at int64, expect int) {
	t.slots[n].at.Store(at)
	t.slots[n].expect.Store(int32(expect))
	t.expected.Add(int64(expect))
}

// refuse says that nobody will get event n, and returns how many were expected to.
func (t *tracker) refuse(n int) int {
	was := t.slots[n].expect.Swap(0)
	t.expected.Add(-int64(was))
	return int(was)
}

// deliver counts that one subscriber has event n.
func (t *tracker) deliver(n int, now int64) {
	if n >= len(t.slots) {
		return
	}
	s := &t.slots[n]
	took := now - s.at.Load()
	s.got++
	t.delivered++
	t.lastAt = now
	t.each.record(took)
	if s.got == s.expect.Load() {
		t.last.record(took)
	}
}

// missing is how many deliveries are still to come.
func (t *tracker) missing() int64 { return t.expected.Load() - t.delivered }

// sum counts, once all is over.
func (t *tracker) sum() Deliveries {
	var d Deliveries
	for i := range t.slots {
		expect, got := int64(t.slots[i].expect.Load()), int64(t.slots[i].got)
		if expect == 0 {
			continue // whoever got it all the same, it was not promised
		}
		d.Expected += expect
		d.Received += min(got, expect)
		d.Lost += max(expect-got, 0)
		d.Repeated += max(got-expect, 0)
	}
	return d
}

// gate holds publishers back while more deliveries are under way than a limit.
type gate struct {
	mu     sync.Mutex
	free   *sync.Cond
	limit  int64 // negative: none
	out    int64 // guarded by mu
	closed bool  // guarded by mu
}

func newGate(limit int64) *gate {
	g := &gate{limit: limit}
	g.free = sync.NewCond(&g.mu)
	return g
}

// enter waits for room, takes n and reports whether the gate is still open.
func (g *gate) enter(n int) bool {
	if g.limit < 0 {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.out > g.limit && !g.closed {
		g.free.Wait()
	}
	g.out += int64(n)
	if g.out <= g.limit {
		g.free.Signal() // one after the other: most would find the room taken again
	}
	return !g.closed
}

// leave gives n back.
func (g *gate) leave(n int64) {
	if g.limit < 0 || n == 0 {
		return
	}
	g.mu.Lock()
	g.out -= n
	if g.out <= g.limit {
		g.free.Signal()
	}
	g.mu.Unlock()
}

// close lets everybody go.
func (g *gate) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.free.Broadcast()
}
