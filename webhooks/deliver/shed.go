package deliver

import (
	"cmp"
	"slices"
	"time"
)

// What is held is bounded. When the room is taken nothing more is taken out of the
// queue, which is right while endpoints that answer work off what they have, and
// must not be so for long: one endpoint's backlog would delay everybody.

// full reports whether as much is held as may be. mu is held.
func (d *Deliverer) full() bool { return d.held >= d.o.MaxHeld || d.heldBytes >= d.o.MaxHeldBytes }

// crowded reports whether less than a sixteenth of the room is free. mu is held.
func (d *Deliverer) crowded() bool {
	return d.held > d.o.MaxHeld/16*15 || d.heldBytes > d.o.MaxHeldBytes/16*15
}

// tooSlow is for how long events may wait for an endpoint that answers before it
// is one of those who pay when there is no more room.
const tooSlow = 30 * time.Second

// pays reports whether an endpoint's events may be given up for want of room: it
// fails, or does not keep up. mu is held.
func (e *endpoint) pays(now time.Time) bool {
	if e.circuit.failures > 0 {
		return true
	}
	for _, l := range e.lanes {
		if len(l.waiting) > 0 && now.Sub(l.waiting[0].arrived) > tooSlow {
			return true
		}
	}
	return false
}

// shed makes room when there is none: the oldest events of endpoints that pay are
// given up, always of the one that has most. It returns how many of each. As long
// as others take nearly all of the room, nothing is given up: they will free it. mu
// is held.
func (d *Deliverer) shed() map[*endpoint]int {
	if !d.full() {
		return nil
	}
	var payers []*endpoint
	load, now := 0, d.o.Now()
	for _, e := range d.endpoints {
		if e.pays(now) {
			payers = append(payers, e)
			load += e.load()
		}
	}
	lost := map[*endpoint]int{}
	for load > d.held/16 && d.crowded() {
		worst := slices.MaxFunc(payers, func(a, b *endpoint) int { return cmp.Compare(a.load(), b.load()) })
		n := worst.shed(worst.load()/16 + 1)
		load -= n
		lost[worst] += n
	}
	return lost
}

// shed gives up parcels of the longest lane, about n.
func (e *endpoint) shed(n int) int {
	var longest *lane
	for _, l := range e.lanes {
		if longest == nil || l.load() > longest.load() {
			longest = l
		}
	}
	why := " is too slow"
	if e.circuit.failures > 0 {
		why = " fails (" + e.lastReason + ")"
	}
	list := longest.oldest(n)
	e.giveUp(list, e.address.id+why+", and too many events wait for it")
	return len(list)
}

func (d *Deliverer) reportShed(lost map[*endpoint]int) {
	for e, n := range lost {
		d.o.Log.Warn("webhooks given up; too many wait for an endpoint that fails or is too slow",
			"app", e.address.app, "endpoint_id", e.address.id, "events", n)
	}
}
