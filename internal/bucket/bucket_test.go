package bucket

import (
	"testing"
	"time"
)

// TestTake: so many at once, then one at a time, and a clock that is set back does
// no harm.
//
// PROTOCOL 3.12.
func TestTake(t *testing.T) {
	t.Parallel()
	var b Bucket
	now := time.Unix(1000, 0)
	for i, v := range []struct {
		after time.Duration
		taken int
	}{{0, 10}, {100 * time.Millisecond, 1}, {500 * time.Millisecond, 5}, {time.Hour, 10}, {-time.Hour, 0}, {time.Second, 10}} {
		now = now.Add(v.after)
		taken := 0
		for range 20 {
			if b.Take(now, 10) {
				taken++
			}
		}
		if taken != v.taken {
			t.Errorf("step %d: %d taken, want %d", i, taken, v.taken)
		}
	}
}
