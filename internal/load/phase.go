package load

import (
	"runtime"
	"time"
)

// Phase is a part of a run with what it cost.
type Phase struct {
	Name     string  `json:"name"`
	Seconds  float64 `json:"seconds"`
	Server   float64 `json:"server_cpu_seconds,omitempty"`
	Maker    float64 `json:"maker_cpu_seconds"`      // of this program
	Loop     float64 `json:"maker_loop_cpu_seconds"` // of its epoll loop alone
	Resident int64   `json:"server_resident_bytes,omitempty"`
	Received int64   `json:"received_bytes,omitempty"` // on all WebSocket connections
}

// phase is a Phase under way.
type phase struct {
	name   string
	began  time.Time
	before usage // of the server
	maker  time.Duration
	loop   time.Duration
	bytes  int64 // that the run had received
}

// begin begins a phase, on the loop's thread.
func (r *run) begin(name string) {
	p := &phase{name: name, began: time.Now(), bytes: r.received}
	if r.server != nil {
		p.before, _ = r.server.usage() // end says when it is gone
		if r.report.Server == nil {
			r.report.Server = &Server{PID: r.o.PID, ResidentBefore: p.before.resident}
		}
	}
	p.maker, p.loop = ownCPU()
	r.open = p
}

// end ends the phase and returns it. idle is how long, at its end, nothing
// happened any more.
func (r *run) end(idle time.Duration) Phase {
	p := r.open
	r.open = nil
	took := max(time.Since(p.began)-idle, time.Microsecond)
	done := Phase{Name: p.name, Seconds: took.Seconds(), Received: r.received - p.bytes}
	maker, loop := ownCPU()
	done.Maker, done.Loop = (maker - p.maker).Seconds(), (loop - p.loop).Seconds()
	if r.server != nil {
		if now, err := r.server.usage(); err != nil {
			r.note("the server's process could not be read any more: %v", err)
		} else {
			done.Server, done.Resident = (now.cpu - p.before.cpu).Seconds(), now.resident
			r.report.Server.ResidentAfter = now.resident
		}
	}
	r.report.Phases = append(r.report.Phases, done)
	if saturated(done, runtime.NumCPU()) {
		r.note("%s: the load maker used %.0f %% of what it could: it may be what limited the figures", done.Name, 100*done.Maker/done.Seconds)
	}
	return done
}

// saturated reports whether the load maker itself may have been the limit.
func saturated(p Phase, cpus int) bool {
	const enough = 0.5 // seconds; in less, a share says nothing
	if p.Seconds < enough {
		return false
	}
	return p.Loop >= 0.9*p.Seconds || cpus == 1 && p.Maker >= 0.95*p.Seconds
}

// showEvery is how often progress is shown.
const showEvery = int64(100 * time.Millisecond)

// show tells whoever watches, now and then.
func (r *run) show(now int64, share float64, done int64, what string) {
	if r.o.Progress == nil || r.open == nil || now-r.shown < showEvery {
		return
	}
	r.shown = now
	rate := float64(done) / max(time.Since(r.open.began).Seconds(), 1e-3)
	r.o.Progress(Progress{Phase: r.open.name, Share: min(share, 1), Done: done, What: what, Rate: rate})
}
