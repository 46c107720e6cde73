package main

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"dunlin/cluster"
	"dunlin/cluster/memory"
	"dunlin/cluster/redis"
	"dunlin/webhooks"
	redisqueue "dunlin/webhooks/redis"
)

// newEngine makes what nodes share. node names this process to the others.
func newEngine(cfg *Config, node string, outbox *webhooks.Outbox, log *slog.Logger) (cluster.Engine, error) {
	if cfg.Engine.Type != "redis" {
		return memory.New(memory.Options{CacheBytes: cfg.Cache.MaxBytes, Webhooks: outbox}), nil
	}
	e, err := redis.New(redis.Options{
		URL:    cfg.Engine.Redis.URL.Reveal(),
		Prefix: cfg.Engine.Redis.Prefix,
		Slices: cfg.Engine.Redis.Slices,
		Node:   node,
		Lease:  cfg.Engine.Redis.Lease,
		Log:    log,

		DetachAfter: cfg.Engine.Redis.Detach,
	})
	if err != nil {
		return nil, fmt.Errorf("engine.redis.url: %w", err)
	}
	return e, nil
}

// handOver ends what an engine tells on behalf of its process alone, and lists who
// is there for the next one. Where nodes share state there is nothing to list.
func handOver(e cluster.Engine) []webhooks.Event {
	if m, ok := e.(*memory.Engine); ok {
		return m.HandOver()
	}
	return nil
}

// expectBack has an engine wait for those who were with another process.
func expectBack(e cluster.Engine, there []webhooks.Event, within time.Duration) {
	if m, ok := e.(*memory.Engine); ok && len(there) > 0 {
		m.Expect(there, within)
	}
}

// newSharedQueue opens the webhook queue of a Redis engine, nil without one: there
// the engine itself appends to it.
func newSharedQueue(cfg *Config, node string, log *slog.Logger) (webhooks.Queue, error) {
	if cfg.Engine.Type != "redis" {
		if cfg.Webhooks.Queue == "redis" {
			return nil, errors.New("webhooks.queue: redis needs engine.type: redis")
		}
		return nil, nil
	}
	q, err := redisqueue.New(redisqueue.Options{
		URL:    cfg.Engine.Redis.URL.Reveal(),
		Prefix: cfg.Engine.Redis.Prefix,
		Slices: cfg.Engine.Redis.Slices,
		Node:   node,
		Log:    log,
	})
	if err != nil {
		return nil, fmt.Errorf("engine.redis.url: %w", err)
	}
	return q, nil
}
