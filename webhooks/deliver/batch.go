package deliver

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"dunlin/webhooks"
)

// batch is what one request delivers, and its repetitions.
type batch struct {
	parcels  []*parcel
	body     []byte // made once (PROTOCOL 6.5)
	delivery string
	ids      string
	traces   []string // that led to its events, as traceparent headers
	attempts int
	blocks   bool      // what follows in its channels stays behind it
	failed   time.Time // the last attempt
	next     time.Time // no attempt before it
	deadline time.Time
}

// maxBody bounds the bodies of batches. A single event may be larger.
const maxBody = 256 << 10

// newBatch makes a batch of the parcels that wait first, n at most.
func (l *lane) newBatch(n int) *batch {
	size := 0
	for i, p := range l.waiting[:n] {
		if size += p.size; size > maxBody && i > 0 {
			n = i
			break
		}
	}
	b := &batch{parcels: l.first(n)}
	b.deadline = l.endpoint.deadline(b.parcels[0])
	return b
}

// fill makes the batch's bytes. Its name depends on nothing but what it delivers
// and to whom: an equal batch after a crash has the same, another one has not.
func (b *batch) fill(endpoint string) {
	events := make([]webhooks.Event, len(b.parcels))
	ids := make([]string, len(b.parcels))
	for i, p := range b.parcels {
		events[i], ids[i] = p.event, p.event.ID
		if t := p.event.Trace; t != "" && !slices.Contains(b.traces, t) {
			b.traces = append(b.traces, t)
		}
	}
	b.body = webhooks.Body(events)
	b.ids = strings.Join(ids, ",")
	sum := sha256.Sum256([]byte(endpoint + ":" + b.ids))
	b.delivery = hex.EncodeToString(sum[:12])
}
