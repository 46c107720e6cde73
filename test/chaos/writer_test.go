//go:build redis

package chaos

import (
	"encoding/json"
	"io"
	"sync"
	"time"
)

// history is written by everybody at once.
type history struct {
	start time.Time // with its monotonic clock

	mu sync.Mutex
	// Guarded by mu
	entries []entry
	out     io.Writer // nil: nowhere
	err     error     // of out
}

// add notes an entry now, and returns when that was.
func (h *history) add(e entry) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	e.At = h.start.UnixMicro() + time.Since(h.start).Microseconds()
	h.entries = append(h.entries, e)
	if h.out != nil && h.err == nil {
		h.err = json.NewEncoder(h.out).Encode(e)
	}
	return e.At
}

func (h *history) all() []entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]entry(nil), h.entries...)
}
