// Package httpapi is the HTTP side of a node: the API that backends publish and
// query through, and the health checks of its operator.
//
// A request goes one way through the files: routes finds the handler, auth
// decides who asks, events, batch, queries, users and deprecated validate all of
// it, quota decides whether it may be done now, and only then the Hub is called;
// respond writes the answer. Whatever outlives a request is copied: fasthttp
// reuses its buffers.
package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dunlin/apps"
	"dunlin/channels"
	"dunlin/internal/lograte"
	"dunlin/internal/tracing"
	"dunlin/metrics"
	"dunlin/transport"

	"github.com/valyala/fasthttp"
)

// Options of a Server. Hub and Apps are required; every zero duration or size
// has the default named beside it.
type Options struct {
	Hub  *channels.Hub
	Apps *apps.Registry

	PathPrefix      string        // the API is also served under it: "" or "/something"
	MaxRequestBytes int           // of a request's body; 1 MiB
	CacheTTL        time.Duration // how long a cache channel keeps its event (PROTOCOL 2.43); 30 minutes

	ReadTimeout    time.Duration // for one whole request; 30 s
	IdleTimeout    time.Duration // between requests of a connection; 75 s, above the 60 s of common proxies
	WriteTimeout   time.Duration // for one response; 30 s
	RequestTimeout time.Duration // for what the engine does for a request; 5 s

	// Adopt takes over a connection on which a WebSocket upgrade arrived, and owns
	// it unless it returns an error. request is all that was read of it. Nil:
	// upgrades are ordinary requests.
	Adopt func(nc net.Conn, request []byte) error

	Proxies transport.Proxies // whose X-Forwarded-For counts

	// Accept says why no new connections should come here although the node is ready;
	// nil, or returning nil: they should.
	Accept func() error

	Log      *slog.Logger     // nil: nothing is logged
	Now      func() time.Time // nil: time.Now
	Tracer   *tracing.Tracer  // nil: nothing is traced
	Counters *metrics.Set     // nil: nothing is counted
}

func (o *Options) setDefaults() {
	o.PathPrefix = strings.TrimRight(o.PathPrefix, "/")
	if o.PathPrefix != "" && o.PathPrefix[0] != '/' {
		o.PathPrefix = "/" + o.PathPrefix
	}
	def(&o.MaxRequestBytes, 1<<20)
	def(&o.CacheTTL, 30*time.Minute)
	def(&o.ReadTimeout, 30*time.Second)
	def(&o.IdleTimeout, 75*time.Second)
	def(&o.WriteTimeout, 30*time.Second)
	def(&o.RequestTimeout, 5*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Counters == nil {
		o.Counters = metrics.New()
	}
}

func def[T int | time.Duration](v *T, value T) {
	if *v == 0 {
		*v = value
	}
}

// Server answers HTTP requests. Make one with New.
type Server struct {
	// Static after construction
	opts   Options
	routes []route
	// What is asked for that no route is, and what is no request at all
	unrouted, garbled *metrics.Route

	fast   *fasthttp.Server
	linger time.Duration

	denials  *lograte.Limiter // what the log has of requests that are not authenticated
	calls    sync.Pool        // of *call
	quotas   quotas
	draining atomic.Bool

	mu        sync.Mutex
	listeners []net.Listener // guarded by mu; those that Serve was given
}

// maxHeaderBytes is for the request line and the headers together. A node's door
// reads no more than that before it hands a connection over, so that one read of
// fasthttp's takes everything the connection replays.
const maxHeaderBytes = 16 << 10

// lingerTime is for how long a refused request is still read (see conn).
const lingerTime = 5 * time.Second

// New returns a server that listens nowhere yet.
func New(o Options) *Server {
	o.setDefaults()
	s := &Server{opts: o, routes: routeTable(o.Counters), linger: lingerTime, denials: lograte.New(o.Now)}
	s.unrouted, s.garbled = o.Counters.Route("(none)"), o.Counters.Route("(not HTTP)")
	s.quotas.counters = o.Counters
	s.calls.New = func() any { return new(call) }
	s.fast = &fasthttp.Server{
		Handler:            s.handle,
		ErrorHandler:       s.malformed,
		ReadBufferSize:     maxHeaderBytes,
		MaxRequestBodySize: o.MaxRequestBytes,
		ReadTimeout:        o.ReadTimeout,
		IdleTimeout:        o.IdleTimeout,
		WriteTimeout:       o.WriteTimeout,
		Logger:             fastLog{o.Log},

		NoDefaultServerHeader:        true,
		DisablePreParseMultipartForm: true, // a body is JSON, whatever it calls itself (PROTOCOL 5.14)
		SecureErrorLogMessage:        true,
		KeepHijackedConns:            true, // who adopts a connection closes it
		CloseOnShutdown:              true,
		LazyRequestTime:              true,
	}
	return s
}

// Serve serves the connections of ln until Shutdown, and then returns nil. It
// may run for several listeners at once.
func (s *Server) Serve(ln net.Listener) error {
	if !s.register(ln) {
		return ln.Close()
	}
	err := s.fast.Serve(lingering{ln, s.linger})
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}

// register reports false when Shutdown came first: fasthttp would not know.
func (s *Server) register(ln net.Listener) bool {
	defer s.mu.Unlock()
	s.mu.Lock()
	if s.draining.Load() {
		return false
	}
	s.listeners = append(s.listeners, ln)
	return true
}

// Retire has every answer end its connection, so that backends come back to
// whoever serves after this. /ready answers 503 from then on.
func (s *Server) Retire() { s.draining.Store(true) }

// Emptied waits until all connections have ended or ctx does. After Retire each one
// ends with its next answer, while closing it could lose a request on its way.
func (s *Server) Emptied(ctx context.Context) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for s.fast.GetOpenConnectionsCount() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Shutdown takes no more connections, lets requests under way finish until ctx
// ends, and closes idle connections. /ready answers 503 from then on.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.draining.Store(true)
	for _, ln := range s.listeners {
		ln.Close() // Serve hears of it; fasthttp closes again, to no effect
	}
	s.mu.Unlock()
	if err := s.fast.ShutdownWithContext(ctx); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("shut down HTTP: %w", err)
	}
	return nil
}

// fastLog takes what fasthttp has to say: broken connections, for the most part.
type fastLog struct{ log *slog.Logger }

func (l fastLog) Printf(format string, args ...any) {
	l.log.Debug("http connection", "detail", fmt.Sprintf(format, args...))
}
