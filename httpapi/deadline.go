package httpapi

import (
	"context"
	"sync"
	"time"
)

// deadline is a context that ends at a time. Its timer is started by the first who
// wants to hear of the end: most requests are done by then, and a timer each would
// be a twentieth of what they cost.
type deadline struct {
	until time.Time
	once  sync.Once
	ctx   context.Context // set by start, or by stop
	end   context.CancelFunc
}

var _ context.Context = (*deadline)(nil)

// within returns a context that ends after d. stop ends it before.
func within(d time.Duration) *deadline { return &deadline{until: time.Now().Add(d)} }

func (d *deadline) start() context.Context {
	d.once.Do(func() { d.ctx, d.end = context.WithDeadline(context.Background(), d.until) })
	return d.ctx
}

// stop lets go of the timer, if there is one. Who has kept the context finds it over.
func (d *deadline) stop() {
	d.once.Do(func() { d.ctx, d.end = over, func() {} })
	d.end()
}

// over is a context that has ended.
var over = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// Deadline implements context.Context.
func (d *deadline) Deadline() (time.Time, bool) { return d.until, true }

// Done implements context.Context.
func (d *deadline) Done() <-chan struct{} { return d.start().Done() }

// Err implements context.Context.
func (d *deadline) Err() error { return d.start().Err() }

// Value implements context.Context, so that contexts made of this one find its end.
func (d *deadline) Value(key any) any { return d.start().Value(key) }
