package channels

import (
	"testing"
	"time"
	"unsafe"
)

// PROTOCOL 2.51
func TestCounterThrottle(t *testing.T) {
	t.Parallel()
	t0 := time.Unix(1000, 0)
	at := func(s float64) time.Time { return t0.Add(time.Duration(s * float64(time.Second))) }
	var c counter
	for i, step := range []struct {
		at    time.Time
		count int
		tell  bool
		wait  time.Duration
	}{
		{at(0), 1, true, 0},
		{at(0), 2, true, 0},
		{at(0), 100, true, 0},
		{at(1), 101, false, 4 * time.Second},
		{at(2), 102, false, 0}, // the timer will tell
		{at(3), 99, true, 0},   // few again: at once
		{at(9), 150, true, 0},
	} {
		tell, wait := c.change(step.at, step.count)
		if tell != step.tell || wait != step.wait || c.count != step.count {
			t.Errorf("step %d: tell %v, wait %v, count %d", i, tell, wait, c.count)
		}
	}
	c.due(at(10))
	if tell, wait := c.change(at(11), 200); tell || wait != 4*time.Second {
		t.Errorf("after the timer: tell %v, wait %v", tell, wait)
	}
}

func TestOriginAllowed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pattern, origin string
		want            bool
	}{
		{"laravel.com", "https://laravel.com", true},
		{"laravel.com", "http://laravel.com:8080", true},
		{"Laravel.com", "https://LARAVEL.COM", true},
		{"laravel.com", "https://evil.com", false},
		{"laravel.com", "https://laravel.com.evil.com", false},
		{"laravel.com", "https://sub.laravel.com", false},
		{"*.laravel.com", "https://sub.laravel.com", true},
		{"*.laravel.com", "https://a.b.laravel.com", true},
		{"*.laravel.com", "https://laravel.com", false},
		{"*.laravel.com", "https://evillaravel.com", false},
		{"*", "https://anything", true},
		{"*laravel.com", "https://evillaravel.com", false},
		{"laravel.com", "null", false},
		{"laravel.com", "://", false},
		{"laravel.com", "", true},
	} {
		if got := originAllowed([]string{"other.org", tt.pattern}, tt.origin); got != tt.want {
			t.Errorf("%q under %q: %v", tt.origin, tt.pattern, got)
		}
	}
	if !originAllowed(nil, "https://any.where") {
		t.Error("without patterns any origin is welcome")
	}
}

// PITFALLS 27: slices that add up within the window
func TestDrainSlices(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ open, left, want int }{{0, 10, 32}, {10, 10, 32}, {1000, 10, 100}, {1001, 10, 101}, {5000, 1, 5000}, {5000, 0, 5000}, {5000, -3, 5000}} {
		if got := slice(tt.open, tt.left); got != tt.want {
			t.Errorf("slice(%d, %d) = %d, want %d", tt.open, tt.left, got, tt.want)
		}
	}
	open := 100_000
	for left := 200; left > 0; left-- {
		open -= min(open, slice(open, left))
	}
	if open != 0 {
		t.Errorf("%d left open after the window", open)
	}
}

// TestIdleSize holds the memory of what is idle in this package, by the allocator's
// size classes: of a connection, of its place in a channel, and of the channel.
func TestIdleSize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what       string
		size, most uintptr
	}{
		{"session", unsafe.Sizeof(session{}), 96},
		{"subscription", unsafe.Sizeof(subscription{}), 64},
		{"room", unsafe.Sizeof(room{}), 80},
		{"entry", unsafe.Sizeof(entry{}), 128},
	} {
		if c.size > c.most {
			t.Errorf("%s has %d bytes, want at most %d", c.what, c.size, c.most)
		}
	}
}
