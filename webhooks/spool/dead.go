package spool

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"go.etcd.io/bbolt"

	"dunlin/metrics"
	"dunlin/webhooks"
	"dunlin/webhooks/ledger"
)

// key is a number as the buckets are ordered by it.
func key(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func number(key []byte) uint64 { return binary.BigEndian.Uint64(key) }

// put writes something behind all else in a bucket.
func put(b *bbolt.Bucket, v any) (uint64, error) {
	n, err := b.NextSequence()
	if err != nil {
		return 0, err
	}
	text, err := json.Marshal(v)
	if err != nil {
		return 0, err
	}
	b.FillPercent = 0.9 // pages fill from one end and empty from the other
	return n, b.Put(key(n), text)
}

// bury writes the dead letter of an event.
func (q *Queue) bury(tx *bbolt.Tx, n uint64, o webhooks.Outcome) error {
	text := tx.Bucket(buckets.events).Get(key(n))
	if text == nil {
		return nil
	}
	e, err := decode[webhooks.Event](text)
	if err != nil {
		return err
	}
	e.Only = o.Endpoints
	_, err = put(tx.Bucket(buckets.dead), webhooks.DeadLetter{Event: e, Reason: o.Reason, Died: q.o.Now()})
	return err
}

// Bury adds dead letters that came from elsewhere.
func (q *Queue) Bury(list ...webhooks.DeadLetter) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ledger.Closed() {
		return webhooks.ErrClosed
	}
	err := q.db.Update(func(tx *bbolt.Tx) error {
		for i := range list {
			if _, err := put(tx.Bucket(buckets.dead), &list[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("writing the spool: %w", err)
	}
	for i := range list {
		q.dead[list[i].App]++
	}
	return q.trimDead()
}

// trimDead drops the oldest dead letters above the bound. mu is held.
func (q *Queue) trimDead() error {
	most := q.o.MaxDead
	for _, n := range q.dead {
		most -= n
	}
	if most >= 0 {
		return nil
	}
	_, err := q.takeDead(func(*webhooks.DeadLetter) bool {
		most++
		return most <= 0
	}, func(d *webhooks.DeadLetter, _ *bbolt.Tx) error {
		q.o.Counters.Drop(d.App, metrics.DropLetters, 1)
		return nil
	})
	return err
}

// takeDead removes the letters, oldest first, that are wanted, and does something
// with each in the same transaction. mu is held.
func (q *Queue) takeDead(wanted func(*webhooks.DeadLetter) bool, do func(*webhooks.DeadLetter, *bbolt.Tx) error) (n int, err error) {
	removed := map[string]int{}
	err = q.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(buckets.dead)
		var numbers []uint64 // a bucket must not change under its cursor
		var list []webhooks.DeadLetter
		err := each(tx, buckets.dead, func(n uint64, d webhooks.DeadLetter) {
			if wanted(&d) {
				numbers, list = append(numbers, n), append(list, d)
			}
		})
		if err != nil {
			return err
		}
		for i := range list {
			if err := b.Delete(key(numbers[i])); err != nil {
				return err
			}
			removed[list[i].App]++
			if err := do(&list[i], tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("writing the spool: %w", err)
	}
	for app, k := range removed {
		n += k
		if q.dead[app] -= k; q.dead[app] == 0 {
			delete(q.dead, app)
		}
	}
	return n, nil
}

// Dead implements webhooks.Queue.
func (q *Queue) Dead(_ context.Context, app string, max int) (list []webhooks.DeadLetter, err error) {
	err = q.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(buckets.dead).Cursor()
		for k, v := c.Last(); k != nil && len(list) < max; k, v = c.Prev() {
			d, err := decode[webhooks.DeadLetter](v)
			if err != nil {
				return err
			}
			if app == "" || d.App == app {
				list = append(list, d)
			}
		}
		return nil
	})
	if err != nil {
		return nil, q.readError(err)
	}
	return list, nil
}

// Replay implements webhooks.Queue.
func (q *Queue) Replay(_ context.Context, app string, ids ...string) (int, error) {
	among := make(map[string]bool, len(ids))
	for _, id := range ids {
		among[id] = true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ledger.Closed() {
		return 0, webhooks.ErrClosed
	}
	var back []ledger.Entry[uint64]
	n, err := q.takeDead(func(d *webhooks.DeadLetter) bool {
		return (app == "" || d.App == app) && (len(ids) == 0 || among[d.ID])
	}, func(d *webhooks.DeadLetter, tx *bbolt.Tx) error {
		if q.ledger.Has(d.ID) {
			return nil
		}
		n, err := put(tx.Bucket(buckets.events), &d.Event)
		back = append(back, entry(&d.Event, n))
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, q.drop(q.ledger.Add(back...))
}
