package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"dunlin/apps"
	"dunlin/channels"
	"dunlin/cluster"
	"dunlin/httpapi"
	"dunlin/internal/redis"
	"dunlin/metrics"
	"dunlin/ops"
	"dunlin/transport"
)

// Program is a server with all its parts, built bottom-up. This file and
// transports.go are the only ones that name implementations. A test makes one,
// starts it on port 0 and stops it by ending Wait's context.
type Program struct {
	// Static after construction
	cfg      *Config
	log      *slog.Logger
	counters *metrics.Set
	reloads  *metrics.Reloads
	apps     *apps.Registry
	hooks    *hookParts
	engine   cluster.Engine
	hub      *channels.Hub
	api      *httpapi.Server
	listen   listenFunc

	// Static after Start
	sockets transport.Server
	ops     *ops.Server
	serving sync.WaitGroup // the goroutine that serves HTTP
}

type listenFunc func([]transport.Address, transport.Options, transport.NewHandler) (transport.Server, error)

func newProgram(cfg *Config, log *slog.Logger) (*Program, error) {
	p := &Program{cfg: cfg, log: log, counters: metrics.New(), reloads: metrics.NewReloads(time.Now()), apps: apps.NewRegistry(cfg.Apps...), listen: transports[cfg.Server.Transport]}
	if p.listen == nil {
		return nil, fmt.Errorf("transport %q is not available on this system", cfg.Server.Transport)
	}
	node := redis.NodeName()
	shared, err := newSharedQueue(cfg, node, log)
	if err != nil {
		return nil, err
	}
	if p.hooks, err = newHooks(cfg.Webhooks, shared, log); err != nil {
		return nil, err
	}
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
	})
	p.api = httpapi.New(httpapi.Options{
		Hub:             p.hub,
		Apps:            p.apps,
		PathPrefix:      cfg.Server.PathPrefix,
		MaxRequestBytes: cfg.Server.MaxRequestBytes,
		CacheTTL:        cfg.Cache.TTL,
		Adopt:           func(nc net.Conn, request []byte) error { return p.sockets.Adopt(nc, request) },
		Log:             log,
		Counters:        p.counters,
	})
	return p, nil
}

// Start binds every address and returns when the server listens.
func (p *Program) Start() error {
	p.hooks.start(p.apps)
	if err := p.engine.Start(p.hub); err != nil {
		return errors.Join(fmt.Errorf("starting the engine: %w", err), p.hooks.stop())
	}
	p.hub.Begin()
	if err := p.startOps(); err != nil {
		return errors.Join(fmt.Errorf("listening for operators: %w", err), p.engine.Close(), p.hooks.stop())
	}
	requests := httpapi.NewConnListener(nil)
	s := p.cfg.Server
	sockets, err := p.listen(s.Addresses(), transport.Options{
		Loops:            s.Loops,
		PathPrefix:       s.PathPrefix,
		HandshakeTimeout: s.HandshakeTimeout,
		ActivityTimeout:  s.ActivityTimeout,
		MaxMessageBytes:  s.MaxMessageBytes,
		MaxPendingBytes:  s.MaxPendingBytes,
		CompressFrom:     s.Compression.From(),
		Log:              p.log,
		Counters:         p.counters.Loop,
		HTTP:             requests.Push,
	}, p.hub.Shard)
	if err != nil {
		p.closeOps()
		return errors.Join(fmt.Errorf("listening for clients: %w", err), p.engine.Close(), p.hooks.stop())
	}
	p.sockets = sockets
	p.serving.Go(func() { // not before sockets is set, which upgrades in mid-connection need
		if err := p.api.Serve(requests); err != nil {
			p.log.Error("the HTTP API stopped", "error", err)
		}
	})
	return nil
}

func (p *Program) startOps() (err error) {
	if !p.cfg.Ops.Enabled {
		return nil
	}
	a := p.cfg.Ops.Address()
	p.ops, err = ops.Start(a.Network, a.Address, ops.Options{
		Metrics: p.counters, Ready: p.hub.Ready, Version: version, Log: p.log,
		Webhooks: p.hooks.queue, HookMetrics: p.hooks.counters, AdminToken: p.cfg.Ops.AdminToken,
		Reloads: p.reloads,
	})
	if err == nil {
		p.log.Info("serving operators", "address", p.ops.Addr().String())
	}
	return err
}

func (p *Program) closeOps() {
	if p.ops != nil {
		p.ops.Close()
	}
}

// Reload puts the apps of another configuration in place of the present ones, all at
// once. Nothing else of it counts.
func (p *Program) Reload(cfg *Config) {
	p.apps.Replace(cfg.Apps)
	p.hub.Reload()
}

// Addrs returns the addresses that clients connect to.
func (p *Program) Addrs() []net.Addr { return p.sockets.Addrs() }

// Wait serves until ctx ends, then stops: no new connections, clients sent away
// with 4200 over the drain window, requests under way answered, webhooks delivered
// or kept.
func (p *Program) Wait(ctx context.Context) error {
	<-ctx.Done()
	p.log.Info("stopping", "connections", p.counters.Connections(), "window", p.cfg.Server.Drain.String())
	p.sockets.Shutdown()
	// What is not gone soon after the window does not read what it is sent.
	stop, cancel := context.WithTimeout(context.Background(), p.cfg.Server.Drain+lastWords)
	defer cancel()
	p.hub.Drain(stop, p.cfg.Server.Drain)
	err := p.api.Shutdown(stop)
	if errors.Is(err, context.DeadlineExceeded) { // a client that never ends its request does not make the stop a failure
		p.log.Warn("requests were cut off", "error", err)
		err = nil
	}
	p.sockets.Close()
	p.serving.Wait()
	err = errors.Join(err, p.engine.Close(), p.hooks.stop())
	p.closeOps()
	p.log.Info("stopped")
	return err
}

// lastWords is for what was closed or answered at the end of the drain window.
const lastWords = 2 * time.Second
