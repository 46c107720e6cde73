package deliver

import (
	"net/http"
	"testing"
	"time"

	"dunlin/apps"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func after(seconds float64) time.Time { return start.Add(time.Duration(seconds * 1e9)) }

// PROTOCOL 6.5: waits double, within half and all of it
func TestDelay(t *testing.T) {
	t.Parallel()
	s := Schedule{First: time.Second, Most: time.Minute}
	for attempts, full := range map[int]float64{1: 1, 2: 2, 3: 4, 6: 32, 7: 60, 8: 60, 40: 60, 1000: 60} {
		for random, share := range map[float64]float64{0: 0.5, 0.5: 0.75, 1: 1} {
			if got, want := s.delay(attempts, random).Seconds(), full*share; got != want {
				t.Errorf("attempt %d, random %v: %v s, want %v", attempts, random, got, want)
			}
		}
	}
}

// PROTOCOL 6.5: for 5 minutes, and once more at their end
func TestNext(t *testing.T) {
	t.Parallel()
	s := Schedule{First: time.Second, Most: time.Minute, GiveUp: 5 * time.Minute}
	for _, c := range []struct {
		now      float64
		attempts int
		asked    time.Duration
		at       float64
		over     bool
	}{
		{0, 1, 0, 1, false},
		{0, 1, 20 * time.Second, 20, false},
		{10, 4, 2 * time.Second, 18, false}, // its own wait is longer
		{280, 8, 0, 300, false},             // not beyond the deadline
		{10, 1, time.Hour, 300, false},
		{300, 9, 0, 0, true},
		{301, 9, time.Second, 0, true},
	} {
		at, over := s.next(after(c.now), after(300), c.attempts, c.asked, 1)
		if over != c.over || !over && !at.Equal(after(c.at)) {
			t.Errorf("%+v: %v s, %v", c, at.Sub(start).Seconds(), over)
		}
	}
	if _, over := s.next(start, start, 1, 0, 1); !over {
		t.Error("with give_up_after 0 there is more than one attempt")
	}
}

// A whole delivery in vain, by the clock of the arithmetic.
func TestAttemptsInFiveMinutes(t *testing.T) {
	t.Parallel()
	s := Schedule{First: time.Second, Most: time.Minute, GiveUp: 5 * time.Minute}
	now, over, attempts := start, false, 0
	for !over {
		attempts++
		now, over = s.next(now, start.Add(s.GiveUp), attempts, 0, 0.5)
	}
	if attempts < 9 || attempts > 14 {
		t.Errorf("%d attempts", attempts)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, " 120 ": 2 * time.Minute, "-1": 0, "1.5": 0, "soon": 0, "99999999999": 0,
		after(90).Format(http.TimeFormat):   90 * time.Second,
		after(-90).Format(http.TimeFormat):  0,
		"Fri, 02 Jan 2026 03:04:06 GMT":     time.Second,
		"Friday, 02-Jan-26 03:04:07 GMT":    2 * time.Second,
		"Fri Jan  2 03:04:08 2026":          3 * time.Second,
		"Fri, 02 Jan 2026 03:04:06 GMT; no": 0,
	} {
		if got := retryAfter(value, start); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

// Pauses grow with the failures in a row, until the circuit is open.
func TestCircuit(t *testing.T) {
	t.Parallel()
	s := Schedule{First: time.Second, Most: time.Minute}
	c := &circuit{every: 10 * time.Second}
	admit := func(now float64, ok bool, wait float64) {
		t.Helper()
		gotOK, got := c.admit(after(now))
		if gotOK != ok || got.Seconds() != wait {
			t.Fatalf("at %v: %v, wait %v; want %v, %v", now, gotOK, got, ok, wait)
		}
	}
	now := 0.0
	for i, pause := range []float64{1, 2, 4, 8, 10} {
		admit(now, true, 0)
		admit(now, true, 0) // several lanes may
		if opened := c.failed(after(now), c.pause(s, 1), i == 0); opened != (i == circuitOpensAt-1) {
			t.Fatalf("opened by failure %d", i+1)
		}
		admit(now, false, pause)
		now += pause
	}
	admit(25, true, 0)
	admit(25, false, 10) // one at a time
	if c.hopeless() {
		t.Error("one message is at fault, and the endpoint is given up")
	}
	if c.failed(after(26), c.pause(s, 0), true) {
		t.Error("opened twice")
	}
	if admit(35, false, 1); !c.hopeless() {
		t.Error("nothing gets through, and the endpoint is not given up")
	}
	admit(36, true, 0)
	if !c.succeeded() || c.open() || c.hopeless() {
		t.Error("an answer does not close it")
	}
	admit(36, true, 0)
	admit(36, true, 0)
	c.failed(after(37), 20*time.Second, true) // Retry-After
	admit(38, false, 19)
	admit(57, true, 0)
	if c.succeeded() {
		t.Error("closed what was not open")
	}
}

func TestGranted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ giveUp, asked, want time.Duration }{
		{5 * time.Minute, 0, 0}, {5 * time.Minute, time.Minute, time.Minute}, {5 * time.Minute, 80 * 365 * 24 * time.Hour, 5 * time.Minute},
		{0, time.Hour, time.Minute}, {24 * time.Hour, time.Hour, time.Hour},
	} {
		if got := (Schedule{Most: time.Minute, GiveUp: c.giveUp}).granted(c.asked); got != c.want {
			t.Errorf("%v of %v: %v", c.asked, c.giveUp, got)
		}
	}
}

// PROTOCOL 6.6
func TestDue(t *testing.T) {
	t.Parallel()
	b := apps.Batch{Events: 10, Window: time.Second}
	for _, c := range []struct {
		now     float64
		waiting int
		b       apps.Batch
		n       int
		wait    float64
	}{
		{0, 1, b, 0, 1}, {0.75, 9, b, 0, 0.25}, {0.5, 10, b, 10, 0}, {0, 25, b, 10, 0}, {1, 3, b, 3, 0}, {5, 3, b, 3, 0},
		{0, 1, apps.Batch{Events: 1, Window: time.Second}, 1, 0}, {0, 7, apps.Batch{Events: 1}, 1, 0}, {0, 1, apps.Batch{}, 1, 0},
		{0, 3, apps.Batch{Events: 50}, 3, 0},
	} {
		if n, wait := due(after(c.now), start, c.waiting, c.b); n != c.n || wait.Seconds() != c.wait && n == 0 {
			t.Errorf("%+v: %d, %v", c, n, wait)
		}
	}
}
