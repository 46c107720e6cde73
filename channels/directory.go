package channels

import (
	"hash/maphash"
	"strings"
	"sync"

	"dunlin/cluster"
	"dunlin/protocol"
)

const stripeCount = 256

// directory finds the entry of a channel.
type directory struct {
	seed    maphash.Seed
	stripes [stripeCount]stripe
}

type stripe struct {
	mu sync.RWMutex
	// Guarded by mu
	entries map[protocol.ChannelKey]*entry
}

// entry is what the loops of a node agree on about one channel. It exists while
// the node has subscriptions to it, joining ones included.
type entry struct {
	// Static after construction
	key  protocol.ChannelKey
	kind protocol.Kind

	mu sync.Mutex
	// Guarded by mu
	flags     cluster.Flags
	gone      bool       // no longer in the directory: look again
	topic     topic      // whether events reach this node
	attach    uint32     // numbers the calls of Attach, so that late answers are known
	refs      int32      // subscriptions on this node
	mask      uint64     // bit i: loop i has a room
	serial    uint64     // of the latest message
	waiting   []waiter   // subscriptions that can not begin yet
	admitting uint64     // bit i: loop i is to look for those that can
	roster    *roster    // presence channels only
	counter   *counter   // not nil where the app wants, or wanted, subscription count events
	last      *lastEvent // cache channels only
}

// topic is how far a channel's way from the engine is.
type topic uint8

const (
	topicNone topic = iota
	topicAttaching
	topicLive
)

func newDirectory() *directory {
	d := &directory{seed: maphash.MakeSeed()}
	for i := range d.stripes {
		d.stripes[i].entries = make(map[protocol.ChannelKey]*entry)
	}
	return d
}

func (d *directory) stripe(key protocol.ChannelKey) *stripe {
	return &d.stripes[maphash.Comparable(d.seed, key)%stripeCount]
}

// find returns the entry of a channel, locked, or nil.
func (d *directory) find(key protocol.ChannelKey) *entry {
	s := d.stripe(key)
	for {
		s.mu.RLock()
		e := s.entries[key]
		s.mu.RUnlock()
		if e == nil {
			return nil
		}
		e.mu.Lock()
		if !e.gone {
			return e
		}
		e.mu.Unlock()
	}
}

// acquire returns the entry of a channel, locked, and makes it when it is
// missing. flags are those of a new entry.
func (d *directory) acquire(key protocol.ChannelKey, kind protocol.Kind, flags cluster.Flags) *entry {
	for {
		if e := d.find(key); e != nil {
			return e
		}
		s := d.stripe(key)
		s.mu.Lock()
		if s.entries[key] == nil {
			// The name is part of a whole message: keep the name alone.
			key.Name = strings.Clone(key.Name)
			e := &entry{key: key, kind: kind}
			if kind.Is(protocol.Presence) {
				e.roster = newRoster()
			}
			if kind.Is(protocol.Cache) {
				e.last = &lastEvent{}
			}
			e.setFlags(flags)
			s.entries[key] = e
		}
		s.mu.Unlock()
	}
}

// setFlags sets how the engine is to treat the channel. The entry is locked, or
// nobody knows it yet.
func (e *entry) setFlags(f cluster.Flags) {
	e.flags = f
	if e.counts() && e.counter == nil {
		e.counter = &counter{}
	}
}

// counts reports whether subscribers are told how many they are. The entry is locked.
func (e *entry) counts() bool { return e.flags&cluster.CountEvents != 0 }

// tidy removes an entry that nobody needs. e is not locked.
func (d *directory) tidy(e *entry) {
	s := d.stripe(e.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.refs == 0 && !e.gone {
		e.gone = true
		delete(s.entries, e.key)
	}
}
