// Package memory is the webhook queue that needs nothing: it is fast, bounded,
// and ends with the process.
package memory

import (
	"cmp"
	"context"
	"sync"
	"time"

	"dunlin/metrics"
	"dunlin/webhooks"
	"dunlin/webhooks/ledger"
)

// Options of a queue. Zero values are defaults.
type Options struct {
	MaxEvents    int // 0: 100,000
	MaxBytes     int // of events, as Event.Size counts them; 0: 64 MiB
	MaxDead      int // dead letters; 0: 10,000
	MaxDeadBytes int // 0: 16 MiB
	Counters     *metrics.Webhooks
	Now          func() time.Time
}

// Queue implements webhooks.Queue. Make one with New.
type Queue struct {
	// Static after construction
	o      Options
	ledger *ledger.Ledger[webhooks.Event]

	// moving is held while events become dead letters or come back, so that figures
	// show each of them once.
	moving  sync.Mutex
	letters letters
}

var _ webhooks.Queue = (*Queue)(nil)

// New returns an empty queue.
func New(o Options) *Queue {
	o.MaxEvents, o.MaxBytes = cmp.Or(o.MaxEvents, 100_000), cmp.Or(o.MaxBytes, 64<<20)
	o.MaxDead, o.MaxDeadBytes = cmp.Or(o.MaxDead, 10_000), cmp.Or(o.MaxDeadBytes, 16<<20)
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Queue{o: o, ledger: ledger.New[webhooks.Event](o.MaxEvents, o.MaxBytes)}
}

// Append implements webhooks.Queue.
func (q *Queue) Append(_ context.Context, events ...webhooks.Event) error {
	if q.ledger.Closed() {
		return webhooks.ErrClosed
	}
	list := make([]ledger.Entry[webhooks.Event], len(events))
	for i, e := range events {
		if e.ID == "" {
			e.ID = q.ledger.NewID()
		}
		list[i] = ledger.Entry[webhooks.Event]{ID: e.ID, App: e.App, At: e.At, Size: e.Size(), Value: e}
	}
	for _, e := range q.ledger.Add(list...) {
		q.o.Counters.Drop(e.App, metrics.DropOldest, 1)
	}
	return nil
}

// Take implements webhooks.Queue.
func (q *Queue) Take(ctx context.Context, max int) ([]webhooks.Event, error) {
	list, err := q.ledger.Take(ctx, max)
	return contents(list), err
}

func contents(list []*ledger.Entry[webhooks.Event]) []webhooks.Event {
	events := make([]webhooks.Event, len(list))
	for i, e := range list {
		events[i] = e.Value
	}
	return events
}

// Settle implements webhooks.Queue.
func (q *Queue) Settle(_ context.Context, outcomes ...webhooks.Outcome) error {
	q.moving.Lock()
	defer q.moving.Unlock()
	var dead []webhooks.DeadLetter
	for _, o := range outcomes {
		if e := q.ledger.Remove(o.ID); e != nil && o.Reason != "" {
			letter := webhooks.DeadLetter{Event: e.Value, Reason: o.Reason, Died: q.o.Now()}
			letter.Only = o.Endpoints
			dead = append(dead, letter)
		}
	}
	q.Bury(dead...)
	return nil
}

// Extend implements webhooks.Queue: nothing here is ever handed out again.
func (q *Queue) Extend(context.Context, ...string) error { return nil }

// Backlog implements webhooks.Queue.
func (q *Queue) Backlog(context.Context) (map[string]webhooks.Backlog, error) {
	q.moving.Lock()
	defer q.moving.Unlock()
	apps := q.ledger.Backlog()
	for app, n := range q.letters.count() {
		b := apps[app]
		b.Dead = n
		apps[app] = b
	}
	return apps, nil
}

// Dead implements webhooks.Queue.
func (q *Queue) Dead(_ context.Context, app string, max int) ([]webhooks.DeadLetter, error) {
	return q.letters.list(app, max), nil
}

// Replay implements webhooks.Queue.
func (q *Queue) Replay(ctx context.Context, app string, ids ...string) (int, error) {
	if q.ledger.Closed() {
		return 0, webhooks.ErrClosed
	}
	q.moving.Lock()
	defer q.moving.Unlock()
	letters := q.letters.take(app, ids)
	events := make([]webhooks.Event, len(letters))
	for i := range letters {
		events[i] = letters[i].Event
	}
	return len(events), q.Append(ctx, events...)
}

// Left returns what the queue has not settled, and its dead letters, the oldest
// first, for somebody who keeps it longer.
func (q *Queue) Left() ([]webhooks.Event, []webhooks.DeadLetter) {
	q.moving.Lock()
	defer q.moving.Unlock()
	return contents(q.ledger.All()), q.letters.all()
}

// Bury adds dead letters that came from elsewhere.
func (q *Queue) Bury(list ...webhooks.DeadLetter) {
	for _, gone := range q.letters.add(q.o.MaxDead, q.o.MaxDeadBytes, list...) {
		q.o.Counters.Drop(gone.App, metrics.DropLetters, 1)
	}
}

// Close implements webhooks.Queue.
func (q *Queue) Close() error {
	q.ledger.Close()
	return nil
}
