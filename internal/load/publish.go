package load

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// publishing is publishers at work on the HTTP API.
type publishing struct {
	// Static after construction
	r       *run
	plan    schedule
	until   int64 // no event begins from then on
	events  int
	channel func(n int) (name string, subscribers int)
	track   *tracker // nil when nobody is subscribed
	gate    *gate

	next     atomic.Int64
	sent     atomic.Int64
	accepted atomic.Int64
	refused  atomic.Int64  // or failed
	done     chan struct{} // closed when nothing more will be sent
	requests *sharedLatency
	running  sync.WaitGroup
}

// publish starts o.Publishers publishers.
func (r *run) publish(track *tracker, limit int64, channel func(n int) (string, int)) *publishing {
	now := r.now()
	p := &publishing{
		r: r, plan: schedule{now, r.o.Rate}, until: now + int64(r.o.Duration), events: r.o.Events,
		channel: channel, track: track, gate: newGate(limit),
		done: make(chan struct{}), requests: newSharedLatency(),
	}
	for range r.o.Publishers {
		p.running.Go(p.publisher)
	}
	unwatch := context.AfterFunc(r.ctx, p.gate.close)
	go func() {
		p.running.Wait()
		unwatch()
		close(p.done)
	}()
	return p
}

// publisher publishes one event after the other.
func (p *publishing) publisher() {
	c := p.r.newCaller()
	for !p.r.ended() && !p.hopeless() {
		n := int(p.next.Add(1) - 1)
		if n >= p.events {
			return
		}
		name, subscribers := p.channel(n)
		at, ok := p.await(n, subscribers)
		if !ok {
			return
		}
		p.one(c, n, name, subscribers, at)
	}
}

// hopeless reports whether so many of the first requests were refused that the
// rest is not worth sending.
func (p *publishing) hopeless() bool {
	const enough = 100
	return p.refused.Load() >= enough && p.accepted.Load() == 0
}

// await waits until event n may leave and returns the time from which it is
// measured: when it was due, or now.
func (p *publishing) await(n, subscribers int) (at int64, ok bool) {
	if !p.plan.paced() {
		ok = p.gate.enter(subscribers)
		at = p.r.now()
		return at, ok && at < p.until
	}
	if at = p.plan.due(int64(n)); at >= p.until {
		return 0, false
	}
	return at, sleep(p.r.ctx, time.Duration(at-p.r.now()))
}

// one publishes event n.
func (p *publishing) one(c *caller, n int, channel string, subscribers int, at int64) {
	if p.track != nil {
		p.track.begin(n, at, subscribers)
	}
	p.sent.Add(1)
	status, err := c.publish(channel, n, time.Now())
	p.requests.record(p.r.now() - at)
	if status == http.StatusOK {
		p.accepted.Add(1)
		return
	}
	p.refused.Add(1)
	if err != nil {
		p.r.errors.add("http failed", err.Error())
	} else {
		p.r.errors.add(fmt.Sprintf("http %d", status), strings.TrimSpace(string(c.answer.Body())))
	}
	if p.track != nil {
		p.gate.leave(int64(p.track.refuse(n)))
	}
}

// stop keeps further events from being sent and waits for the answers to those
// that were.
func (p *publishing) stop() {
	p.next.Store(int64(p.events))
	p.gate.close()
	p.running.Wait()
}

// finished reports whether nothing more will be sent.
func (p *publishing) finished() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// share is how far the publishing is, 0..1.
func (p *publishing) share(now int64) float64 {
	return p.r.share(p.sent.Load(), p.plan.start, now)
}

// share is how far a phase is that events and time bound, 0..1.
func (r *run) share(events, start, now int64) float64 {
	return min(max(float64(events)/float64(max(r.o.Events, 1)), float64(now-start)/float64(r.o.Duration)), 1)
}

// report adds what the publishers did in their phase. It fails when no request was
// accepted.
func (p *publishing) report(done Phase) error {
	p.r.elapsed[timeRequest] = p.requests.l
	q := &Requests{Sent: p.sent.Load(), Accepted: p.accepted.Load(), Refused: p.refused.Load()}
	q.PerSecond = done.rate(q.Accepted)
	p.r.report.Requests = q
	if q.Accepted == 0 && !p.r.ended() {
		return fmt.Errorf("no request was accepted: %s", p.r.errors.worst())
	}
	return nil
}
