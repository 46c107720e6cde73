// Package spool is the webhook queue in a file: what it has accepted outlives the
// process, however that ends.
//
// The file is a bbolt database with three buckets:
//
//	events  number, 8 bytes big-endian → event as JSON, in their order
//	dead    number → dead letter as JSON
//	there   app NUL channel NUL user → nothing: who was told to be there, and not
//	        yet to be gone; user is empty for the channel itself
//
// What is not the content of events, their order and who has them, is also in
// memory, in a ledger.
package spool

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"dunlin/metrics"
	"dunlin/webhooks"
	"dunlin/webhooks/ledger"
)

// Options of a queue. Zero values are defaults.
type Options struct {
	MaxEvents int  // 0: 1,000,000
	MaxBytes  int  // of events, as Event.Size counts them; 0: 1 GiB
	MaxDead   int  // dead letters; 0: 10,000
	Presence  bool // keep in the file who is there, for There
	Counters  *metrics.Webhooks
	Now       func() time.Time
}

// Queue implements webhooks.Queue. Make one with Open.
type Queue struct {
	// Static after construction
	o      Options
	db     *bbolt.DB
	ledger *ledger.Ledger[uint64] // values are the events' numbers

	mu sync.Mutex // held while something is written, so that file and ledger agree
	// Guarded by mu
	dead map[string]int // letters by app
}

var _ webhooks.Queue = (*Queue)(nil)

var buckets = struct{ events, dead, there []byte }{[]byte("events"), []byte("dead"), []byte("there")}

// Open opens the queue in a file, which it makes when there is none. What was in
// it and not settled is there to be taken again.
func Open(path string, o Options) (*Queue, error) {
	o.MaxEvents, o.MaxBytes, o.MaxDead = cmp.Or(o.MaxEvents, 1_000_000), cmp.Or(o.MaxBytes, 1<<30), cmp.Or(o.MaxDead, 10_000)
	if o.Now == nil {
		o.Now = time.Now
	}
	db, err := openFile(path)
	if err != nil {
		return nil, err
	}
	q := &Queue{o: o, db: db, ledger: ledger.New[uint64](o.MaxEvents, o.MaxBytes), dead: map[string]int{}}
	if err := q.load(); err != nil {
		return nil, errors.Join(damaged(path, err), db.Close())
	}
	return q, nil
}

// load fills the ledger from the file.
func (q *Queue) load() error {
	err := q.db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{buckets.events, buckets.dead, buckets.there} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var list []ledger.Entry[uint64]
	err = q.db.View(func(tx *bbolt.Tx) error {
		return errors.Join(
			each(tx, buckets.events, func(n uint64, e webhooks.Event) { list = append(list, entry(&e, n)) }),
			each(tx, buckets.dead, func(_ uint64, d webhooks.DeadLetter) { q.dead[d.App]++ }))
	})
	if err != nil {
		return err
	}
	return q.drop(q.ledger.Add(list...))
}

func entry(e *webhooks.Event, n uint64) ledger.Entry[uint64] {
	return ledger.Entry[uint64]{ID: e.ID, App: e.App, At: e.At, Size: e.Size(), Value: n}
}

// Append implements webhooks.Queue.
func (q *Queue) Append(_ context.Context, events ...webhooks.Event) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ledger.Closed() {
		return webhooks.ErrClosed
	}
	list := make([]ledger.Entry[uint64], 0, len(events))
	here := map[string]bool{}
	err := q.db.Update(func(tx *bbolt.Tx) error {
		for _, e := range events {
			if e.ID == "" {
				e.ID = q.ledger.NewID()
			} else if here[e.ID] || q.ledger.Has(e.ID) {
				continue
			}
			here[e.ID] = true
			n, err := put(tx.Bucket(buckets.events), &e)
			if err != nil {
				return err
			}
			list = append(list, entry(&e, n))
			if q.o.Presence {
				if err := note(tx.Bucket(buckets.there), &e); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("writing the spool: %w", err)
	}
	return q.drop(q.ledger.Add(list...))
}

// drop takes out of the file what the ledger had no room for. mu is held.
func (q *Queue) drop(list []*ledger.Entry[uint64]) error {
	if len(list) == 0 {
		return nil
	}
	for _, e := range list {
		q.o.Counters.Drop(e.App, metrics.DropOldest, 1)
	}
	return q.db.Update(func(tx *bbolt.Tx) error {
		for _, e := range list {
			if err := tx.Bucket(buckets.events).Delete(key(e.Value)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Take implements webhooks.Queue.
func (q *Queue) Take(ctx context.Context, max int) (events []webhooks.Event, err error) {
	for len(events) == 0 {
		list, err := q.ledger.Take(ctx, max)
		if err != nil {
			return nil, err
		}
		err = q.db.View(func(tx *bbolt.Tx) error {
			for _, e := range list {
				v := tx.Bucket(buckets.events).Get(key(e.Value))
				if v == nil {
					continue // dropped since
				}
				event, err := decode[webhooks.Event](v)
				if err != nil {
					return err
				}
				events = append(events, event)
			}
			return nil
		})
		if err != nil {
			return nil, q.readError(err)
		}
	}
	return events, nil
}

func (q *Queue) readError(err error) error {
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return webhooks.ErrClosed
	}
	return fmt.Errorf("reading the spool: %w", err)
}

// Settle implements webhooks.Queue.
func (q *Queue) Settle(_ context.Context, outcomes ...webhooks.Outcome) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ledger.Closed() {
		return webhooks.ErrClosed
	}
	var buried []string // apps
	err := q.db.Update(func(tx *bbolt.Tx) error {
		for _, o := range outcomes {
			e := q.ledger.Find(o.ID)
			if e == nil {
				continue
			}
			if o.Reason != "" {
				if err := q.bury(tx, e.Value, o); err != nil {
					return err
				}
				buried = append(buried, e.App)
			}
			if err := tx.Bucket(buckets.events).Delete(key(e.Value)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("writing the spool: %w", err)
	}
	for _, o := range outcomes {
		q.ledger.Remove(o.ID)
	}
	for _, app := range buried {
		q.dead[app]++
	}
	return q.trimDead()
}

// Extend implements webhooks.Queue: nothing here is handed out again before the
// next start.
func (q *Queue) Extend(context.Context, ...string) error { return nil }

// Backlog implements webhooks.Queue.
func (q *Queue) Backlog(context.Context) (map[string]webhooks.Backlog, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	apps := q.ledger.Backlog()
	for app, n := range q.dead {
		b := apps[app]
		b.Dead = n
		apps[app] = b
	}
	return apps, nil
}

// Left returns what the queue has not settled, and its dead letters, the oldest
// first.
func (q *Queue) Left() (events []webhooks.Event, letters []webhooks.DeadLetter, err error) {
	err = q.db.View(func(tx *bbolt.Tx) error {
		return errors.Join(
			each(tx, buckets.events, func(_ uint64, e webhooks.Event) { events = append(events, e) }),
			each(tx, buckets.dead, func(_ uint64, d webhooks.DeadLetter) { letters = append(letters, d) }))
	})
	return events, letters, err
}

// Close implements webhooks.Queue.
func (q *Queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ledger.Close()
	return q.db.Close()
}

// each reads a bucket, the oldest first.
func each[T any](tx *bbolt.Tx, bucket []byte, f func(n uint64, v T)) error {
	return tx.Bucket(bucket).ForEach(func(k, text []byte) error {
		v, err := decode[T](text)
		if err == nil {
			f(number(k), v)
		}
		return err
	})
}

func decode[T any](text []byte) (v T, err error) {
	err = json.Unmarshal(text, &v)
	return v, err
}
