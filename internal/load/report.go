package load

import (
	"time"
)

// Report is what a run measured. Parts that a scenario does not have are nil.
type Report struct {
	Scenario    string                 `json:"scenario"`
	Options     Options                `json:"options"`
	Started     time.Time              `json:"started"`
	Interrupted bool                   `json:"interrupted"`
	Connections *Connections           `json:"connections,omitempty"`
	Joins       *Joins                 `json:"joins,omitempty"`
	Requests    *Requests              `json:"requests,omitempty"`
	Clients     *ClientSends           `json:"client_events,omitempty"`
	Deliveries  *Deliveries            `json:"deliveries,omitempty"`
	Members     *Deliveries            `json:"member_events,omitempty"`
	FromClients *Deliveries            `json:"client_event_deliveries,omitempty"`
	Latency     map[string]Percentiles `json:"latency_ms"`
	LatencyFrom string                 `json:"latency_from"` // "schedule", or "send" in a closed loop
	Server      *Server                `json:"server,omitempty"`
	Phases      []Phase                `json:"phases"`
	Errors      []Failure              `json:"errors"`
	Notes       []string               `json:"notes"`
}

// Connections are the WebSocket connections that were wanted.
type Connections struct {
	Wanted    int     `json:"wanted"`
	Ready     int     `json:"ready"`  // open and subscribed when all was set up
	Failed    int     `json:"failed"` // never were
	Lost      int     `json:"lost"`   // ended later, and not by us
	Reopened  int     `json:"reopened,omitempty"`
	PerSecond float64 `json:"per_second"`
}

// Joins are subscribes to presence channels.
type Joins struct {
	Sent      int64   `json:"sent"`
	Succeeded int64   `json:"succeeded"`
	PerSecond float64 `json:"per_second"`
}

// Requests are those to the HTTP API.
type Requests struct {
	Sent      int64   `json:"sent"`
	Accepted  int64   `json:"accepted"`
	Refused   int64   `json:"refused"` // or failed; see Errors
	PerSecond float64 `json:"per_second"`
}

// ClientSends are events that clients sent.
type ClientSends struct {
	Sent      int64   `json:"sent"`
	Refused   int64   `json:"refused"` // by a rate limit; their deliveries are not expected
	PerSecond float64 `json:"per_second"`
}

// Deliveries are messages that subscribers were to get.
type Deliveries struct {
	Expected  int64   `json:"expected"`
	Received  int64   `json:"received"`
	Lost      int64   `json:"lost"`
	Repeated  int64   `json:"repeated"` // more than there were subscribers
	PerSecond float64 `json:"per_second"`
	// BytesEach is what came on all connections meanwhile, frames and all, for each of
	// them. 0 where there was more than deliveries.
	BytesEach float64 `json:"bytes_each,omitempty"`
}

// Percentiles are in milliseconds.
type Percentiles struct {
	Count int64   `json:"count"`
	Min   float64 `json:"min"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p99_9"`
	Max   float64 `json:"max"`
}

// Server is what the loaded process used. Microseconds are of CPU time in the
// phase that measured the unit, all work that the server did then included.
type Server struct {
	PID            int     `json:"pid"`
	PerConnection  float64 `json:"cpu_us_per_connection,omitempty"`
	PerJoin        float64 `json:"cpu_us_per_join,omitempty"`
	PerRequest     float64 `json:"cpu_us_per_request,omitempty"`
	PerEvent       float64 `json:"cpu_us_per_event,omitempty"`
	PerDelivery    float64 `json:"cpu_us_per_delivery,omitempty"`
	Busy           float64 `json:"busy_cores"` // in the last phase
	ResidentBefore int64   `json:"resident_bytes_before"`
	ResidentAfter  int64   `json:"resident_bytes_after"`
	PerConnectionB float64 `json:"resident_bytes_per_connection,omitempty"`
}

// finish puts the report together.
func (r *run) finish() {
	if r.open != nil {
		r.end(0)
	}
	rep := r.report
	rep.Interrupted = r.ended()
	rep.Latency = make(map[string]Percentiles, len(r.elapsed))
	for what, l := range r.elapsed {
		if l.h.TotalCount() > 0 {
			rep.Latency[what] = l.percentiles()
		}
	}
	rep.LatencyFrom = "send"
	if r.o.Rate > 0 {
		rep.LatencyFrom = "schedule"
	}
	rep.Errors = append([]Failure{}, r.errors.list()...)
	if rep.Notes == nil {
		rep.Notes = []string{}
	}
	if s, n := rep.Server, len(rep.Phases); s != nil && n > 0 {
		s.Busy = rep.Phases[n-1].Server / rep.Phases[n-1].Seconds
	}
}

// per divides a phase's server CPU, in microseconds; 0 when there is nothing to
// divide by.
func (p Phase) per(n int64) float64 {
	if n <= 0 {
		return 0
	}
	return p.Server * 1e6 / float64(n)
}

// each is how many bytes came for each of n.
func (p Phase) each(n int64) float64 { return float64(p.Received) / float64(max(n, 1)) }

// rate is how many there were a second.
func (p Phase) rate(n int64) float64 { return float64(n) / p.Seconds }

// charge calls f with the server's part of the report, if it is known.
func (r *run) charge(f func(*Server)) {
	if r.report.Server != nil {
		f(r.report.Server)
	}
}
