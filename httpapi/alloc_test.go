//go:build !race

package httpapi

import (
	"testing"

	"dunlin/apps"
)

// TestAllocations guards the hot path: a request is authenticated without any
// allocation; a trigger allocates what it publishes (the list, the name, the frame
// and its bytes) and a deadline; a limit adds nothing. The race detector drops pooled memory at random.
func TestAllocations(t *testing.T) {
	f := build(t, func(o *Options) { o.Hub = hubOf(nullEngine{}, o.Apps, o.Counters) })
	ctx := benchContext(benchBody(50))
	var c call
	id := []byte("3")
	if n := testing.AllocsPerRun(1000, func() {
		c.reset(ctx, "")
		c.args[0] = id
		if err := f.server.authenticate(&c); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations to authenticate", n)
	}
	limited := *f.apps.ByID("3")
	limited.Limits.BackendEventsPerSec = 1 << 30
	for _, app := range []*apps.App{f.apps.ByID("3"), &limited} {
		f.apps.Replace([]*apps.App{app})
		if n := testing.AllocsPerRun(1000, func() {
			ctx.Response.Reset()
			f.server.handle(ctx)
		}); n > 8 || ctx.Response.StatusCode() != 200 {
			t.Errorf("%v allocations to trigger with %d events per second", n, app.Limits.BackendEventsPerSec)
		}
	}
}
