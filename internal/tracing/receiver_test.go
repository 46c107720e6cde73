package tracing_test

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// receiver is a collector: it takes OTLP over HTTP and keeps the spans.
type receiver struct {
	*httptest.Server
	t *testing.T

	mu sync.Mutex
	// Guarded by mu
	spans   []*otlp.Span
	service map[string]string
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{t: t, service: map[string]string{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	var data otlp.TracesData
	if err == nil {
		err = proto.Unmarshal(body, &data)
	}
	if err != nil || req.URL.Path != "/v1/traces" || req.Header.Get("Content-Type") != "application/x-protobuf" {
		r.t.Errorf("%s %s: %v", req.Method, req.URL, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rs := range data.ResourceSpans {
		for _, a := range rs.Resource.Attributes {
			r.service[a.Key] = a.Value.GetStringValue()
		}
		for _, ss := range rs.ScopeSpans {
			r.spans = append(r.spans, ss.Spans...)
		}
	}
}

// says is what the sender of the spans says of itself.
func (r *receiver) says(key string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.service[key]
}

// named returns the spans with a name.
func (r *receiver) named(name string) (list []*otlp.Span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.spans {
		if s.Name == name {
			list = append(list, s)
		}
	}
	return list
}

// attribute is what a span says of itself, text or number.
func attribute(s *otlp.Span, key string) any {
	for _, a := range s.Attributes {
		if a.Key == key {
			if a.Value.GetStringValue() != "" {
				return a.Value.GetStringValue()
			}
			return a.Value.GetIntValue()
		}
	}
	return nil
}

func trace(s *otlp.Span) string  { return hex.EncodeToString(s.TraceId) }
func id(s *otlp.Span) string     { return hex.EncodeToString(s.SpanId) }
func parent(s *otlp.Span) string { return hex.EncodeToString(s.ParentSpanId) }
