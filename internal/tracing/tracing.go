// Package tracing follows an event through the node, for those who want to see it
// in OpenTelemetry's form: the request or message that publishes it, its fan-out on
// each loop, the webhooks that tell of it. It is the one place that knows
// OpenTelemetry.
//
// A nil Tracer starts nothing and a nil Span records nothing: that is how tracing is
// off, and what is not sampled.
package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	api "go.opentelemetry.io/otel/trace"
)

// Options of a Tracer.
type Options struct {
	Endpoint string // of a collector that takes OTLP over HTTP, such as http://127.0.0.1:4318
	OneIn    int    // of so many traces that begin here one is recorded; those that callers record always are
	Service  map[string]string
	Log      *slog.Logger
}

// Tracer makes spans. Its methods may be called from any goroutine.
type Tracer struct {
	provider *trace.TracerProvider
	tracer   api.Tracer
	exporter *exporter
}

// New returns a tracer that sends what it records to the collector, some at a time
// and in the background. While the collector does not take it, it is lost.
func New(o Options) *Tracer {
	var service []attribute.KeyValue
	for k, v := range o.Service {
		service = append(service, attribute.String(k, v))
	}
	e := newExporter(o.Endpoint, o.Log)
	t := &Tracer{exporter: e, provider: trace.NewTracerProvider(
		trace.WithBatcher(e, trace.WithBatchTimeout(time.Second)),
		trace.WithSampler(trace.ParentBased(trace.TraceIDRatioBased(1/float64(max(o.OneIn, 1))))),
		trace.WithResource(resource.NewSchemaless(service...)),
	)}
	t.tracer = t.provider.Tracer("dunlin")
	return t
}

// Close sends what is left, until ctx ends.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	if err := t.provider.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("ending the traces: %w", err)
	}
	return nil
}

// Spans counts the spans that the collector has taken, and those that it has not.
func (t *Tracer) Spans() (sent, lost uint64) {
	if t == nil {
		return 0, 0
	}
	return t.exporter.sent.Load(), t.exporter.lost.Load()
}

// Span is something that takes time. Its methods may be called from any goroutine,
// and on nil do nothing.
type Span struct {
	tracer *Tracer
	span   api.Span
}

// Kind is what a span is to those outside.
type Kind = api.SpanKind

// Kinds of spans.
const (
	Internal = api.SpanKindInternal
	Server   = api.SpanKindServer // serves a request
	Client   = api.SpanKindClient // makes one
)

// Start begins a trace, or goes on with the one that parent names in the form of a
// traceparent header; "" and what is malformed name none.
func (t *Tracer) Start(name string, kind Kind, parent string) *Span {
	if t == nil {
		return nil
	}
	return t.start(fromHeader(parent), name, api.WithSpanKind(kind))
}

// StartAfter begins a span that several others have led to: one is its parent, many
// are its links.
func (t *Tracer) StartAfter(name string, kind Kind, parents []string) *Span {
	if t == nil || len(parents) == 0 {
		return nil
	}
	if len(parents) == 1 {
		return t.Start(name, kind, parents[0])
	}
	links := make([]api.Link, len(parents))
	for i, p := range parents {
		links[i] = api.LinkFromContext(fromHeader(p))
	}
	// The others have been recorded, and so this one is: the first of them decides.
	ctx := api.ContextWithRemoteSpanContext(context.Background(), links[0].SpanContext)
	return t.start(ctx, name, api.WithSpanKind(kind), api.WithLinks(links...))
}

func (t *Tracer) start(ctx context.Context, name string, o ...api.SpanStartOption) *Span {
	_, s := t.tracer.Start(ctx, name, o...)
	if !s.IsRecording() {
		return nil
	}
	return &Span{t, s}
}

// Child begins a span inside this one.
func (s *Span) Child(name string) *Span {
	if s == nil {
		return nil
	}
	return s.tracer.start(api.ContextWithSpan(context.Background(), s.span), name)
}

// Set notes something about the span: a string, an int or a bool.
func (s *Span) Set(key string, value any) {
	if s == nil {
		return
	}
	switch v := value.(type) {
	case string:
		s.span.SetAttributes(attribute.String(key, strings.ToValidUTF8(v, "\uFFFD")))
	case int:
		s.span.SetAttributes(attribute.Int(key, v))
	case bool:
		s.span.SetAttributes(attribute.Bool(key, v))
	}
}

// Fail notes that what the span is about has failed.
func (s *Span) Fail(why string) {
	if s != nil {
		s.span.SetStatus(codes.Error, strings.ToValidUTF8(why, "\uFFFD"))
	}
}

// End ends the span.
func (s *Span) End() {
	if s != nil {
		s.span.End()
	}
}

// Header is the span in the form of a traceparent header (W3C Trace Context §3.2),
// "" for none.
func (s *Span) Header() string {
	if s == nil {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(api.ContextWithSpan(context.Background(), s.span), carrier)
	return carrier[HeaderName]
}

// HeaderName is the header that carries a trace from one server to the next.
const HeaderName = "traceparent"

func fromHeader(text string) context.Context {
	if text == "" {
		return context.Background()
	}
	return propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{HeaderName: text})
}
