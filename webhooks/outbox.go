package webhooks

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"dunlin/metrics"
)

// OutboxOptions of NewOutbox. Zero values are defaults.
type OutboxOptions struct {
	Queue    Queue
	Counters *metrics.Webhooks
	Log      *slog.Logger
	MaxBytes int // of events on their way to the queue; 0: 16 MiB
}

// Outbox takes events from callers that must not block and appends them to a
// queue, in their order. While the queue writes one batch the next one gathers,
// so that a queue on a disk writes once for many events.
type Outbox struct {
	// Static after construction
	o    OutboxOptions
	wake chan struct{} // one token: events may be waiting
	stop context.CancelFunc
	done chan struct{}

	mu sync.Mutex
	// Guarded by mu
	waiting []Event
	bytes   int // of events posted and not yet in the queue
	closed  bool
}

// NewOutbox returns an outbox that works until Close.
func NewOutbox(o OutboxOptions) *Outbox {
	if o.MaxBytes == 0 {
		o.MaxBytes = 16 << 20
	}
	ctx, stop := context.WithCancel(context.Background())
	b := &Outbox{o: o, wake: make(chan struct{}, 1), stop: stop, done: make(chan struct{})}
	go b.run(ctx)
	return b
}

// Post hands an event over. It never blocks and may be called with locks held;
// on a nil Outbox it does nothing. An event that finds no room, because the queue
// does not take any, is dropped and counted.
func (b *Outbox) Post(e Event) {
	if b == nil {
		return
	}
	size := e.Size()
	b.mu.Lock()
	if b.closed || b.bytes+size > b.o.MaxBytes {
		b.mu.Unlock()
		b.o.Counters.Drop(e.App, metrics.DropHandOff, 1)
		return
	}
	b.bytes += size
	b.waiting = append(b.waiting, e)
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default: // a token is there already
	}
}

// Close takes no more events and waits until the queue has those that were
// posted, or ctx ends; what is left then is lost and counted.
func (b *Outbox) Close(ctx context.Context) error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
	select {
	case <-b.done:
		b.stop()
		return nil
	case <-ctx.Done():
	}
	b.stop()
	<-b.done
	return ctx.Err()
}

// run appends batch after batch.
func (b *Outbox) run(ctx context.Context) {
	defer close(b.done)
	for {
		<-b.wake
		b.mu.Lock()
		batch, closed := b.waiting, b.closed
		b.waiting = nil
		b.mu.Unlock()
		for len(batch) > 0 {
			part := batch[:min(len(batch), maxAppend)]
			b.append(ctx, part)
			batch = batch[len(part):]
		}
		if closed {
			return
		}
	}
}

// maxAppend bounds what one call of Append has to write at once.
const maxAppend = 1000

// append tries until the queue has taken the events.
func (b *Outbox) append(ctx context.Context, batch []Event) {
	for failures := 0; ; failures++ {
		err := b.o.Queue.Append(ctx, batch...)
		if err == nil {
			break
		}
		if failures == 0 || ctx.Err() != nil {
			b.o.Log.Error("the webhook queue takes no events", "error", err, "events", len(batch))
		}
		if !Pause(ctx, failures) {
			for i := range batch {
				b.o.Counters.Drop(batch[i].App, metrics.DropStopped, 1)
			}
			break
		}
	}
	size := 0
	for i := range batch {
		size += batch[i].Size()
	}
	b.mu.Lock()
	b.bytes -= size
	b.mu.Unlock()
}

// Pause waits before a queue is tried again: 50 ms at first, twice as long each
// time, up to 3.2 s. It reports false when ctx has ended.
func Pause(ctx context.Context, failures int) bool {
	select {
	case <-time.After(50 * time.Millisecond << min(failures, 6)):
		return true
	case <-ctx.Done():
		return false
	}
}
