//go:build !race

package wire

import (
	"strings"
	"testing"
)

// The race detector drops at random what is given to a pool.
func TestReaderInflatingAllocatesNothing(t *testing.T) {
	message := clientFrame(0xC1, deflated(t, strings.Repeat(`{"event":"client-typing","channel":"private-a"}`, 20), 6))
	buf := make([]byte, len(message))
	var r Reader
	if n := testing.AllocsPerRun(1000, func() {
		copy(buf, message)
		for chunk := buf; ; {
			e, rest, bad := r.Next(chunk, testMax, true)
			if bad != nil {
				t.Fatal(bad)
			}
			if e.Kind == None {
				break
			}
			chunk = rest
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
	if r.held != nil {
		t.Error("memory is still held between messages")
	}
}
