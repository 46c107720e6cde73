package tracing_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"dunlin/internal/testkit"
	"dunlin/internal/tracing"
)

const given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// TestOff: a nil Tracer and a nil Span do nothing, and cost nothing.
func TestOff(t *testing.T) {
	var off *tracing.Tracer
	if n := testing.AllocsPerRun(100, func() {
		s := off.Start("x", tracing.Server, given)
		c := s.Child("y")
		c.Set("k", 1)
		c.Fail("why")
		c.End()
		s.End()
		off.StartAfter("z", tracing.Client, nil).End()
		if s != nil || c != nil || s.Header() != "" {
			t.Fatal("there is a span")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if err := off.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// TestSpans: what is recorded reaches the collector as it was, goes on with the trace
// of a caller, and links many that led to one.
func TestSpans(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	tr := tracing.New(tracing.Options{Endpoint: r.URL + "/", OneIn: 1, Service: map[string]string{"service.name": "test"}, Log: slog.New(slog.DiscardHandler)})
	root := tr.Start("root", tracing.Server, given)
	child := root.Child("child")
	child.Set("n", 3)
	child.Set("text", "a\xffb")
	child.Fail("broken")
	other := tr.Start("other", tracing.Internal, "nonsense")
	both := tr.StartAfter("both", tracing.Client, []string{root.Header(), other.Header()})
	for _, s := range []*tracing.Span{both, child, other, root} {
		s.End()
	}
	if err := tr.Close(testkit.Context(t)); err != nil {
		t.Fatal(err)
	}
	if sent, lost := tr.Spans(); sent != 4 || lost != 0 || r.says("service.name") != "test" {
		t.Fatalf("%d sent, %d lost, service %q", sent, lost, r.says("service.name"))
	}
	rs, cs, os, bs := r.named("root")[0], r.named("child")[0], r.named("other")[0], r.named("both")[0]
	if trace(rs) != given[3:35] || parent(rs) != given[36:52] || trace(cs) != trace(rs) || parent(cs) != id(rs) || rs.Kind != 2 || bs.Kind != 3 {
		t.Errorf("root %v\nchild %v", rs, cs)
	}
	if attribute(cs, "n") != int64(3) || attribute(cs, "text") != "a\uFFFDb" || cs.Status.Message != "broken" || cs.Status.Code != 2 {
		t.Errorf("child %v", cs)
	}
	if trace(os) == trace(rs) || parent(os) != "" || len(bs.Links) != 2 || parent(bs) != id(rs) {
		t.Errorf("other %v\nboth %v", os, bs)
	}
	if !strings.HasPrefix(root.Header(), given[:36]) || !strings.HasSuffix(root.Header(), id(rs)+"-01") {
		t.Errorf("header %q", root.Header())
	}
}

// TestSampling: of the traces that begin here one in so many is recorded; what a
// caller does not record is not.
func TestSampling(t *testing.T) {
	t.Parallel()
	tr := tracing.New(tracing.Options{Endpoint: newReceiver(t).URL, OneIn: 10, Log: slog.New(slog.DiscardHandler)})
	n := 0
	for range 10_000 {
		if tr.Start("x", tracing.Server, "") != nil {
			n++
		}
		if tr.Start("x", tracing.Server, given[:53]+"00") != nil {
			t.Fatal("recorded, though the caller does not")
		}
	}
	if n < 700 || n > 1300 {
		t.Errorf("%d of 10,000 are recorded", n)
	}
}

// TestLost: a collector that takes nothing costs the spans, and a line in the log.
func TestLost(t *testing.T) {
	t.Parallel()
	bad := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(bad.Close)
	var log bytes.Buffer
	tr := tracing.New(tracing.Options{Endpoint: bad.URL, OneIn: 1, Log: slog.New(slog.NewTextHandler(&log, nil))})
	tr.Start("x", tracing.Server, "").End()
	if err := tr.Close(testkit.Context(t)); err != nil {
		t.Error(err)
	}
	if _, lost := tr.Spans(); lost != 1 || !strings.Contains(log.String(), "404 Not Found") {
		t.Errorf("%d lost; %s", lost, log.String())
	}
}

func BenchmarkStart(b *testing.B) {
	r := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer r.Close()
	for name, tr := range map[string]*tracing.Tracer{
		"off": nil, "one in 1000": tracing.New(tracing.Options{Endpoint: r.URL, OneIn: 1000, Log: slog.New(slog.DiscardHandler)}),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s := tr.Start("POST /apps/{app}/events", tracing.Server, "")
				s.Child("fan-out").End()
				s.End()
			}
		})
	}
}
