package redis

import (
	"context"
	"slices"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"dunlin/webhooks"
)

// Settle implements webhooks.Queue.
func (q *Queue) Settle(ctx context.Context, outcomes ...webhooks.Outcome) error {
	calls := make(map[int][]any)
	q.mu.Lock()
	for _, o := range outcomes {
		at, ok := q.taken[o.ID]
		if !ok {
			continue
		}
		if calls[at.slice] == nil {
			calls[at.slice] = []any{group, q.o.MaxDead, time.Now().UnixMilli()}
		}
		calls[at.slice] = append(calls[at.slice], at.entry, o.ID, o.Reason, jsonList(o.Endpoints))
	}
	q.mu.Unlock()
	for s, args := range calls {
		if err := settleScript.Run(ctx, q.client(s), []string{q.key(s, "wh"), q.key(s, "wd"), q.key(s, "wi")}, args...).Err(); err != nil {
			return q.closed(err)
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, o := range outcomes {
		delete(q.taken, o.ID)
	}
	return nil
}

// Extend implements webhooks.Queue.
func (q *Queue) Extend(ctx context.Context, ids ...string) error {
	entries := make(map[int][]string)
	q.mu.Lock()
	for _, id := range ids {
		if at, ok := q.taken[id]; ok {
			entries[at.slice] = append(entries[at.slice], at.entry)
		}
	}
	q.mu.Unlock()
	for s, list := range entries {
		err := q.client(s).XClaimJustID(ctx, &goredis.XClaimArgs{Stream: q.key(s, "wh"), Group: group, Consumer: q.consumer(), Messages: list}).Err()
		if err != nil {
			return q.closed(err)
		}
	}
	return nil
}

// backlogMost is how many entries of a slice Backlog looks at; beyond it there are
// more than it says.
const (
	backlogMost = 10_000
	page        = 1000
)

// Backlog implements webhooks.Queue. It counts up to 10,000 events of a slice.
func (q *Queue) Backlog(ctx context.Context) (map[string]webhooks.Backlog, error) {
	list := make(map[string]webhooks.Backlog)
	for s := range q.shared.Slices() {
		err := q.scan(ctx, s, "wh", func(e webhooks.Event, _ *goredis.XMessage) {
			b := list[e.App]
			b.Queued++
			if b.Oldest.IsZero() || e.At.Before(b.Oldest) {
				b.Oldest = e.At
			}
			list[e.App] = b
		})
		if err == nil {
			err = q.scan(ctx, s, "wd", func(e webhooks.Event, _ *goredis.XMessage) {
				b := list[e.App]
				b.Dead++
				list[e.App] = b
			})
		}
		if err != nil {
			return nil, q.closed(err)
		}
	}
	return list, nil
}

// scan reads a stream of a slice, the oldest entries first.
func (q *Queue) scan(ctx context.Context, s int, stream string, each func(webhooks.Event, *goredis.XMessage)) error {
	from := "-"
	for range backlogMost / page {
		list, err := q.client(s).XRangeN(ctx, q.key(s, stream), from, "+", page).Result()
		if err != nil {
			return err
		}
		for i := range list {
			if e, err := eventOf(s, &list[i]); err == nil {
				each(e, &list[i])
			}
		}
		if len(list) < page {
			return nil
		}
		from = "(" + list[len(list)-1].ID
	}
	return nil
}

// Dead implements webhooks.Queue.
func (q *Queue) Dead(ctx context.Context, app string, max int) ([]webhooks.DeadLetter, error) {
	type dated struct {
		letter webhooks.DeadLetter
		entry  string
	}
	var all []dated
	for s := range q.shared.Slices() {
		err := q.scan(ctx, s, "wd", func(e webhooks.Event, m *goredis.XMessage) {
			if app != "" && e.App != app {
				return
			}
			reason, _ := m.Values[fieldReason].(string)
			died, _ := m.Values[fieldDiedTime].(string)
			ms, _ := strconv.ParseInt(died, 10, 64)
			all = append(all, dated{webhooks.DeadLetter{Event: e, Reason: reason, Died: time.UnixMilli(ms)}, m.ID})
		})
		if err != nil {
			return nil, q.closed(err)
		}
	}
	slices.Reverse(all) // of one slice the latest first; then of all
	slices.SortStableFunc(all, func(a, b dated) int { return b.letter.Died.Compare(a.letter.Died) })
	var list []webhooks.DeadLetter
	for _, d := range all[:min(max, len(all))] {
		list = append(list, d.letter)
	}
	return list, nil
}

// Replay implements webhooks.Queue.
func (q *Queue) Replay(ctx context.Context, app string, ids ...string) (total int, err error) {
	for s := range q.shared.Slices() {
		args := []any{q.o.MaxEvents}
		err := q.scan(ctx, s, "wd", func(e webhooks.Event, m *goredis.XMessage) {
			if (app == "" || e.App == app) && (len(ids) == 0 || slices.Contains(ids, e.ID)) {
				args = append(args, m.ID, e.ID)
			}
		})
		if err != nil {
			return total, q.closed(err)
		}
		if len(args) == 1 {
			continue
		}
		n, err := replayScript.Run(ctx, q.client(s), []string{q.key(s, "wh"), q.key(s, "wd"), q.key(s, "wi")}, args...).Int()
		if err != nil {
			return total, q.closed(err)
		}
		total += n
	}
	return total, nil
}
