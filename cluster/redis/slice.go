package redis

import (
	"context"
	"errors"
	"hash/maphash"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"dunlin/internal/redis"
	"dunlin/protocol"
)

// commandTime is how long one command may take before it counts as lost.
const commandTime = 900 * time.Millisecond

// reason is why a node takes a new incarnation.
type reason int

const (
	firstTime  reason = iota
	dataLost          // the slice's epoch is another: Redis lost everything
	fenced            // the lease ran out and the incarnation was swept away
	writesLost        // Redis does not know batches that it had answered
	reasons
)

var reasonNames = [reasons]string{"first", "epoch", "fenced", "lost"}

func (r reason) String() string { return reasonNames[r] }

// registration is how a slice knows this node. It is replaced, never changed.
type registration struct {
	inc   string
	gen   int // 0: not registered
	epoch string
	why   reason
	old   string    // the incarnation before
	at    time.Time // by this node's clock
}

// slice is one part of Redis as this node uses it.
type slice struct {
	// Static after construction
	engine    *Engine
	index     int
	pre       string
	client    *redis.Client
	lanes     []*lane
	publisher *publisher
	listener  *listener
	wake      chan struct{} // the keeper has something to do at once
	hands     chan struct{} // a token for each thing done in the background
	welcomes  chan string   // answers to this node's registration
	first     chan struct{} // closed when the slice was reached, or is not ours

	mu sync.Mutex
	// Guarded by mu
	reg      registration
	changed  chan struct{} // closed when reg or down changes
	down     time.Time     // since when Redis does not answer; zero: it does
	back     time.Time     // when it answered again, or for the first time
	clock    int64         // Redis' time of a moment not before timed, ms since 1970
	timed    time.Time
	suspect  reason // why reg is not to be kept; firstTime: it is
	behind   int    // lanes that have not yet told everything under reg
	company  company
	notOurs  error
	firstSet bool
}

func newSlice(e *Engine, index int) *slice {
	s := &slice{
		engine:  e,
		index:   index,
		pre:     e.shared.Prefix(index),
		client:  e.shared.Client(index),
		wake:    make(chan struct{}, 1),
		hands:   make(chan struct{}, 16),
		first:   make(chan struct{}),
		changed: make(chan struct{}),

		welcomes: make(chan string, 64),
	}
	for i := range e.opts.Lanes {
		s.lanes = append(s.lanes, newLane(s, i))
	}
	s.publisher = newPublisher(s)
	s.listener = newListener(s)
	return s
}

func (s *slice) start() {
	run := s.engine.running.Go
	run(s.keep)
	run(s.sweepAll)
	run(s.publisher.run)
	run(s.listener.run)
	run(s.listener.askAll)
	for _, l := range s.lanes {
		run(l.run)
	}
}

func (s *slice) lane(ch protocol.ChannelKey) *lane {
	return s.lanes[maphash.Comparable(s.engine.seed, ch)%uint64(len(s.lanes))]
}

// poke leaves a token in a wake channel, which one may be in already.
func poke(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// state returns the registration, and a channel that is closed when it, or whether
// Redis answers, changes.
func (s *slice) state() (registration, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reg, s.changed
}

// signal tells who waits that something changed. mu is held.
func (s *slice) signal() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *slice) downSince() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down.IsZero() && s.reg.gen == 0 {
		return s.reg.at
	}
	return s.down
}

// up reports whether Redis answered the last time it was asked.
func (s *slice) up() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down.IsZero() && s.reg.gen > 0
}

// rebuilding is how much longer Redis may not know everybody again, after it lost
// data. Nobody is to be taken for gone because of that.
func (s *slice) rebuilding() time.Duration {
	reg, _ := s.state()
	if reg.why != dataLost && reg.why != writesLost {
		return 0
	}
	return quietFirst - time.Since(reg.at)
}

func (s *slice) foreign() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.notOurs
}

// unable are the beginnings of replies that say that Redis can not do its work now.
var unable = []string{"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MISCONF", "OOM", "NOREPLICAS", "NOAUTH", "WRONGPASS", "NOPERM"}

// badNews reports whether an error means that Redis can not be worked with, not
// that one command was wrong.
func badNews(err error) bool {
	var reply goredis.Error
	if err == nil || errors.Is(err, goredis.Nil) {
		return false
	}
	if !errors.As(err, &reply) {
		return true
	}
	for _, word := range unable {
		if strings.HasPrefix(reply.Error(), word) {
			return true
		}
	}
	return false
}

// saw notes how a command ended. Good news are the keeper's to bring.
func (s *slice) saw(err error) {
	if !badNews(err) || s.engine.life.Err() != nil {
		return
	}
	s.mu.Lock()
	first := s.down.IsZero()
	if first {
		s.down = time.Now()
		s.signal()
	}
	s.mu.Unlock()
	s.client.Refresh(s.engine.life)
	if first {
		s.engine.opts.Log.Warn("Redis does not answer", "slice", s.index, "error", err)
		s.listener.excuse()
	}
	poke(s.wake)
}

// keep renews the lease, and finds out when Redis is back.
func (s *slice) keep() {
	s.mu.Lock()
	s.reg.at = time.Now()
	s.mu.Unlock()
	s.listener.begun() // or nobody could answer to the registration
	for failures := 0; ; {
		wait := s.engine.opts.Lease / 4
		if s.beat() == nil {
			failures = 0
			if _, alone := s.alone(); alone {
				wait = s.aloneTime() / 2
			}
			wait -= rand.N(wait / 8)
		} else {
			s.client.Refresh(s.engine.life)
			failures++
			wait = retryWait(failures)
			s.engine.detach(s.downSince())
		}
		if !s.pause(wait, s.wake, failures) {
			return
		}
	}
}

// retryWait is the wait after so many failures: 50 ms doubled up to 500 ms, less
// some, so that nodes do not come back all at once.
func retryWait(failures int) time.Duration {
	wait := 50 * time.Millisecond << min(failures-1, 4)
	wait = min(wait, 500*time.Millisecond)
	return wait - rand.N(wait/4)
}

// pause waits; a wake-up cuts it short unless something failed just now. It reports
// false when the engine stops.
func (s *slice) pause(wait time.Duration, wake <-chan struct{}, failures int) bool {
	if failures > 0 {
		wake = nil
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-s.engine.life.Done():
		return false
	case <-t.C:
	case <-wake:
	}
	return true
}

// beat renews the lease, or takes a new incarnation where that is due.
func (s *slice) beat() error {
	s.mu.Lock()
	reg, suspect := s.reg, s.suspect
	s.mu.Unlock()
	if reg.gen == 0 || suspect != firstTime {
		return s.rejoin(reg, suspect)
	}
	// Lanes only go on: what Redis knows must not be less than what was answered
	// before it was asked.
	told := make([]uint64, len(s.lanes))
	for i, l := range s.lanes {
		told[i] = l.answered(reg.gen)
	}
	list, _, err := s.register(reg.inc, "0")
	if err != nil {
		return err
	}
	s.up0()
	switch {
	case text(list[0]) != reg.epoch:
		return s.rejoin(reg, dataLost)
	case number(list[1]) == 0:
		return s.rejoin(reg, fenced)
	}
	for i := range told {
		if number(list[4+i]) < int64(told[i]) {
			return s.rejoin(reg, writesLost)
		}
	}
	return nil
}

// up0 notes that Redis answered.
func (s *slice) up0() {
	s.mu.Lock()
	was := s.down
	if !was.IsZero() {
		s.down, s.back = time.Time{}, time.Now()
		s.signal()
	}
	s.mu.Unlock()
	if !was.IsZero() {
		s.engine.reattach()
		s.engine.opts.Log.Info("Redis answers again", "slice", s.index, "after", time.Since(was).Round(time.Millisecond).String())
	}
}

// distrust has the keeper take a new incarnation, unless that was done since gen.
func (s *slice) distrust(gen int, why reason) {
	s.mu.Lock()
	if s.reg.gen == gen && s.suspect == firstTime {
		s.suspect = why
	}
	s.mu.Unlock()
	poke(s.wake)
}

// caughtUp is called once by each lane when all is told under a registration. After
// the last the old incarnation is left to be swept; nothing flaps, since all that
// it had is there under the new one.
func (s *slice) caughtUp(gen int) {
	s.mu.Lock()
	if s.reg.gen != gen {
		s.mu.Unlock()
		return
	}
	s.behind--
	old, last := s.reg.old, s.behind == 0
	s.mu.Unlock()
	if last && old != "" {
		ctx, cancel := context.WithTimeout(s.engine.life, commandTime)
		defer cancel()
		s.release(ctx, old)
	}
}

// release lets an incarnation's lease run out now. When that fails it runs out by
// itself.
func (s *slice) release(ctx context.Context, inc string) {
	s.saw(s.client.ZAddXX(ctx, s.pre+"hb", goredis.Z{Score: 1, Member: inc}).Err())
}

// goodbye tells what is left to tell and gives up the lease.
func (s *slice) goodbye(ctx context.Context) {
	for {
		reg, changed := s.state()
		if reg.gen == 0 || !s.up() {
			return
		}
		if s.idle() {
			s.release(ctx, reg.inc)
			return
		}
		t := time.NewTimer(2 * time.Millisecond)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-changed:
		case <-t.C:
		}
		t.Stop()
	}
}

func (s *slice) idle() bool {
	for _, l := range s.lanes {
		if !l.idle() {
			return false
		}
	}
	return s.publisher.idle()
}
