package deliver

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"dunlin/webhooks"
)

// settler tells the queue what became of events, many at once, and that those
// which are held are still being worked on.
type settler struct {
	// Static after construction
	queue webhooks.Queue
	log   *slog.Logger
	held  func() []string
	wake  chan struct{} // one token: outcomes may be waiting
	ctx   context.Context
	end   context.CancelFunc // tries no longer
	done  chan struct{}

	mu sync.Mutex
	// Guarded by mu
	outcomes []webhooks.Outcome
	stopping bool
}

// extendEvery is well within the time after which a queue gives what is not
// extended to somebody else.
const extendEvery = 10 * time.Second

// settleAtOnce bounds what a call of Settle or Extend has to do.
const settleAtOnce = 1000

func newSettler(q webhooks.Queue, log *slog.Logger, held func() []string) *settler {
	s := &settler{queue: q, log: log, held: held, wake: make(chan struct{}, 1), done: make(chan struct{})}
	s.ctx, s.end = context.WithCancel(context.Background())
	go s.run()
	return s
}

// add hands an outcome over. It does not block.
func (s *settler) add(o webhooks.Outcome) {
	s.mu.Lock()
	s.outcomes = append(s.outcomes, o)
	s.mu.Unlock()
	s.knock()
}

func (s *settler) knock() {
	select {
	case s.wake <- struct{}{}:
	default: // a token is there already
	}
}

func (s *settler) run() {
	defer close(s.done)
	tick := time.NewTicker(extendEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.extend()
			continue
		case <-s.wake:
		}
		s.mu.Lock()
		list, last := s.outcomes, s.stopping
		s.outcomes = nil
		s.mu.Unlock()
		for part := range slices.Chunk(list, settleAtOnce) {
			s.settle(part)
		}
		if last {
			return
		}
	}
}

// settle tries until the queue knows. An outcome that is lost means that the event
// is delivered again, with its id.
func (s *settler) settle(list []webhooks.Outcome) {
	for failures := 0; ; failures++ {
		err := s.queue.Settle(s.ctx, list...)
		if err == nil {
			return
		}
		if failures == 0 || s.ctx.Err() != nil {
			s.log.Error("the webhook queue settles no events", "error", err, "events", len(list))
		}
		if !webhooks.Pause(s.ctx, failures) {
			return
		}
	}
}

func (s *settler) extend() {
	for part := range slices.Chunk(s.held(), settleAtOnce) {
		if err := s.queue.Extend(s.ctx, part...); err != nil {
			s.log.Warn("the webhook queue does not know what is being delivered", "error", err)
			return
		}
	}
}

// stop settles what was handed over, until ctx ends.
func (s *settler) stop(ctx context.Context) {
	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	s.knock()
	select {
	case <-s.done:
	case <-ctx.Done():
		s.end() // the last try is under way or done
		<-s.done
	}
	s.end()
}
