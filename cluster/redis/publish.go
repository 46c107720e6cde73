package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"dunlin/cluster"
	"dunlin/protocol"
)

// publishTime is how long a publish waits for Redis.
const publishTime = time.Second

// Bounds of one round trip.
const (
	publishItems = 512
	publishBytes = 1 << 20
	publishMerge = 64 // items of one script call
)

// Bits of publish.lua.
const (
	bitKeep = 1 << iota
	bitSubscriptions
	bitUsers
	bitHere
)

// publisher sends the events of a slice in the order in which they came, in
// pipelines of which one is under way at a time.
type publisher struct {
	// Static after construction
	slice *slice
	wake  chan struct{}
	marks chan string // of this node, that came back

	// Owned by the publisher's goroutine
	since  uint64    // for which of the times that the node was alone there was a fence
	fenced time.Time // when one was last tried

	mu sync.Mutex
	// Guarded by mu
	queue []*item
	bytes int
	busy  bool
}

// item is what is published all or not at all: events of one slice.
type item struct {
	events []encoded
	bytes  int
	done   chan error // buffered; nil: nobody waits
}

type encoded struct {
	bits    int
	cid     string
	ttl     int64 // ms
	body    []byte
	receipt *cluster.Receipt // nil: nothing is wanted
	cache   bool             // of a cache channel
	here    bool             // it takes the short cut
}

// plain reports whether one PUBLISH is all that it takes.
func (i *item) plain() bool { return len(i.events) == 1 && i.events[0].bits == 0 }

func newPublisher(s *slice) *publisher {
	return &publisher{slice: s, wake: make(chan struct{}, 1), marks: make(chan string, 16)}
}

func (i *item) add(e *Engine, p *cluster.Publication, r *cluster.Receipt) {
	c := encoded{cid: cidOf(p.Channel), cache: protocol.KindOf(p.Channel.Name).Is(protocol.Cache)}
	id := uint64(0)
	if p.Keep > 0 {
		c.bits |= bitKeep
		c.ttl = max(p.Keep.Milliseconds(), 1)
		id = e.kept.Add(1)
	}
	if p.Want&cluster.WantSubscriptions != 0 {
		c.bits |= bitSubscriptions
	}
	if p.Want&cluster.WantUsers != 0 {
		c.bits |= bitUsers
	}
	if p.Want != 0 {
		c.receipt = r
	}
	origin := uint64(0)
	if p.Elsewhere {
		origin = e.self
	}
	c.body = appendEvent(make([]byte, 0, p.Frame.Size()+32), &p.Message, id, origin)
	i.events = append(i.events, c)
	i.bytes += len(c.body)
}

// put queues an item, unless Redis is away or too much waits.
func (p *publisher) put(i *item) bool {
	if !p.slice.up() {
		return false
	}
	p.mu.Lock()
	ok := p.bytes < p.slice.engine.opts.OfferBytes
	if ok {
		p.queue = append(p.queue, i)
		p.bytes += i.bytes
	}
	p.mu.Unlock()
	if ok {
		poke(p.wake)
	}
	return ok
}

// cancel takes an item back that was not sent yet, and reports whether it was not.
func (p *publisher) cancel(i *item) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, other := range p.queue {
		if other == i {
			p.queue = append(p.queue[:n], p.queue[n+1:]...)
			p.bytes -= i.bytes
			return true
		}
	}
	return false
}

func (p *publisher) idle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.busy && len(p.queue) == 0
}

// take returns what the next round trip carries.
func (p *publisher) take() (list []*item) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, bytes := 0, 0
	for n < len(p.queue) && n < publishItems && bytes < publishBytes {
		bytes += p.queue[n].bytes
		n++
	}
	list = append(list, p.queue[:n]...)
	rest := copy(p.queue, p.queue[n:])
	clear(p.queue[rest:])
	p.queue = p.queue[:rest]
	p.bytes -= bytes
	p.busy = n > 0
	return list
}

// run publishes until the engine stops.
func (p *publisher) run() {
	for {
		p.welcome()
		list := p.take()
		if len(list) == 0 {
			select {
			case <-p.slice.engine.life.Done():
				return
			case <-p.wake:
			}
			continue
		}
		if !p.slice.up() {
			p.fail(list, cluster.ErrUnavailable)
			continue
		}
		p.send(list)
	}
}

// call is one command of a pipeline.
type call struct {
	items []*item
	cmd   goredis.Cmder
	args  []any // of a script
	here  bool  // there is nothing for Redis to do
}

// send publishes items in one round trip.
func (p *publisher) send(list []*item) {
	ctx, cancel := context.WithTimeout(p.slice.engine.life, commandTime)
	defer cancel()
	pipe := p.slice.client.Pipeline()
	calls := p.calls(list, p.short())
	for i := range calls {
		if !calls[i].here {
			calls[i].cmd = p.command(ctx, pipe, &calls[i])
		}
	}
	if pipe.Len() > 0 {
		if _, err := pipe.Exec(ctx); badNews(err) {
			p.slice.saw(err)
		}
	}
	for i := range calls {
		p.ended(ctx, &calls[i])
	}
}

// calls makes as few commands of items as keep their order. With the short cut events
// come here, and Redis has only to keep and to count.
func (p *publisher) calls(list []*item, short bool) (calls []call) {
	for _, i := range list {
		for n := range i.events {
			i.events[n].here = short && !i.events[n].cache
		}
		last := len(calls) - 1
		switch {
		case i.plain() && i.events[0].here:
			calls = append(calls, call{items: []*item{i}, here: true})
		case i.plain():
			calls = append(calls, call{items: []*item{i}})
		case last >= 0 && calls[last].args != nil && len(calls[last].items) < publishMerge:
			calls[last].items = append(calls[last].items, i)
			calls[last].args = i.arguments(calls[last].args)
		default:
			args := []any{p.slice.pre, p.slice.client.PublishCommand()}
			calls = append(calls, call{items: []*item{i}, args: i.arguments(args)})
		}
	}
	return calls
}

func (i *item) arguments(args []any) []any {
	for _, e := range i.events {
		bits := e.bits
		if e.here {
			bits |= bitHere
		}
		args = append(args, bits, e.cid, e.ttl, e.body)
	}
	return args
}

func (p *publisher) command(ctx context.Context, pipe goredis.Pipeliner, c *call) goredis.Cmder {
	if c.args != nil {
		return publishScript.EvalSha(ctx, pipe, []string{p.slice.pre + "e"}, c.args...)
	}
	e := &c.items[0].events[0]
	if p.slice.client.Sharded {
		return pipe.SPublish(ctx, p.slice.pre+"c:"+e.cid, e.body)
	}
	return pipe.Publish(ctx, p.slice.pre+"c:"+e.cid, e.body)
}

// ended answers who waits for a command.
func (p *publisher) ended(ctx context.Context, c *call) {
	var err error
	if !c.here {
		err = c.cmd.Err()
	}
	var list []any
	if c.args != nil {
		cmd, _ := c.cmd.(*goredis.Cmd)
		if noScript(err) { // Redis was restarted; nothing of it was done
			cmd = publishScript.Eval(ctx, p.slice.client, []string{p.slice.pre + "e"}, c.args...)
		}
		list, err = cmd.Slice()
	}
	if err != nil {
		p.slice.saw(err)
		p.fail(c.items, outcomeOf(err))
		return
	}
	n := 0
	for _, i := range c.items {
		for _, e := range i.events {
			if e.receipt != nil && n+1 < len(list) {
				*e.receipt = cluster.Receipt{Subscriptions: int(number(list[n])), Users: int(number(list[n+1]))}
			}
			n += 2
		}
		p.hand(i)
		p.slice.engine.stats.Published.Add(uint64(len(i.events)))
		if i.done != nil {
			i.done <- nil
		}
	}
}

func (p *publisher) fail(list []*item, err error) {
	for _, i := range list {
		p.slice.engine.stats.Unpublished.Add(uint64(len(i.events)))
		if i.done != nil {
			i.done <- err
		} else {
			p.slice.engine.stats.DroppedOut.Add(1)
		}
	}
}

// unavailable makes an error of Redis one of the engine.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", cluster.ErrUnavailable, err)
}

// outcomeOf says what an error means for what was sent: what Redis refused, or what
// never reached it, was not done.
func outcomeOf(err error) error {
	var reply goredis.Error
	var network *net.OpError
	if errors.As(err, &reply) || errors.As(err, &network) && network.Op == "dial" {
		return unavailable(err)
	}
	return fmt.Errorf("%w: %w", cluster.ErrUncertain, err)
}

// Publish implements cluster.Engine. Events of one slice are published all or none,
// in one step of Redis; with several slices, in as many steps.
func (e *Engine) Publish(ctx context.Context, list []cluster.Publication) ([]cluster.Receipt, error) {
	receipts := make([]cluster.Receipt, len(list))
	parts := make(map[*slice]*item)
	wanted := false
	for i := range list {
		s := e.slice(list[i].Channel)
		if !s.up() {
			return nil, cluster.ErrUnavailable
		}
		if parts[s] == nil {
			parts[s] = &item{done: make(chan error, 1)}
		}
		parts[s].add(e, &list[i], &receipts[i])
		wanted = wanted || list[i].Want != 0
	}
	for s, i := range parts {
		if !s.publisher.put(i) {
			i.done <- cluster.ErrUnavailable
		}
	}
	if err := await(ctx, parts); err != nil {
		return nil, err
	}
	if !wanted {
		return nil, nil
	}
	return receipts, nil
}

// await waits for all parts of a publish. Where one was published, or may have been,
// it can not be said that nothing was.
func await(ctx context.Context, parts map[*slice]*item) (err error) {
	patience := time.NewTimer(publishTime)
	defer patience.Stop()
	certain := true
	for s, i := range parts {
		var one error
		select {
		case one = <-i.done:
		case <-patience.C:
			patience.Reset(0)
			one = s.publisher.giveUp(i, errTooLate)
		case <-ctx.Done():
			one = s.publisher.giveUp(i, ctx.Err())
		}
		certain = certain && errors.Is(one, cluster.ErrUnavailable)
		if err == nil {
			err = one
		}
	}
	if err != nil && !certain && !errors.Is(err, cluster.ErrUncertain) {
		err = fmt.Errorf("%w of all: %w", cluster.ErrUncertain, err)
	}
	return err
}

var errTooLate = errors.New("no answer from Redis in time")

// giveUp waits for an item no longer.
func (p *publisher) giveUp(i *item, why error) error {
	if p.cancel(i) {
		return unavailable(why)
	}
	return fmt.Errorf("%w: %w", cluster.ErrUncertain, why)
}

// Offer implements cluster.Engine.
func (e *Engine) Offer(p cluster.Publication) bool {
	i := &item{}
	p.Want = 0
	i.add(e, &p, nil)
	return e.slice(p.Channel).publisher.put(i)
}
