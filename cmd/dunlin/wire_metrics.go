package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"dunlin/apps"
	"dunlin/cluster/memory"
	"dunlin/cluster/redis"
	"dunlin/metrics"
)

func appIDs(list []*apps.App) (ids []string) {
	for _, a := range list {
		ids = append(ids, a.ID)
	}
	return ids
}

// figures are what stands in /metrics beside the counters of the node.
func (p *Program) figures() []prometheus.Collector {
	list := []prometheus.Collector{
		gauge("mailbox_bytes", "Bytes of messages that wait for an event loop.", nil,
			func() float64 { return float64(p.hub.Backlog()) }),
		gauge("engine_up", "1 while the engine can do its work.", prometheus.Labels{"type": p.cfg.Engine.Type}, func() float64 {
			if p.engine.Health() != nil {
				return 0
			}
			return 1
		}),
	}
	list = append(list, tracingFigures(p.tracer)...)
	switch e := p.engine.(type) {
	case *memory.Engine:
		list = append(list, memoryFigures(e)...)
	case *redis.Engine:
		list = append(list, redisFigures(e)...)
	}
	if prefix := p.cfg.Ops.SoketiPrefix; prefix != "" {
		list = append(list, metrics.NewSoketi(p.counters, prefix, p.cfg.Server.Port))
	}
	return list
}

func memoryFigures(e *memory.Engine) []prometheus.Collector {
	return []prometheus.Collector{
		gauge("engine_cached_events", "Last events that cache channels keep.", nil,
			func() float64 { n, _ := e.Cached(); return float64(n) }),
		gauge("engine_cached_bytes", "Memory that these events take.", nil,
			func() float64 { _, n := e.Cached(); return float64(n) }),
	}
}

func redisFigures(e *redis.Engine) []prometheus.Collector {
	s := e.Stats()
	list := []prometheus.Collector{
		counter("engine_batches_total", "Batches of this node's state sent to Redis.", nil, s.Batches.Load),
		counter("engine_operations_total", "Operations in these batches.", nil, s.Operations.Load),
		counter("engine_published_total", "Events that Redis has taken from this node.", nil, s.Published.Load),
		counter("engine_unpublished_total", "Events that Redis did not take; their publishers were told.", nil, s.Unpublished.Load),
		counter("engine_reconnects_total", "Subscribing connections to Redis made anew.", nil, s.Reconnects.Load),
		counter("engine_reaped_channels_total", "Channels that this node took from dead nodes.", nil, s.Reaped.Load),
		counter("engine_presence_gaps_total", "Gaps in the changes of presence channels; their rosters were read anew.", nil, s.Gaps.Load),
		counter("engine_dropped_events_total", "Events lost between Redis and the node.", prometheus.Labels{"direction": "in"}, s.DroppedIn.Load),
		counter("engine_dropped_events_total", "Events lost between Redis and the node.", prometheus.Labels{"direction": "out"}, s.DroppedOut.Load),
	}
	for i, reason := range redis.RejoinReasons() {
		list = append(list, counter("engine_rejoins_total", "Times that the node made itself known to Redis, by reason.",
			prometheus.Labels{"reason": reason}, s.Rejoins[i].Load))
	}
	return list
}

func gauge(name, help string, labels prometheus.Labels, read func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "dunlin_" + name, Help: help, ConstLabels: labels}, read)
}

func counter(name, help string, labels prometheus.Labels, read func() uint64) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "dunlin_" + name, Help: help, ConstLabels: labels},
		func() float64 { return float64(read()) })
}
