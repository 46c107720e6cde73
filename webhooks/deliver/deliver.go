// Package deliver takes events out of a webhooks.Queue and sends them to the
// endpoints that want them: filtered, batched, signed, again when that fails, and
// given up after a time (PROTOCOL 6.1–6.8).
//
// Each endpoint has lanes of its own, a goroutine each while something waits in
// it. A lane sends one batch at a time. All events of a channel are in one lane,
// and none is sent before those ahead of it are delivered or given up, which keeps
// their order. What one endpoint does never holds up another's lane.
//
// An event is settled when it is done with at every endpoint. Until then it is
// held here; how much that may be is bounded.
package deliver

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"dunlin/apps"
	"dunlin/internal/tracing"
	"dunlin/metrics"
	"dunlin/webhooks"
)

// Options of Start. Zero values are defaults where one is named.
type Options struct {
	Queue        webhooks.Queue
	Apps         *apps.Registry
	Counters     *metrics.Webhooks
	Log          *slog.Logger
	Timeout      time.Duration   // of a request, from connecting to the end of the answer; 0: 4 s
	Retry        Schedule        // 0: from 1 s to 60 s. GiveUp has no default
	ProbeEvery   time.Duration   // while an endpoint's circuit is open; 0: 10 s
	AllowPrivate bool            // endpoints may have private addresses
	MaxHeld      int             // events that are held; 0: 80,000
	MaxHeldBytes int             // 0: 48 MiB
	TLS          *tls.Config     // nil: the system's roots
	Agent        string          // User-Agent
	Tracer       *tracing.Tracer // nil: nothing is traced
	Now          func() time.Time
}

// withDefaults fills in what was left out.
func (o Options) withDefaults() Options {
	o.Timeout, o.ProbeEvery = cmp.Or(o.Timeout, 4*time.Second), cmp.Or(o.ProbeEvery, probeEvery)
	o.Retry.First, o.Retry.Most = cmp.Or(o.Retry.First, time.Second), cmp.Or(o.Retry.Most, time.Minute)
	o.MaxHeld, o.MaxHeldBytes = cmp.Or(o.MaxHeld, 80_000), cmp.Or(o.MaxHeldBytes, 48<<20)
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Deliverer delivers until Stop. Make one with Start.
type Deliverer struct {
	// Static after construction
	o        Options
	sender   *sender
	seed     maphash.Seed
	settling *settler
	taking   context.Context // ends when no more is taken
	noMore   context.CancelFunc
	stopping chan struct{} // closed when nobody may wait any longer
	stopped  context.Context
	abandon  context.CancelFunc
	taker    sync.WaitGroup
	lanes    sync.WaitGroup

	mu sync.Mutex
	// Guarded by mu, with all that is reached from here
	endpoints map[address]*endpoint
	routed    uint64
	held      int           // parcels
	heldBytes int           // of them
	room      chan struct{} // closed when held has fallen; nil while nobody waits
}

// address names an endpoint.
type address struct{ app, id string }

// parcel is an event on its way to one endpoint or several.
type parcel struct {
	event    webhooks.Event
	size     int
	arrived  time.Time
	number   uint64 // by which they stand in order
	open     int    // endpoints that it is not done with
	failures []failure
}

// failure is an endpoint that did not get an event, or "", and why, for people.
type failure struct{ endpoint, text string }

// Start begins to deliver what is in the queue.
func Start(o Options) *Deliverer {
	o = o.withDefaults()
	d := &Deliverer{
		o:         o,
		sender:    newSender(&o),
		seed:      maphash.MakeSeed(),
		stopping:  make(chan struct{}),
		endpoints: map[address]*endpoint{},
	}
	d.taking, d.noMore = context.WithCancel(context.Background())
	d.stopped, d.abandon = context.WithCancel(context.Background())
	d.settling = newSettler(o.Queue, o.Log, d.heldIDs)
	d.taker.Go(d.take)
	return d
}

// takeAtOnce is how many events are asked for.
const takeAtOnce = 256

// take moves events from the queue to lanes.
func (d *Deliverer) take() {
	for failures := 0; d.waitForRoom(); {
		events, err := d.o.Queue.Take(d.taking, takeAtOnce)
		switch {
		case err == nil:
			failures = 0
			d.route(events)
			continue
		case d.taking.Err() != nil || errors.Is(err, webhooks.ErrClosed):
			return
		}
		if failures++; failures == 1 {
			d.o.Log.Error("the webhook queue gives no events", "error", err)
		}
		select {
		case <-time.After(time.Second):
		case <-d.taking.Done():
			return
		}
	}
}

// waitForRoom waits while as much is held as may be, which is only so while
// endpoints that answer do not keep up: see shed. It reports false when no more is
// to be taken.
func (d *Deliverer) waitForRoom() bool {
	for {
		d.mu.Lock()
		if !d.full() {
			d.mu.Unlock()
			return d.taking.Err() == nil
		}
		if d.room == nil {
			d.room = make(chan struct{})
		}
		room := d.room
		d.mu.Unlock()
		select {
		case <-room:
		case <-d.taking.Done():
			return false
		}
	}
}

// route puts events into the lanes of the endpoints that want them.
func (d *Deliverer) route(events []webhooks.Event) {
	now := d.o.Now()
	d.mu.Lock()
	for i := range events {
		p := &parcel{event: events[i], size: events[i].Size(), arrived: now, number: d.routed}
		d.routed++
		d.held++
		d.heldBytes += p.size
		p.open = 1 // until every endpoint was looked at
		if app := d.o.Apps.ByID(p.event.App); app != nil {
			d.routeOne(app, p)
		} else if len(p.event.Only) == 0 {
			p.failures = append(p.failures, failure{text: "the app is not configured"})
		}
		if p.open == 1 { // nobody: that is in order unless it is for somebody
			for _, id := range p.event.Only {
				p.failures = append(p.failures, failure{id, id + " is no longer configured"})
			}
		}
		d.done(p)
	}
	lost := d.shed()
	d.mu.Unlock()
	d.reportShed(lost)
}

func (d *Deliverer) routeOne(app *apps.App, p *parcel) {
	for i := range app.Webhooks {
		w := &app.Webhooks[i]
		if !w.Wants(p.event.Name, p.event.Channel) || len(p.event.Only) > 0 && !slices.Contains(p.event.Only, w.ID) {
			continue
		}
		p.open++
		e := d.endpoint(address{app.ID, w.ID})
		n := maphash.String(d.seed, p.event.Channel) % uint64(max(w.Flights, 1))
		e.lane(int(n)).put(p, w.Batch.Events)
	}
}

// done notes that a parcel is done with at one place, and settles its event when
// that was the last. mu is held.
func (d *Deliverer) done(p *parcel) {
	if p.open--; p.open > 0 {
		return
	}
	d.held--
	d.heldBytes -= p.size
	if d.room != nil && !d.full() {
		close(d.room)
		d.room = nil
	}
	o := webhooks.Outcome{ID: p.event.ID}
	for i, f := range p.failures {
		if i > 0 {
			o.Reason += "; "
		}
		o.Reason += f.text
		if f.endpoint != "" {
			o.Endpoints = append(o.Endpoints, f.endpoint)
		}
	}
	if o.Reason != "" {
		d.o.Counters.Dead(p.event.App)
	}
	d.settling.add(o)
}

// heldIDs lists the events that are held.
func (d *Deliverer) heldIDs() (ids []string) {
	d.mu.Lock()
	for _, e := range d.endpoints {
		for _, l := range e.lanes {
			l.each(func(list []*parcel) {
				for _, p := range list {
					ids = append(ids, p.event.ID)
				}
			})
		}
	}
	d.mu.Unlock()
	slices.Sort(ids)
	return slices.Compact(ids)
}

// random is for jitter.
func random() float64 { return rand.Float64() }

// Stop delivers what is in the queue as far as that goes at once: nothing is
// waited for, no failure is repeated, and after ctx nothing is begun. It returns
// how many events that were taken are not settled; they are still the queue's.
func (d *Deliverer) Stop(ctx context.Context) (left int) {
	d.noMore()
	d.taker.Wait()
	d.takeRest()
	close(d.stopping)
	d.wakeAll()
	idle := make(chan struct{})
	go func() {
		d.lanes.Wait()
		close(idle)
	}()
	select {
	case <-idle:
	case <-ctx.Done():
	}
	d.abandon()
	d.settling.stop(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.held
}

// inHaste reports whether the Deliverer stops.
func (d *Deliverer) inHaste() bool {
	select {
	case <-d.stopping:
		return true
	default:
		return false
	}
}

// takeRest takes what can be taken without waiting, as far as there is room.
func (d *Deliverer) takeRest() {
	for {
		d.mu.Lock()
		full := d.held >= d.o.MaxHeld/2 || d.heldBytes >= d.o.MaxHeldBytes/2
		d.mu.Unlock()
		if full {
			return
		}
		events, err := d.o.Queue.Take(d.taking, takeAtOnce) // has ended: does not wait
		if err != nil {
			return
		}
		d.route(events)
	}
}

func (d *Deliverer) wakeAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.endpoints {
		e.wake()
	}
}
