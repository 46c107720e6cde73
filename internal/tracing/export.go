package tracing

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	resources "go.opentelemetry.io/proto/otlp/resource/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"dunlin/internal/lograte"
)

// exporter posts spans to a collector as OTLP/HTTP has it: a protobuf of
// ExportTraceServiceRequest, which on the wire is TracesData. The exporter that
// OpenTelemetry has for it brings all of gRPC, which would make the program half as
// large again.
type exporter struct {
	// Static after construction
	url  string
	http *http.Client
	log  *slog.Logger

	failures *lograte.Limiter
	sent     atomic.Uint64 // spans
	lost     atomic.Uint64
}

// exportTimeout is for one request.
const exportTimeout = 10 * time.Second

func newExporter(endpoint string, log *slog.Logger) *exporter {
	return &exporter{
		url:  strings.TrimRight(endpoint, "/") + "/v1/traces",
		http: &http.Client{Timeout: exportTimeout}, log: log, failures: lograte.New(nil),
	}
}

// ExportSpans implements trace.SpanExporter. Spans that are not taken are lost: the
// error is logged here, where the log is.
func (e *exporter) ExportSpans(ctx context.Context, spans []trace.ReadOnlySpan) error {
	if err := e.post(ctx, spans); err != nil {
		e.lost.Add(uint64(len(spans)))
		if more, ok := e.failures.Allow(); ok {
			e.log.Warn("the collector takes no traces", "error", err, "spans", len(spans), "more_since_last", more)
		}
		return nil
	}
	e.sent.Add(uint64(len(spans)))
	return nil
}

// Shutdown implements trace.SpanExporter.
func (e *exporter) Shutdown(context.Context) error { return nil }

func (e *exporter) post(ctx context.Context, spans []trace.ReadOnlySpan) error {
	if len(spans) == 0 {
		return nil
	}
	body, err := proto.Marshal(encode(spans))
	if err != nil {
		return fmt.Errorf("encoding spans: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	res, err := e.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be used again
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("the collector answered %s", res.Status)
	}
	return nil
}

// encode writes spans that have one resource and one scope, as all of a Tracer's.
func encode(spans []trace.ReadOnlySpan) *otlp.TracesData {
	list := make([]*otlp.Span, len(spans))
	for i, s := range spans {
		list[i] = spanOf(s)
	}
	first := spans[0]
	return &otlp.TracesData{ResourceSpans: []*otlp.ResourceSpans{{
		Resource:   &resources.Resource{Attributes: attributes(first.Resource().Attributes())},
		ScopeSpans: []*otlp.ScopeSpans{{Scope: &common.InstrumentationScope{Name: first.InstrumentationScope().Name}, Spans: list}},
	}}}
}

func spanOf(s trace.ReadOnlySpan) *otlp.Span {
	at, parent := s.SpanContext(), s.Parent()
	id, span := at.TraceID(), at.SpanID()
	out := &otlp.Span{
		TraceId: id[:], SpanId: span[:], TraceState: at.TraceState().String(), Flags: uint32(at.TraceFlags()),
		Name: s.Name(), Kind: otlp.Span_SpanKind(s.SpanKind()), Attributes: attributes(s.Attributes()),
		StartTimeUnixNano: uint64(s.StartTime().UnixNano()), EndTimeUnixNano: uint64(s.EndTime().UnixNano()),
	}
	if parent.HasSpanID() {
		p := parent.SpanID()
		out.ParentSpanId = p[:]
	}
	for _, l := range s.Links() {
		id, span := l.SpanContext.TraceID(), l.SpanContext.SpanID()
		out.Links = append(out.Links, &otlp.Span_Link{TraceId: id[:], SpanId: span[:]})
	}
	if s.Status().Code == codes.Error {
		out.Status = &otlp.Status{Code: otlp.Status_STATUS_CODE_ERROR, Message: s.Status().Description}
	}
	return out
}

func attributes(list []attribute.KeyValue) (out []*common.KeyValue) {
	for _, kv := range list {
		v := &common.AnyValue{}
		switch kv.Value.Type() {
		case attribute.INT64:
			v.Value = &common.AnyValue_IntValue{IntValue: kv.Value.AsInt64()}
		case attribute.BOOL:
			v.Value = &common.AnyValue_BoolValue{BoolValue: kv.Value.AsBool()}
		default:
			v.Value = &common.AnyValue_StringValue{StringValue: kv.Value.String()}
		}
		out = append(out, &common.KeyValue{Key: string(kv.Key), Value: v})
	}
	return out
}
