package load

import (
	"context"
	"math"
	"time"
)

// never is later than any time of a run.
const never = math.MaxInt64

// schedule spaces what happens evenly: the k-th is due at start + k/rate. What
// is late does not move what follows, and is timed from when it was due; that is
// how latencies are free of coordinated omission. Without a rate all is due at
// once.
type schedule struct {
	start int64 // ns
	rate  float64
}

// paced reports whether there is a schedule at all.
func (s schedule) paced() bool { return s.rate > 0 }

// due is when the k-th is to happen.
func (s schedule) due(k int64) int64 {
	if !s.paced() {
		return s.start
	}
	return s.start + int64(math.Round(float64(k)*1e9/s.rate))
}

// fine is how long before its time a sleep is left to the timer of the system:
// that of Go's scheduler may be a millisecond late.
const fine = 2 * time.Millisecond

// sleep waits for d, to a fraction of a millisecond, and reports whether it did
// before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	if coarse := d - fine; coarse > 0 {
		t := time.NewTimer(coarse)
		defer t.Stop()
		began := time.Now()
		select {
		case <-ctx.Done():
			return false
		case <-t.C:
			d -= time.Since(began)
		}
	}
	if d > 0 {
		nap(d)
	}
	return ctx.Err() == nil
}
