// Package redis is the webhook queue that nodes share: the streams in Redis that
// the engine's scripts append transitions to, in the very step in which they
// happen. One node at a time takes from a slice's stream, which keeps the order of
// a channel; what it took and did not settle, because it died, another takes later.
package redis

import (
	"cmp"
	"context"
	_ "embed" // the scripts
	"errors"
	"hash/fnv"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"dunlin/internal/redis"
	"dunlin/webhooks"
)

//go:embed lua/append.lua
var appendText string

//go:embed lua/settle.lua
var settleText string

//go:embed lua/replay.lua
var replayText string

var (
	appendScript = goredis.NewScript(appendText)
	settleScript = goredis.NewScript(settleText)
	replayScript = goredis.NewScript(replayText)
)

// Options of a queue. Zero values are defaults.
type Options struct {
	URL       string // this and the next two as the engine has them; required
	Prefix    string
	Slices    int
	Node      string        // names this node, as the engine does; "": it is alone
	MaxEvents int           // waiting, a slice; 1,000,000
	MaxDead   int           // dead letters, a slice; 10,000
	Idle      time.Duration // what was handed out so long ago, without word, is handed out again; 30 s
	Poll      time.Duration // how often an empty stream is looked at; 100 ms
	Log       *slog.Logger
}

// Queue implements webhooks.Queue. Make one with New.
type Queue struct {
	// Static after construction
	o      Options
	shared *redis.Deployment
	life   context.Context // ends with Close
	end    context.CancelFunc
	wake   chan struct{} // one token: something was appended here

	mu sync.Mutex
	// Guarded by mu
	taken   map[string]place // id → where it is, of what was handed out here
	groups  []bool           // by slice: there is a group
	heirs   []bool           // by slice: what the dead had taken may not all be here
	claimed []time.Time      // by slice: when abandoned entries were looked for
	owned   []bool           // by slice
	asked   time.Time        // when owned was found out
}

// place is where an event is.
type place struct {
	slice int
	entry string
}

var _ webhooks.Queue = (*Queue)(nil)

// group is the consumer group of all nodes.
const group = "wh"

// commandTime is how long one command may take.
const commandTime = 2 * time.Second

// New opens a queue. It does not connect.
func New(o Options) (*Queue, error) {
	shared, err := redis.Connect(o.URL, o.Prefix, o.Slices)
	if err != nil {
		return nil, err
	}
	o.MaxEvents, o.MaxDead = cmp.Or(o.MaxEvents, 1_000_000), cmp.Or(o.MaxDead, 10_000)
	o.Idle, o.Poll = cmp.Or(o.Idle, 30*time.Second), cmp.Or(o.Poll, 100*time.Millisecond)
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	slices := shared.Slices()
	q := &Queue{
		o: o, shared: shared, wake: make(chan struct{}, 1),
		taken: make(map[string]place), groups: make([]bool, slices), heirs: make([]bool, slices), claimed: make([]time.Time, slices), owned: make([]bool, slices),
	}
	q.life, q.end = context.WithCancel(context.Background())
	return q, nil
}

// Close implements webhooks.Queue. What was handed out and not settled is handed
// out again, by another node or later.
func (q *Queue) Close() error {
	if q.life.Err() != nil {
		return nil
	}
	q.end()
	return q.shared.Close()
}

func (q *Queue) closed(err error) error {
	if q.life.Err() != nil {
		return webhooks.ErrClosed
	}
	return err
}

func (q *Queue) client(slice int) *redis.Client { return q.shared.Client(slice) }

func (q *Queue) key(slice int, name string) string { return q.shared.Prefix(slice) + name }

// Append implements webhooks.Queue. Events of several slices are appended one slice
// after the other.
func (q *Queue) Append(ctx context.Context, events ...webhooks.Event) error {
	if q.life.Err() != nil {
		return webhooks.ErrClosed
	}
	calls := make(map[int][]any)
	var order []int
	for i := range events {
		s := q.shared.Slice(events[i].App, events[i].Channel)
		if calls[s] == nil {
			calls[s] = []any{q.o.MaxEvents}
			order = append(order, s)
		}
		fields := fieldsOf(&events[i])
		calls[s] = append(append(calls[s], events[i].ID, len(fields)), fields...)
	}
	for _, s := range order {
		if err := appendScript.Run(ctx, q.client(s), []string{q.key(s, "wh"), q.key(s, "wi")}, calls[s]...).Err(); err != nil {
			return q.closed(err)
		}
	}
	select {
	case q.wake <- struct{}{}:
	default: // a token is there already
	}
	return nil
}

// Take implements webhooks.Queue.
func (q *Queue) Take(ctx context.Context, max int) ([]webhooks.Event, error) {
	for {
		list, err := q.takeNow(max)
		switch {
		case q.life.Err() != nil:
			return nil, webhooks.ErrClosed
		case err != nil || len(list) > 0:
			return list, err
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
		t := time.NewTimer(q.o.Poll)
		select {
		case <-ctx.Done():
		case <-q.life.Done():
		case <-q.wake:
		case <-t.C:
		}
		t.Stop()
	}
}

// takeNow takes from the slices that are this node's.
func (q *Queue) takeNow(most int) (list []webhooks.Event, err error) {
	ctx, cancel := context.WithTimeout(q.life, commandTime)
	defer cancel()
	for s, own := range q.own(ctx) {
		if !own {
			continue
		}
		var found []goredis.XMessage
		if found, err = q.read(ctx, s, most-len(list)); err != nil {
			break
		}
		list = append(list, q.handOut(ctx, s, found)...)
		if len(list) >= most {
			break
		}
	}
	if len(list) > 0 {
		return list, nil
	}
	return nil, err
}

// handOut notes what is handed out. An entry that can not be read is dropped.
func (q *Queue) handOut(ctx context.Context, slice int, found []goredis.XMessage) (list []webhooks.Event) {
	for i := range found {
		e, err := eventOf(slice, &found[i])
		if err != nil {
			q.o.Log.Error("a webhook can not be read", "error", err)
			q.client(slice).XAck(ctx, q.key(slice, "wh"), group, found[i].ID)
			q.client(slice).XDel(ctx, q.key(slice, "wh"), found[i].ID)
			continue
		}
		q.mu.Lock()
		at := place{slice, found[i].ID}
		twice := q.taken[e.ID] == at
		q.taken[e.ID] = at
		q.mu.Unlock()
		if !twice { // else it was claimed from ourselves, who work on it
			list = append(list, e)
		}
	}
	return list
}

// read takes entries of one slice: now and then those that somebody abandoned.
func (q *Queue) read(ctx context.Context, s, most int) ([]goredis.XMessage, error) {
	stream := q.key(s, "wh")
	if err := q.ensureGroup(ctx, s); err != nil {
		return nil, err
	}
	if found, err := q.inherit(ctx, s, most); err != nil || len(found) > 0 {
		return found, q.noGroup(s, err)
	}
	q.mu.Lock()
	claim := time.Since(q.claimed[s]) > q.o.Idle/2
	if claim {
		q.claimed[s] = time.Now()
	}
	q.mu.Unlock()
	if claim {
		found, _, err := q.client(s).XAutoClaim(ctx, &goredis.XAutoClaimArgs{
			Stream: stream, Group: group, Consumer: q.consumer(), MinIdle: q.o.Idle, Start: "0-0", Count: int64(most),
		}).Result()
		if err != nil || len(found) > 0 {
			return found, q.noGroup(s, err)
		}
	}
	r, err := q.client(s).XReadGroup(ctx, &goredis.XReadGroupArgs{
		Group: group, Consumer: q.consumer(), Streams: []string{stream, ">"}, Count: int64(most), Block: -1,
	}).Result()
	if errors.Is(err, goredis.Nil) || len(r) == 0 {
		return nil, q.noGroup(s, ignoreNil(err))
	}
	return r[0].Messages, err
}

func ignoreNil(err error) error {
	if errors.Is(err, goredis.Nil) {
		return nil
	}
	return err
}

// noGroup forgets that there is a group, when Redis lost it: it is made again.
func (q *Queue) noGroup(s int, err error) error {
	if err == nil || !strings.HasPrefix(err.Error(), "NOGROUP") {
		return err
	}
	q.mu.Lock()
	q.groups[s] = false
	q.mu.Unlock()
	return nil
}

func (q *Queue) ensureGroup(ctx context.Context, s int) error {
	q.mu.Lock()
	there := q.groups[s]
	q.mu.Unlock()
	if there {
		return nil
	}
	err := q.client(s).XGroupCreateMkStream(ctx, q.key(s, "wh"), group, "0").Err()
	if err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP") {
		return err
	}
	q.mu.Lock()
	q.groups[s] = true
	q.mu.Unlock()
	return nil
}

func (q *Queue) consumer() string { return cmp.Or(q.o.Node, "alone") }

// ownedFor is how long a node takes from a slice without asking who lives.
const ownedFor = 2 * time.Second

// inherit takes what nodes had taken that are dead by now, before what is new: of a
// channel it is the older. A node that only stops may be about to settle what it
// took a moment ago.
func (q *Queue) inherit(ctx context.Context, s, most int) (found []goredis.XMessage, err error) {
	q.mu.Lock()
	heir := q.heirs[s]
	q.heirs[s] = false
	q.mu.Unlock()
	if !heir {
		return nil, nil
	}
	stream := q.key(s, "wh")
	consumers, err := q.client(s).XInfoConsumers(ctx, stream, group).Result()
	if err != nil {
		return nil, err
	}
	living := append(q.living(ctx, s), q.consumer())
	for _, c := range consumers {
		if c.Pending == 0 || slices.Contains(living, c.Name) || len(found) >= most {
			continue
		}
		pending, err := q.client(s).XPendingExt(ctx, &goredis.XPendingExtArgs{
			Stream: stream, Group: group, Start: "-", End: "+", Count: int64(most - len(found)), Consumer: c.Name,
		}).Result()
		if err != nil || len(pending) == 0 {
			return found, err
		}
		ids := make([]string, len(pending))
		for i := range pending {
			ids[i] = pending[i].ID
		}
		taken, err := q.client(s).XClaim(ctx, &goredis.XClaimArgs{
			Stream: stream, Group: group, Consumer: q.consumer(), MinIdle: q.o.Idle / 6, Messages: ids,
		}).Result()
		if found = append(found, taken...); err != nil {
			return found, err
		}
	}
	return found, nil
}

// own says which slices are this node's to take from: each slice is of the node
// that comes first for it, of those that live. For a moment two may believe so;
// an entry is handed out once all the same.
func (q *Queue) own(ctx context.Context) []bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if time.Since(q.asked) < ownedFor {
		return q.owned
	}
	q.asked = time.Now()
	owned := make([]bool, len(q.owned))
	for s := range owned {
		owned[s] = q.o.Node == "" || firstFor(s, q.living(ctx, s), q.o.Node)
		q.heirs[s] = q.o.Node != ""
	}
	q.owned = owned
	return owned
}

// living lists the nodes that the engine's leases name. Those that ran out do not
// matter for long: they are swept away.
func (q *Queue) living(ctx context.Context, s int) (nodes []string) {
	for _, inc := range q.client(s).ZRange(ctx, q.key(s, "hb"), 0, -1).Val() {
		node, _, _ := strings.Cut(inc, ".")
		nodes = append(nodes, node)
	}
	return nodes
}

// firstFor reports whether no other node comes before own for a slice.
func firstFor(slice int, nodes []string, own string) bool {
	rank := func(node string) uint64 {
		h := fnv.New64a()
		_, _ = h.Write([]byte{byte(slice), byte(slice >> 8)}) // never fails
		_, _ = h.Write([]byte(node))
		return h.Sum64()
	}
	mine := rank(own)
	for _, n := range nodes {
		if r := rank(n); n != own && (r > mine || r == mine && n > own) {
			return false
		}
	}
	return true
}
