package metrics

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// statuses are those that the API answers with; the last counts all others.
var statuses = [...]int{200, 202, 204, 400, 401, 403, 404, 405, 408, 413, 431, 500, 503, 0}

// Route counts the requests of one route of the API.
type Route struct {
	name    string // static after construction
	answers [len(statuses)]atomic.Uint64
	took    Histogram
}

// Answered counts a request, its status, and how long it took.
func (r *Route) Answered(status int, took time.Duration) {
	i := 0
	for i < len(statuses)-1 && statuses[i] != status {
		i++
	}
	r.answers[i].Add(1)
	r.took.Observe(took)
}

// routes are those of a server's API.
type routes struct {
	mu sync.Mutex
	// Guarded by mu
	list []*Route
}

// Route returns the counters of a route, named by its method and path; a name that
// was asked for before has the same.
func (s *Set) Route(name string) *Route {
	s.routes.mu.Lock()
	defer s.routes.mu.Unlock()
	for _, r := range s.routes.list {
		if r.name == name {
			return r
		}
	}
	r := &Route{name: name}
	s.routes.list = append(s.routes.list, r)
	return r
}

var (
	requestsDesc = prometheus.NewDesc("dunlin_api_requests_total",
		"HTTP requests on the clients' port, by route and status.", []string{"route", "status"}, nil)
	requestSecondsDesc = prometheus.NewDesc("dunlin_api_request_seconds",
		"Time from a request's last byte to its answer, by route.", []string{"route"}, nil)
)

// collect sends the figures of all routes. A status is there once it was answered,
// 200 from the start.
func (rs *routes) collect(ch chan<- prometheus.Metric) {
	rs.mu.Lock()
	list := rs.list[:len(rs.list):len(rs.list)]
	rs.mu.Unlock()
	for _, r := range list {
		for i, status := range statuses {
			n := r.answers[i].Load()
			if n == 0 && i > 0 {
				continue
			}
			text := "other"
			if status > 0 {
				text = strconv.Itoa(status)
			}
			ch <- prometheus.MustNewConstMetric(requestsDesc, prometheus.CounterValue, float64(n), r.name, text)
		}
		var took reading
		took.add(&r.took)
		ch <- took.metric(requestSecondsDesc, r.name)
	}
}
