package deliver

import (
	"strconv"
	"strings"
	"time"

	"dunlin/apps"
)

// Schedule says when a delivery that failed is tried again (PROTOCOL 6.5).
type Schedule struct {
	First  time.Duration // mean wait is ¾ of it, and twice as long after each attempt
	Most   time.Duration
	GiveUp time.Duration // after so long; 0: after one attempt
}

// delay is the wait after that many attempts: between half of the full wait and
// all of it, by a random number below 1, so that endpoints do not hear from
// everybody at once.
func (s Schedule) delay(attempts int, random float64) time.Duration {
	full := s.Most
	if doublings := attempts - 1; doublings < 32 {
		full = min(s.First<<doublings, s.Most)
	}
	return time.Duration((0.5 + random/2) * float64(full))
}

// next says when to try again after an attempt that failed at now, or that it is
// over. asked is what the endpoint wants as a wait. There is a last attempt at the
// deadline, whatever the waits.
func (s Schedule) next(now, deadline time.Time, attempts int, asked time.Duration, random float64) (at time.Time, over bool) {
	if !now.Before(deadline) {
		return time.Time{}, true
	}
	at = now.Add(max(s.delay(attempts, random), asked))
	if at.After(deadline) {
		at = deadline
	}
	return at, false
}

// granted bounds the wait that an endpoint asks for: a date in another century must
// not silence it for ever.
func (s Schedule) granted(asked time.Duration) time.Duration {
	return min(asked, max(s.GiveUp, s.Most))
}

// retryAfter reads the header of that name: seconds or a date (RFC 9110 §10.2.3).
// What is neither, or in the past, is 0.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if n, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	for _, layout := range []string{time.RFC1123, time.RFC850, time.ANSIC} {
		if at, err := time.Parse(layout, value); err == nil {
			return max(at.Sub(now), 0)
		}
	}
	return 0
}

// Failures of an endpoint in a row that open its circuit, and how often it is
// tried while it is open.
const (
	circuitOpensAt = 5
	probeEvery     = 10 * time.Second
)

// circuit spares an endpoint that fails: after each failure in a row there is a
// longer pause before the next request, and while the circuit is open there is one
// at a time.
type circuit struct {
	every    time.Duration // probeEvery, the longest pause unless the endpoint asks for more
	failures int           // in a row
	batches  int           // how many different ones failed meanwhile
	next     time.Time     // no request before it
	probing  bool
}

func (c *circuit) open() bool { return c.failures >= circuitOpensAt }

// hopeless reports whether it is the endpoint that fails, and not only a message
// which it does not digest.
func (c *circuit) hopeless() bool { return c.open() && c.batches > 1 }

// admit says whether a request may begin, or else how long to wait before asking
// again.
func (c *circuit) admit(now time.Time) (ok bool, wait time.Duration) {
	switch {
	case now.Before(c.next):
		return false, c.next.Sub(now)
	case !c.open():
		return true, 0
	case c.probing:
		return false, c.every
	}
	c.probing = true
	return true, 0
}

// succeeded notes an answer. It reports whether that closed the circuit.
func (c *circuit) succeeded() (closed bool) {
	closed = c.open()
	*c = circuit{every: c.every}
	return closed
}

// pause is how long to wait after another failure, by a random number below 1.
func (c *circuit) pause(s Schedule, random float64) time.Duration {
	if c.failures+1 >= circuitOpensAt {
		return c.every
	}
	return min(s.delay(c.failures+1, random), c.every)
}

// failed notes a failure, the first one of its batch or not, and how long to wait.
// It reports whether that opened the circuit.
func (c *circuit) failed(now time.Time, pause time.Duration, first bool) (opened bool) {
	c.failures++
	if first {
		c.batches++
	}
	c.probing = false
	c.next = now.Add(pause)
	return c.failures == circuitOpensAt
}

// due says how many of the waiting events make a batch now; when it is 0, wait is
// how long to wait for more. first is when the oldest of them came.
func due(now, first time.Time, waiting int, b apps.Batch) (n int, wait time.Duration) {
	most := max(b.Events, 1)
	if waiting >= most {
		return most, 0
	}
	if wait = first.Add(b.Window).Sub(now); wait > 0 {
		return 0, wait
	}
	return waiting, 0
}
