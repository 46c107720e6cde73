//go:build !race

package httpapi

import "testing"

// TestAllocations guards the hot path: a request is authenticated without any
// allocation; a trigger allocates what it publishes (the list, the name, the frame
// and its bytes) and a deadline. The race detector drops pooled memory at random.
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
	if n := testing.AllocsPerRun(1000, func() {
		ctx.Response.Reset()
		f.server.handle(ctx)
	}); n > 8 {
		t.Errorf("%v allocations to trigger", n)
	}
}
