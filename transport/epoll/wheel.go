//go:build linux

package epoll

// wheel is timers with the granularity of a tick. A connection is on one slot at
// most; what is further away than the wheel's circumference, or was put off since,
// is put on again when its slot comes.
type wheel struct {
	slots [wheelSlots]uint32 // the first place of each
	now   uint32             // the tick that was last worked off
}

const wheelSlots = 256

func (w *wheel) reset() {
	for i := range w.slots {
		w.slots[i] = none
	}
}

// put sets c to expire at a tick, after the current one, instead of any before.
func (l *loop) put(c *conn, at uint32) {
	l.takeOff(c)
	w := &l.wheel
	if ahead := at - w.now; ahead >= wheelSlots { // also when at is in the past
		if int32(ahead) < 0 {
			at = w.now + 1
		} else {
			at = w.now + wheelSlots - 1
		}
	} else if ahead == 0 {
		at++
	}
	slot := at % wheelSlots
	p := &l.table.places[c.place]
	p.slot, p.prev, p.next = slot, none, w.slots[slot]
	if p.next != none {
		l.table.places[p.next].prev = c.place
	}
	w.slots[slot] = c.place
}

// takeOff removes c from the wheel.
func (l *loop) takeOff(c *conn) {
	p := &l.table.places[c.place]
	if p.slot == none {
		return
	}
	if p.prev == none {
		l.wheel.slots[p.slot] = p.next
	} else {
		l.table.places[p.prev].next = p.next
	}
	if p.next != none {
		l.table.places[p.next].prev = p.prev
	}
	p.slot = none
}

// advance expires what is due up to and with tick.
func (l *loop) advance(tick uint32) {
	w := &l.wheel
	if tick-w.now > wheelSlots { // the machine was asleep: once round is all
		w.now = tick - wheelSlots
	}
	for w.now != tick {
		w.now++
		first := &w.slots[w.now%wheelSlots]
		for *first != none { // expire puts it elsewhere, or ends it
			c := l.table.places[*first].c
			l.takeOff(c)
			l.expire(c)
		}
	}
}
