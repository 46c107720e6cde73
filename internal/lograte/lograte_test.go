package lograte

import (
	"strings"
	"testing"
	"time"
)

// TestFlood: of very many lines the first few are written, then one a second, which
// says how many were left out.
func TestFlood(t *testing.T) {
	t.Parallel()
	now := time.Unix(1, 0)
	l := New(func() time.Time { return now })
	flood := func(lines int) (written, leftOut int) {
		for range lines {
			if n, ok := l.Allow(); ok {
				written++
				leftOut += int(n)
			}
		}
		return written, leftOut
	}
	for i, c := range []struct {
		after                   time.Duration
		lines, written, leftOut int
	}{
		{0, 10_000, burst, 0},
		{time.Second, 10_000, 1, 9_990},
		{500 * time.Millisecond, 5, 0, 0},
		{500 * time.Millisecond, 1, 1, 9_999 + 5},
		{time.Hour, burst, burst, 0},
	} {
		now = now.Add(c.after)
		if written, leftOut := flood(c.lines); written != c.written || leftOut != c.leftOut {
			t.Errorf("step %d: %d written, %d told as left out; want %d, %d", i, written, leftOut, c.written, c.leftOut)
		}
	}
}

// TestWhatIsShown: of what a client sent a bounded part, and no secret that stands
// where a signature should.
func TestWhatIsShown(t *testing.T) {
	t.Parallel()
	if s := Clip(strings.Repeat("ü", 5000)); len(s) > 2010 || !strings.HasSuffix(s, "ü…") {
		t.Errorf("%d bytes, ending in %q", len(s), s[len(s)-6:])
	}
	if Clip("short") != "short" {
		t.Error("a short text is cut")
	}
	good := strings.Repeat("0aF", 21) + "9"
	for sent, shown := range map[string]string{
		good: good, "my-secret": "not a signature, but 9 characters", "": "not a signature, but 0 characters",
		good[1:] + "g": "not a signature, but 64 characters",
	} {
		if got := Signature(sent); got != shown {
			t.Errorf("%q is shown as %q", sent, got)
		}
	}
}
