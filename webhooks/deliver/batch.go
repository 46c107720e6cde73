package deliver

import (
	"crypto/sha256"
	"encoding/hex"
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
	attempts int
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
	e := l.endpoint
	b := &batch{parcels: l.cut(n)}
	l.sending = b.parcels
	// Time in which the endpoint took other events does not count.
	b.deadline = latest(b.parcels[0].arrived, e.lastSuccess).Add(e.d.o.Retry.GiveUp)
	return b
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// fill makes the batch's bytes. Its name depends on nothing but what it delivers
// and to whom: an equal batch after a crash has the same, another one has not.
func (b *batch) fill(endpoint string) {
	events := make([]webhooks.Event, len(b.parcels))
	ids := make([]string, len(b.parcels))
	for i, p := range b.parcels {
		events[i], ids[i] = p.event, p.event.ID
	}
	b.body = webhooks.Body(events)
	b.ids = strings.Join(ids, ",")
	sum := sha256.Sum256([]byte(endpoint + ":" + b.ids))
	b.delivery = hex.EncodeToString(sum[:12])
}
