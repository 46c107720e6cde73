// Package ledger is what the queues of a single process share: the order of their
// events, which of them are handed out, their bounds and their figures. Where an
// event's content stands, in memory or in a file, is the queue's own affair.
package ledger

import (
	"context"
	"crypto/rand"
	"strconv"
	"strings"
	"sync"
	"time"

	"dunlin/webhooks"
)

// Entry is one event in a queue.
type Entry[T any] struct {
	ID, App string
	At      time.Time
	Size    int
	Value   T

	before, after *Entry[T]
}

// Ledger keeps entries in their order. Its methods may be called from any
// goroutine. Make one with New.
type Ledger[T any] struct {
	// Static after construction
	maxEvents, maxBytes int
	prefix              string // of the ids that it gives

	mu sync.Mutex
	// Guarded by mu
	last    uint64 // number of the last id given
	entries map[string]*Entry[T]
	ends    Entry[T]  // a ring: after is the oldest, before the latest
	next    *Entry[T] // the oldest that nobody has, or &ends
	bytes   int
	changed chan struct{} // closed when there is something to take, or at the end
	closed  bool
}

// New returns an empty ledger. Beyond so many events or bytes the oldest go.
func New[T any](maxEvents, maxBytes int) *Ledger[T] {
	l := &Ledger[T]{
		maxEvents: maxEvents, maxBytes: maxBytes,
		prefix:  strings.ToLower(rand.Text()[:10]) + "-",
		entries: map[string]*Entry[T]{},
		changed: make(chan struct{}),
	}
	l.ends.before, l.ends.after, l.next = &l.ends, &l.ends, &l.ends
	return l
}

// NewID returns an id that no other event has: 50 random bits that were drawn for
// this ledger, and a number.
func (l *Ledger[T]) NewID() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	return l.prefix + strconv.FormatUint(l.last, 36)
}

// Has reports whether there is an entry of that id.
func (l *Ledger[T]) Has(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.entries[id] != nil
}

// Add appends entries. It returns those that had to go for them.
func (l *Ledger[T]) Add(list ...Entry[T]) (dropped []*Entry[T]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range list {
		if e := &list[i]; l.entries[e.ID] == nil {
			l.add(&Entry[T]{ID: e.ID, App: e.App, At: e.At, Size: e.Size, Value: e.Value})
		}
	}
	for len(l.entries) > l.maxEvents || l.bytes > l.maxBytes && len(l.entries) > 1 {
		oldest := l.ends.after
		l.remove(oldest)
		dropped = append(dropped, oldest)
	}
	if l.next != &l.ends {
		l.wake()
	}
	return dropped
}

// add links an entry. mu is held.
func (l *Ledger[T]) add(e *Entry[T]) {
	e.before, e.after = l.ends.before, &l.ends
	e.before.after, e.after.before = e, e
	if l.next == &l.ends {
		l.next = e
	}
	l.entries[e.ID] = e
	l.bytes += e.Size
}

// remove unlinks an entry. mu is held.
func (l *Ledger[T]) remove(e *Entry[T]) {
	if l.next == e {
		l.next = e.after
	}
	e.before.after, e.after.before = e.after, e.before
	delete(l.entries, e.ID)
	l.bytes -= e.Size
}

// wake lets everybody look who waits in Take. mu is held.
func (l *Ledger[T]) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// Take hands out entries as webhooks.Queue's Take does.
func (l *Ledger[T]) Take(ctx context.Context, max int) ([]*Entry[T], error) {
	for {
		list, changed, err := l.take(max)
		if err != nil || len(list) > 0 {
			return list, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (l *Ledger[T]) take(max int) (list []*Entry[T], changed <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, nil, webhooks.ErrClosed
	}
	for ; len(list) < max && l.next != &l.ends; l.next = l.next.after {
		list = append(list, l.next)
	}
	return list, l.changed, nil
}

// Find returns the entry of an id, or nil.
func (l *Ledger[T]) Find(id string) *Entry[T] {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.entries[id]
}

// Remove takes an entry out and returns it, or nil.
func (l *Ledger[T]) Remove(id string) *Entry[T] {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[id]
	if e != nil {
		l.remove(e)
	}
	return e
}

// All returns every entry, the oldest first.
func (l *Ledger[T]) All() []*Entry[T] {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]*Entry[T], 0, len(l.entries))
	for e := l.ends.after; e != &l.ends; e = e.after {
		list = append(list, e)
	}
	return list
}

// Backlog counts the entries of each app.
func (l *Ledger[T]) Backlog() map[string]webhooks.Backlog {
	l.mu.Lock()
	defer l.mu.Unlock()
	apps := map[string]webhooks.Backlog{}
	for e := l.ends.after; e != &l.ends; e = e.after {
		b := apps[e.App]
		if b.Queued++; b.Oldest.IsZero() || e.At.Before(b.Oldest) {
			b.Oldest = e.At
		}
		apps[e.App] = b
	}
	return apps
}

// Close ends the ledger: who waits in Take waits no longer.
func (l *Ledger[T]) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.wake()
}

// Closed reports whether Close was called.
func (l *Ledger[T]) Closed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}
