package deliver

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dunlin/apps"
	"dunlin/webhooks"
)

// tally is a consumer that counts events.
type tally struct {
	*httptest.Server
	events atomic.Int64
}

func newTally(b *testing.B) *tally {
	c := &tally{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		c.events.Add(int64(1 + strings.Count(r.Header.Get(HeaderEvents), ",")))
	}))
	b.Cleanup(c.Close)
	return c
}

// BenchmarkOneEndpoint is events per second through one endpoint, from the queue to
// the answer of the last, on this machine, which is also the receiver.
func BenchmarkOneEndpoint(b *testing.B) {
	const many = 10_000
	list := make([]webhooks.Event, many)
	for i := range list {
		list[i] = member("presence-room", fmt.Sprint("user-", i))
	}
	for _, batch := range []apps.Batch{{Events: 1}, apps.DefaultBatch()} {
		b.Run(fmt.Sprint("batch=", batch.Events), func(b *testing.B) {
			c := newTally(b)
			w := newWorld(b, nil, hook(c.URL, func(h *apps.Webhook) { h.Batch = batch }))
			total := 0
			for b.Loop() {
				w.append(list...)
				total += many
				until(b, "deliveries", func() bool { return int(c.events.Load()) == total })
			}
			b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkHealthy is how long events take to a healthy endpoint, at 500 a second:
// alone, and while the same events wait for a black hole and for one that answers
// 500.
func BenchmarkHealthy(b *testing.B) {
	for _, beside := range []string{"alone", "beside"} {
		b.Run(beside, func(b *testing.B) {
			sent := map[string]time.Time{}
			good := newReceiver(b, nil)
			hooks := []apps.Webhook{hook(good.URL, func(h *apps.Webhook) { h.Batch = apps.Batch{Events: 50, Window: 0} })}
			if beside == "beside" {
				hole := newReceiver(b, func(_ int, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
				hooks = append(hooks, hook(hole.URL, nil), hook(newReceiver(b, status(500)).URL, nil))
			}
			w := newWorld(b, func(o *Options) { o.Retry.First, o.Retry.Most, o.ProbeEvery = time.Second, time.Minute, probeEvery }, hooks...)
			tick := time.NewTicker(2 * time.Millisecond)
			defer tick.Stop()
			for b.Loop() {
				e := occupied(fmt.Sprint(len(sent)))
				sent["channel_occupied "+e.Channel] = e.At
				w.append(e)
				<-tick.C
			}
			until(b, "all deliveries", func() bool { return len(good.events()) == len(sent) })
			var waits []time.Duration
			for _, p := range good.got() {
				for _, e := range p.events {
					waits = append(waits, p.at.Sub(sent[e]))
				}
			}
			slices.Sort(waits)
			b.ReportMetric(waits[len(waits)/2].Seconds()*1e3, "p50-ms")
			b.ReportMetric(waits[len(waits)*99/100].Seconds()*1e3, "p99-ms")
		})
	}
}

// BenchmarkHeld100k is the memory of a server that holds 100,000 events for an
// endpoint that does not answer: queue and delivery together.
func BenchmarkHeld100k(b *testing.B) {
	hole := newReceiver(b, func(_ int, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	for b.Loop() {
		before := heap()
		w := newWorld(b, func(o *Options) { o.MaxHeld, o.MaxHeldBytes = 200_000, 1<<30 }, hook(hole.URL, nil))
		for i := range 100_000 {
			w.append(member(fmt.Sprintf("presence-room-%d", i), fmt.Sprintf("user-%d", i)))
		}
		until(b, "all of them are held", func() bool {
			w.d.mu.Lock()
			defer w.d.mu.Unlock()
			return w.d.held == 100_000
		})
		b.ReportMetric(float64(heap()-before)/(1<<20), "MiB")
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
