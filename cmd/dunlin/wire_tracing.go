package main

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"dunlin/internal/tracing"
)

// newTracer returns nil where nothing is traced.
func newTracer(cfg TracingConfig, node string, log *slog.Logger) *tracing.Tracer {
	if cfg.Endpoint == "" {
		return nil
	}
	return tracing.New(tracing.Options{
		Endpoint: cfg.Endpoint, OneIn: cfg.OneIn, Log: log,
		Service: map[string]string{"service.name": "dunlin", "service.version": version, "service.instance.id": node},
	})
}

// endTraces sends what is left of them.
func (p *Program) endTraces() error {
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	return p.tracer.Close(ctx)
}

func tracingFigures(t *tracing.Tracer) []prometheus.Collector {
	const name, help = "trace_spans_total", "Spans of traces, by whether the collector has taken them."
	return []prometheus.Collector{
		counter(name, help, prometheus.Labels{"outcome": "sent"}, func() uint64 { sent, _ := t.Spans(); return sent }),
		counter(name, help, prometheus.Labels{"outcome": "lost"}, func() uint64 { _, lost := t.Spans(); return lost }),
	}
}
