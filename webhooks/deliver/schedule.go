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

// circuit spares an endpoint that fails all the time: while it is open there is
// one request at a time, and not before the last one's failure is probeEvery ago.
type circuit struct {
	every    time.Duration // probeEvery
	failures int           // in a row
	next     time.Time     // no request before it while the circuit is open
	quiet    time.Time     // no request before it in any case: the endpoint asked for a pause
	probing  bool
}

func (c *circuit) open() bool { return c.failures >= circuitOpensAt }

// admit says whether a request may begin, or else how long to wait before asking
// again.
func (c *circuit) admit(now time.Time) (ok bool, wait time.Duration) {
	switch {
	case now.Before(c.quiet):
		return false, c.quiet.Sub(now)
	case !c.open():
		return true, 0
	case c.probing:
		return false, c.every
	case now.Before(c.next):
		return false, c.next.Sub(now)
	}
	c.probing = true
	return true, 0
}

// succeeded notes an answer. It reports whether that closed the circuit.
func (c *circuit) succeeded() (closed bool) {
	closed = c.open()
	c.failures, c.probing, c.quiet = 0, false, time.Time{}
	return closed
}

// failed notes a failure, after which the endpoint asked for a pause, or 0. It
// reports whether that opened the circuit.
func (c *circuit) failed(now time.Time, asked time.Duration) (opened bool) {
	c.failures++
	c.probing = false
	c.next = now.Add(c.every)
	if asked > 0 {
		c.quiet = now.Add(asked)
	}
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
