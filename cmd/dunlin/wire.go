package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"dunlin/apps"
	"dunlin/channels"
	"dunlin/cluster"
	"dunlin/httpapi"
	"dunlin/internal/redis"
	"dunlin/internal/tracing"
	"dunlin/metrics"
	"dunlin/ops"
	"dunlin/transport"
)

// Program is a server with all its parts, built bottom-up. Files that
// begin with "wire" or "transports" are the only ones that name implementations. A
// test makes one, starts it on port 0 and stops it by ending Wait's context.
type Program struct {
	// Static after construction
	cfg      *Config
	in       *inheritance
	log      *slog.Logger
	level    *slog.LevelVar  // of log
	tracer   *tracing.Tracer // nil: nothing is traced
	counters *metrics.Set
	reloads  *metrics.Reloads
	apps     *apps.Registry
	hooks    *hookParts
	engine   cluster.Engine
	hub      *channels.Hub
	cert     *certificate
	api      *httpapi.Server
	listen   listenFunc

	logging LogConfig // as it was configured last; owned by who calls Reload

	// Static after Start
	sockets  transport.Server
	ops      *ops.Server
	handover *handoverServer // nil: nobody can take over
	serving  sync.WaitGroup  // the goroutines that serve HTTP, and wait for a predecessor
}

type listenFunc func([]transport.Address, transport.Options, transport.NewHandler) (transport.Server, error)

func newProgram(cfg *Config, in *inheritance, level *slog.LevelVar, log *slog.Logger) (*Program, error) {
	p := &Program{
		cfg: cfg, in: in, log: log, level: level, logging: cfg.Log,
		counters: metrics.New(),
		reloads:  metrics.NewReloads(time.Now()),
		apps:     apps.NewRegistry(cfg.Apps...),
		cert:     newCertificate(cfg.Server.TLS, log),
		listen:   transports[cfg.Server.Transport],
	}
	if p.listen == nil {
		return nil, fmt.Errorf("transport %q is not available on this system", cfg.Server.Transport)
	}
	node := redis.NodeName()
	p.tracer = newTracer(cfg.Tracing, node, log)
	p.counters.NameApps(cfg.Ops.MetricsApps, appIDs(cfg.Apps)...)
	shared, err := newSharedQueue(cfg, node, log)
	if err != nil {
		return nil, err
	}
	if cfg.Webhooks.Queue == "spool" { // a file is one process's at a time
		if _, err := in.takeOver(); err != nil {
			return nil, err
		}
	}
	if p.hooks, err = newHooks(cfg.Webhooks, shared, log); err != nil {
		return nil, err
	}
	p.hooks.counters.Label = p.counters.Label
	if p.engine, err = newEngine(cfg, node, p.hooks.outbox, log); err != nil {
		return nil, errors.Join(err, p.hooks.stop())
	}
	p.hub = channels.New(channels.Options{
		Engine:          p.engine,
		Apps:            p.apps,
		Counters:        p.counters,
		Log:             log,
		Webhooks:        p.hooks.outbox,
		ActivityTimeout: cfg.Server.ActivityTimeout,
		Protection:      cfg.Server.Protection,
		Tracer:          p.tracer,
		DetachWindow:    cfg.Server.Drain,
		AuthorizeWithin: cfg.Server.AuthorizeWithin,
	})
	p.api = httpapi.New(httpapi.Options{
		Hub:             p.hub,
		Apps:            p.apps,
		PathPrefix:      cfg.Server.PathPrefix,
		MaxRequestBytes: cfg.Server.MaxRequestBytes,
		CacheTTL:        cfg.Cache.TTL,
		Proxies:         cfg.Server.Proxies,
		Adopt:           func(nc net.Conn, request []byte) error { return p.sockets.Adopt(nc, request) },
		Tracer:          p.tracer,
		Accept:          func() error { return memoryLow(cfg.Server.AcceptMemory) },
		Log:             log,
		Counters:        p.counters,
	})
	return p, nil
}

// Start binds every address and returns when the server listens.
func (p *Program) Start() error {
	p.hooks.start(p.apps, p.tracer)
	if err := p.engine.Start(p.hub); err != nil {
		return errors.Join(fmt.Errorf("starting the engine: %w", err), p.hooks.stop())
	}
	p.hub.Begin()
	if err := p.startOps(); err != nil {
		return errors.Join(fmt.Errorf("listening for operators: %w", err), p.engine.Close(), p.hooks.stop())
	}
	err := p.welcomeBack()
	if err == nil {
		err = p.listenForClients()
	}
	if err == nil {
		err = p.settle()
	}
	if err != nil {
		p.closeOps()
		return errors.Join(err, p.engine.Close(), p.hooks.stop())
	}
	return nil
}

// debounce is for how long who is gone may come back without a word (PROTOCOL 6.7).
const debounce = 3 * time.Second

// welcomeBack has the engine wait for those who were with another process.
func (p *Program) welcomeBack() error {
	st, err := p.in.takeOver()
	if err != nil {
		return err
	}
	there, err := p.hooks.there()
	if p.in.from != nil { // what the file has is part of that
		there = st.There
	}
	expectBack(p.engine, there, st.Within+debounce)
	return err
}

func (p *Program) listenForClients() error {
	requests := httpapi.NewConnListener(nil)
	sockets, err := p.openSockets(requests.Push)
	if err != nil {
		return fmt.Errorf("listening for clients: %w", err)
	}
	p.sockets = sockets
	p.serving.Go(func() { // not before sockets is set, which upgrades in mid-connection need
		if err := p.api.Serve(requests); err != nil {
			p.log.Error("the HTTP API stopped", "error", err)
		}
	})
	return nil
}

// openSockets listens: without TLS on the configured transport, with TLS on
// goroutines, whose loops come behind those.
func (p *Program) openSockets(http func(net.Conn)) (transport.Server, error) {
	s := p.cfg.Server
	o := transport.Options{
		Inherited:        p.in.clients,
		Loops:            s.Loops,
		PathPrefix:       s.PathPrefix,
		HandshakeTimeout: s.HandshakeTimeout,
		ActivityTimeout:  s.ActivityTimeout,
		MaxMessageBytes:  s.MaxMessageBytes,
		MaxPendingBytes:  s.MaxPendingBytes,
		CompressFrom:     s.Compression.From(),
		Proxies:          s.Proxies,
		Door:             s.Protection.Door(),
		Log:              p.log,
		Counters:         p.counters.Loop,
		HTTP:             http,
	}.WithDefaults()
	plain, secure := p.in.listeners(s)
	if !s.TLS.Enabled() {
		return p.listen(plain, o, p.hub.Shard)
	}
	o.Loops = min(o.Loops, transport.MaxLoops/2)
	first, err := p.listen(plain, o, p.hub.Shard)
	if err != nil {
		return nil, err
	}
	o.FirstLoop, o.TLS = o.Loops, p.cert.config()
	second, err := listenStream(secure, o, p.hub.Shard)
	if err != nil {
		first.Close()
		return nil, err
	}
	go p.cert.order() // it ends with an answer of the authority, or without one
	return &both{first, second}, nil
}

// settle sends the process before this one away, and lets another one come after it.
func (p *Program) settle() (err error) {
	if p.in.handover != nil {
		p.handover, err = startHandover(&handoverServer{
			l: p.in.handover, log: p.log, sockets: p.sockets.Listeners, ops: p.opsListener, takeOver: p.yield,
		})
	}
	if from := p.in.from; from != nil && err == nil {
		if gone := from.ready(); gone != nil { // whatever it was, this one serves
			p.log.Warn("the process before this one did not see the end of the handover", "error", gone)
		}
		p.log.Info("took over from another process", "version", from.version)
		p.serving.Go(func() { from.inheritRest(p.hooks.queue, p.hooks.bury, p.log) })
	}
	p.in.close()
	if err != nil {
		p.sockets.Close()
	}
	return err
}

// yield ends what this process alone may do, for the one that takes over.
func (p *Program) yield() state {
	st := state{There: handOver(p.engine), Within: p.cfg.Server.Drain}
	p.hooks.yield()
	return st
}

func (p *Program) opsListener() (at transport.Address, f *os.File, err error) {
	if p.ops == nil {
		return at, nil, nil
	}
	f, err = p.ops.Listener()
	return p.cfg.Ops.Address(), f, err
}

func (p *Program) startOps() (err error) {
	if !p.cfg.Ops.Enabled {
		return nil
	}
	a := p.cfg.Ops.Address()
	p.ops, err = ops.Start(a.Network, a.Address, ops.Options{
		Metrics: p.counters, Unready: p.hub.Unready, Level: p.level, Memory: memoryUse, Version: version, Log: p.log,
		Webhooks: p.hooks.queue, HookMetrics: p.hooks.counters, AdminToken: p.cfg.Ops.AdminToken,
		Reloads: p.reloads, Inherited: p.in.ops, More: p.figures(),
	})
	if err == nil {
		p.log.Info("serving operators", "address", p.ops.Addr().String())
	}
	return err
}

func (p *Program) closeOps() {
	if p.ops == nil {
		return
	}
	if p.in.managed && p.in.ops != nil {
		p.ops.Leave()
	}
	p.ops.Close()
}

// Reload puts the apps of another configuration in place of the present ones, all at
// once, its certificate and its log level. Nothing else of it counts.
func (p *Program) Reload(cfg *Config) {
	if cfg.Server.TLS.Pair != nil {
		p.cert.pair.Store(cfg.Server.TLS.Pair)
	}
	if cfg.Log != p.logging { // else it may have been set by other means since
		p.level.Set(cfg.Log.level())
		p.logging = cfg.Log
	}
	p.apps.Replace(cfg.Apps)
	p.hub.Reload()
}

// Addrs returns the addresses that clients connect to.
func (p *Program) Addrs() (plain, secure []net.Addr) {
	if b, ok := p.sockets.(*both); ok {
		return b.plain.Addrs(), b.secure.Addrs()
	}
	return p.sockets.Addrs(), nil
}

// Wait serves until ctx ends or another process has taken over, then stops: no new
// connections, clients sent away with 4200 over the drain window, requests under way
// answered, webhooks delivered or kept.
func (p *Program) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case <-p.succeeded():
	}
	p.log.Info("stopping", "connections", p.counters.Connections(), "window", p.cfg.Server.Drain.String())
	p.api.Retire()
	takenOver, err := p.stopListening()
	// What is not gone soon after the window does not read what it is sent.
	stop, cancel := context.WithTimeout(context.Background(), p.cfg.Server.Drain+lastWords)
	defer cancel()
	p.hub.Drain(stop, p.cfg.Server.Drain)
	if takenOver {
		p.api.Emptied(stop)
	}
	cut := p.api.Shutdown(stop)
	if errors.Is(cut, context.DeadlineExceeded) { // a client that never ends its request does not make the stop a failure
		p.log.Warn("requests were cut off", "error", cut)
		cut = nil
	}
	p.sockets.Close()
	p.closeOps()
	if p.in.from != nil { // before the queue ends: what comes then stays with who sends it
		p.in.from.close()
	}
	err = errors.Join(err, cut, p.engine.Close(), p.hooks.stop(), p.endTraces())
	if p.handover != nil {
		p.handover.close()
	}
	p.serving.Wait()
	p.log.Info("stopped")
	return err
}

// succeeded is closed when another process has taken over.
func (p *Program) succeeded() <-chan struct{} {
	if p.handover == nil {
		return nil
	}
	return p.handover.taken
}

// stopListening closes the listeners, for good or for those who have them too, and
// reports whether another process has taken over.
func (p *Program) stopListening() (takenOver bool, err error) {
	if p.handover != nil && p.handover.end() {
		p.hooks.leave = p.handover.leave
		p.sockets.Leave()
		if p.ops != nil {
			p.ops.Leave() // it would say there that the server is not ready
		}
		return true, nil
	}
	if len(p.in.addresses) > 0 { // the service manager keeps them
		p.sockets.Leave()
		return false, nil
	}
	p.sockets.Shutdown()
	if p.handover != nil && closed(p.handover.taken) {
		err = errors.New("the process that was taking over has failed")
	}
	return false, err
}

// lastWords is for what was closed or answered at the end of the drain window.
const lastWords = 2 * time.Second
