//go:build linux

package epoll

import "golang.org/x/sys/unix"

// table is a loop's connections. A connection's place in it and the place's
// generation travel in its epoll data, so that an event for a descriptor that was
// closed, and perhaps reused, since finds nothing. It is dense, unlike a table by
// descriptor, of which every loop would need one as long as the process's.
type table struct {
	places []place
	free   uint32 // first of a list through next; none: no place is free
	used   int
}

// place is where a connection stands: in the table, and on the wheel.
type place struct {
	c          *conn
	generation uint32 // of events that count; changes when c leaves
	next, prev uint32 // on the wheel; next is also the list of free places
	slot       uint32 // on the wheel, none: on no slot
}

const none = ^uint32(0)

func newTable() table { return table{free: none} }

// add gives c a place.
func (t *table) add(c *conn) {
	at := t.free
	if at == none {
		at = uint32(len(t.places))
		t.places = append(t.places, place{generation: firstGeneration})
	} else {
		t.free = t.places[at].next
	}
	p := &t.places[at]
	p.c, p.slot, c.place = c, none, at
	t.used++
}

// remove frees the place of c, which is on no slot of the wheel.
func (t *table) remove(c *conn) {
	p := &t.places[c.place]
	p.c = nil
	if p.generation++; p.generation < firstGeneration {
		p.generation = firstGeneration
	}
	p.next, t.free = t.free, c.place
	t.used--
}

// firstGeneration leaves generations to what is no connection.
const firstGeneration = 2

// Generations of what is in an epoll besides connections.
const (
	ofBell     = 0 // the eventfd of Wake
	ofListener = 1 // the place is an index of listeners
)

// event is the epoll data of c, with the events that it waits for.
func (t *table) event(c *conn, events uint32) unix.EpollEvent {
	return unix.EpollEvent{Events: events, Fd: int32(c.place), Pad: int32(t.places[c.place].generation)}
}

// find returns the connection that an event is for, or nil when it has gone.
func (t *table) find(e *unix.EpollEvent) *conn {
	at := uint32(e.Fd)
	if at >= uint32(len(t.places)) || t.places[at].generation != uint32(e.Pad) {
		return nil
	}
	return t.places[at].c
}
