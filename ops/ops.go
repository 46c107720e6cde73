// Package ops is the port for operators: metrics and health. It is kept apart
// from the clients' port, so that it can stay private.
package ops

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/transport"
	"dunlin/webhooks"
)

// Options say what is told to operators.
type Options struct {
	Metrics *metrics.Set                // required
	Unready func() []string             // why the node should get no traffic; nil, or returning nil: it should
	Level   *slog.LevelVar              // of the log; nil: it can not be changed
	Memory  func() (used, limit uint64) // bytes; a limit of 0 is not known. Nil: neither is
	Version string
	More    []prometheus.Collector // of parts that have figures of their own
	Log     *slog.Logger           // required by Start, and by the admin interface

	Inherited *os.File // a socket that listens already; nil: Start binds one

	Webhooks    webhooks.Queue    // nil: nothing is told of it
	HookMetrics *metrics.Webhooks // nil: none
	AdminToken  *protocol.Secret  // nil: the admin interface is off
	Reloads     *metrics.Reloads  // nil: none
}

// Server answers operators. Its methods may be called from any goroutine.
type Server struct {
	ln   net.Listener
	http *http.Server
}

// Start listens and serves in the background until Close. A taken port is an error
// that names it.
func Start(network, address string, o Options) (*Server, error) {
	ln, err := listen(network, address, o.Inherited)
	if err != nil {
		return nil, err
	}
	s := &Server{ln: ln, http: &http.Server{
		Handler:           Handler(o),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}}
	go func() {
		if err := s.http.Serve(ln); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			o.Log.Error("the ops port stopped", "error", err)
		}
	}()
	return s, nil
}

func listen(network, address string, inherited *os.File) (net.Listener, error) {
	at := transport.Address{Network: network, Address: address}
	if inherited == nil {
		return transport.Bind(at)
	}
	ln, err := transport.Inherit(inherited)
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(true) // as if it had been bound here
	}
	return ln, err
}

// Addr is where it listens.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Listener returns a duplicate of the listening socket, for another process to go
// on with: see Options.Inherited and Leave.
func (s *Server) Listener() (*os.File, error) {
	return s.ln.(interface{ File() (*os.File, error) }).File()
}

// Leave takes no more connections and has those that there are end with their next
// answer, where somebody else has the listener too. The file of a unix socket is left
// to him.
func (s *Server) Leave() {
	if u, ok := s.ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	s.http.SetKeepAlivesEnabled(false)
	s.ln.Close() // Serve hears of it
}

// Close ends it, and requests under way with it.
func (s *Server) Close() error { return s.http.Close() }

// Readiness answers GET /ready.
type Readiness struct {
	Ready   bool     `json:"ready"`
	Reasons []string `json:"reasons,omitempty"` // why not
}

// Usage answers GET /usage, as Soketi does. Memory is in bytes.
type Usage struct {
	Memory struct {
		Free    uint64  `json:"free"`
		Used    uint64  `json:"used"`
		Total   uint64  `json:"total"`
		Percent float64 `json:"percent"`
	} `json:"memory"`
}

func usageOf(memory func() (used, limit uint64)) (u Usage) {
	if memory == nil {
		return u
	}
	m := &u.Memory
	if m.Used, m.Total = memory(); m.Total > 0 {
		m.Free = m.Total - min(m.Used, m.Total)
		m.Percent = 100 * float64(m.Used) / float64(m.Total)
	}
	return u
}

// Handler answers /metrics, /usage, /live and /ready, and below /admin those who have the
// admin token.
func Handler(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry(o), promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /live", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, "ok")
	})
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		var why []string
		if o.Unready != nil {
			why = o.Unready()
		}
		status := http.StatusOK
		if why != nil {
			status = http.StatusServiceUnavailable
		}
		answerJSON(w, status, Readiness{why == nil, why})
	})
	mux.HandleFunc("GET /usage", func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, http.StatusOK, usageOf(o.Memory))
	})
	admits := guard{token: o.AdminToken, counters: o.Metrics}
	if o.Level != nil {
		a := &logAdmin{level: o.Level, log: o.Log}
		mux.HandleFunc("GET /admin/log", admits.only(a.get))
		mux.HandleFunc("PUT /admin/log", admits.only(a.put))
	}
	if o.Webhooks != nil {
		a := &hookAdmin{queue: o.Webhooks, log: o.Log}
		mux.HandleFunc("GET /admin/webhooks/dead", admits.only(a.dead))
		mux.HandleFunc("POST /admin/webhooks/replay", admits.only(a.replay))
	}
	mux.HandleFunc("GET /admin/pprof/{name}", admits.only(profile))
	return mux
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // the client is gone otherwise
}

// registry has the server's figures and those of the Go runtime and the process.
func registry(o Options) *prometheus.Registry {
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "dunlin_build_info",
		Help:        "1, with the version as a label.",
		ConstLabels: prometheus.Labels{"version": o.Version},
	})
	build.Set(1)
	r := prometheus.NewRegistry()
	r.MustRegister(o.More...)
	r.MustRegister(o.Metrics, build, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if o.HookMetrics != nil {
		r.MustRegister(o.HookMetrics)
	}
	if o.Reloads != nil {
		r.MustRegister(o.Reloads)
	}
	return r
}

// scrapeWithin bounds what a scrape waits for a queue. Without an answer the
// figures of what waits are missing from it.
const scrapeWithin = 2 * time.Second

// Backlog is what a queue has, as metrics.Webhooks wants it.
func Backlog(q webhooks.Queue, now time.Time) map[string]metrics.HookBacklog {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWithin)
	defer cancel()
	apps, err := q.Backlog(ctx)
	if err != nil {
		return nil
	}
	out := make(map[string]metrics.HookBacklog, len(apps))
	for app, b := range apps {
		h := metrics.HookBacklog{Queued: b.Queued, Dead: b.Dead}
		if !b.Oldest.IsZero() {
			h.Oldest = max(now.Sub(b.Oldest), 0)
		}
		out[app] = h
	}
	return out
}
