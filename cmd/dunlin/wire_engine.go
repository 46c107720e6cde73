package main

import (
	"errors"
	"fmt"
	"log/slog"

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
	})
	if err != nil {
		return nil, fmt.Errorf("engine.redis.url: %w", err)
	}
	return e, nil
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
