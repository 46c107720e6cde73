package httpapi

import (
	"strconv"
	"sync"
	"sync/atomic"

	"dunlin/apps"
	"dunlin/metrics"

	"github.com/valyala/fasthttp"
	"golang.org/x/time/rate"
)

// quotas is what apps have used of their limits per second, and in all. It grows
// with the apps that are configured, never with requests: apps are few, none is
// forgotten.
type quotas struct {
	counters *metrics.Set // static after construction
	byApp    sync.Map     // app id → *quota
}

// quota is what one app has used. It outlives changes of the app.
type quota struct {
	events, reads tokens
	counts        *metrics.App
}

func (q *quotas) of(app string) *quota {
	if v, ok := q.byApp.Load(app); ok {
		return v.(*quota)
	}
	v, _ := q.byApp.LoadOrStore(app, &quota{counts: q.counters.App(-1, app)})
	return v.(*quota)
}

// tokens is a bucket of one second's worth, full at first. A changed limit begins
// with a full bucket.
type tokens struct{ limiter atomic.Pointer[rate.Limiter] }

func (t *tokens) of(perSecond int) *rate.Limiter {
	for {
		l := t.limiter.Load()
		if l != nil && l.Burst() == perSecond {
			return l
		}
		fresh := rate.NewLimiter(rate.Limit(perSecond), perSecond)
		if t.limiter.CompareAndSwap(l, fresh) {
			return fresh
		}
	}
}

// admitEvents takes n events from the app's second, all or none. An event counts
// once for each distinct channel it goes to, since that is what it costs: a batch
// of ten is ten, and so is a trigger to ten channels.
func (s *Server) admitEvents(app *apps.App, n int) error {
	limit := app.Limits.BackendEventsPerSec
	switch {
	case limit == 0:
		return nil
	case n > limit: // waiting does not help: more never gather
		return &refusal{status: fasthttp.StatusForbidden, text: "The request publishes " + strconv.Itoa(n) +
			" events, but the app may publish " + strconv.Itoa(limit) + " per second"}
	case s.quotas.of(app.ID).events.of(limit).AllowN(s.opts.Now(), n):
		return nil
	}
	s.opts.Counters.Shared().Drop(metrics.DropEventQuota)
	return overQuota("The app is over its limit of " + strconv.Itoa(limit) + " published events per second")
}

// admitRead takes one request that asks for state.
func (s *Server) admitRead(app *apps.App) error {
	limit := app.Limits.ReadRequestsPerSec
	if limit == 0 || s.quotas.of(app.ID).reads.of(limit).AllowN(s.opts.Now(), 1) {
		return nil
	}
	s.opts.Counters.Shared().Drop(metrics.DropReadQuota)
	return overQuota("The app is over its limit of " + strconv.Itoa(limit) + " read requests per second")
}

// overQuota is 403, never 429, which no SDK knows (PROTOCOL 5.62). A second later
// the bucket is full again.
func overQuota(text string) *refusal {
	return &refusal{status: fasthttp.StatusForbidden, text: text, retryAfter: 1}
}
