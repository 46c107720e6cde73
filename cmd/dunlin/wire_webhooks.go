package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"dunlin/apps"
	"dunlin/internal/tracing"
	"dunlin/metrics"
	"dunlin/ops"
	"dunlin/webhooks"
	"dunlin/webhooks/deliver"
	"dunlin/webhooks/memory"
	"dunlin/webhooks/spool"
)

// hookParts are the parts of webhooks: events go through the outbox into the
// queue, from where they are delivered.
type hookParts struct {
	// Static after construction
	cfg      WebhooksConfig
	log      *slog.Logger
	counters *metrics.Webhooks
	queue    webhooks.Queue
	outbox   *webhooks.Outbox

	// Static after start
	deliverer *deliver.Deliverer
	leave     func([]webhooks.Event, []webhooks.DeadLetter) error // to a process that goes on; an error: there is none

	stopping sync.Once
	stopped  error // of stop
}

// newHooks opens the queue, unless nodes share one.
func newHooks(cfg WebhooksConfig, shared webhooks.Queue, log *slog.Logger) (*hookParts, error) {
	h := &hookParts{cfg: cfg, log: log, counters: metrics.NewWebhooks()}
	var err error
	switch {
	case shared != nil:
		h.queue = shared
	case cfg.Queue == "spool":
		h.queue, err = h.openSpool()
	default:
		h.queue, err = h.openMemory()
	}
	if err != nil {
		return nil, fmt.Errorf("opening the webhook queue: %w", err)
	}
	h.counters.Backlog = func() map[string]metrics.HookBacklog { return ops.Backlog(h.queue, time.Now()) }
	h.outbox = webhooks.NewOutbox(webhooks.OutboxOptions{Queue: h.queue, Counters: h.counters, Log: log})
	return h, nil
}

func (h *hookParts) openSpool() (webhooks.Queue, error) {
	q, err := spool.Open(h.cfg.Path, spool.Options{Presence: true, Counters: h.counters})
	if err != nil {
		return nil, err // not q, which would be a Queue that is not nil
	}
	return q, nil
}

// there lists who was there when the last run ended without a word.
func (h *hookParts) there() ([]webhooks.Event, error) {
	q, ok := h.queue.(*spool.Queue)
	if !ok {
		return nil, nil
	}
	list, err := q.There()
	if len(list) > 0 {
		h.log.Warn("the last run ended without a word; who does not come back soon is told to be gone", "events", len(list))
	}
	return list, err
}

// bury keeps dead letters of another process.
func (h *hookParts) bury(letters ...webhooks.DeadLetter) error {
	switch q := h.queue.(type) {
	case *memory.Queue:
		q.Bury(letters...)
	case *spool.Queue:
		return q.Bury(letters...)
	}
	return nil
}

// openMemory makes a queue of what the last run left, if it left anything.
func (h *hookParts) openMemory() (webhooks.Queue, error) {
	q := memory.New(memory.Options{Counters: h.counters})
	if _, err := os.Stat(h.cfg.Path); errors.Is(err, os.ErrNotExist) {
		return q, nil
	}
	file, err := spool.Open(h.cfg.Path, spool.Options{})
	if err != nil {
		return nil, err
	}
	events, letters, err := file.Left()
	if err == nil {
		err = q.Append(context.Background(), events...)
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	q.Bury(letters...)
	if len(events)+len(letters) > 0 {
		h.log.Info("webhooks of the last run are back", "events", len(events), "dead_letters", len(letters))
	}
	return q, os.Remove(h.cfg.Path)
}

// start begins to deliver.
func (h *hookParts) start(registry *apps.Registry, tracer *tracing.Tracer) {
	if err := h.keepable(registry); err != nil {
		h.log.Warn("webhooks that can not be delivered before a stop will be lost", "file", h.cfg.Path, "error", err)
	}
	h.deliverer = deliver.Start(deliver.Options{
		Queue: h.queue, Apps: registry, Counters: h.counters, Log: h.log,
		Timeout:      h.cfg.Timeout,
		Retry:        deliver.Schedule{GiveUp: h.cfg.GiveUpAfter},
		AllowPrivate: h.cfg.AllowPrivateTargets,
		Agent:        "dunlin/" + version,
		Tracer:       tracer,
	})
}

// yield lets go of what only one process can have.
func (h *hookParts) yield() {
	if _, ok := h.queue.(*spool.Queue); !ok {
		return
	}
	h.cfg.Flush = min(h.cfg.Flush, handoverPatience/2) // who takes over waits, and goes on with the rest
	if err := h.stop(); err != nil {
		h.log.Error("closing the webhook queue", "error", err)
	}
}

// keepable says why what is left in memory at a stop could not be kept: better now
// than then.
func (h *hookParts) keepable(registry *apps.Registry) error {
	_, inMemory := h.queue.(*memory.Queue)
	told := func(a *apps.App) bool { return len(a.Webhooks) > 0 }
	if !inMemory || !slices.ContainsFunc(registry.All(), told) {
		return nil
	}
	dir := filepath.Dir(h.cfg.Path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".dunlin-")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// stop delivers what waits, as far as that goes, and keeps the rest.
func (h *hookParts) stop() error {
	h.stopping.Do(func() { h.stopped = h.end() })
	return h.stopped
}

func (h *hookParts) end() error {
	ctx, cancel := context.WithTimeout(context.Background(), h.cfg.Flush+lastWords)
	defer cancel()
	err := h.outbox.Close(ctx)
	flush, cancel := context.WithTimeout(ctx, h.cfg.Flush)
	defer cancel()
	if h.deliverer != nil {
		h.deliverer.Stop(flush)
	}
	if q, ok := h.queue.(*memory.Queue); ok {
		err = errors.Join(err, h.keep(q))
	}
	return errors.Join(err, h.queue.Close())
}

// keep writes what is left in memory to the file, for the next run.
func (h *hookParts) keep(q *memory.Queue) error {
	events, letters := q.Left()
	if len(events)+len(letters) == 0 || h.leave != nil && h.leave(events, letters) == nil {
		return nil
	}
	file, err := spool.Open(h.cfg.Path, spool.Options{})
	if err == nil {
		err = errors.Join(file.Append(context.Background(), events...), file.Bury(letters...), file.Close())
	}
	if err != nil {
		for _, e := range events {
			h.counters.Drop(e.App, metrics.DropStopped, 1)
		}
		return fmt.Errorf("%d webhooks and %d dead letters are lost: %w", len(events), len(letters), err)
	}
	h.log.Info("webhooks are kept for the next run", "events", len(events), "dead_letters", len(letters), "file", h.cfg.Path)
	return nil
}
