package memory

import (
	"slices"
	"strings"
	"testing"
	"time"

	"dunlin/cluster"
	"dunlin/cluster/contract"
	"dunlin/protocol"
)

func TestContract(t *testing.T) {
	t.Parallel()
	contract.Run(t, func(*testing.T) cluster.Engine { return New(Options{}) })
}

// Nothing grows with the channels that ever were (PITFALLS 26).
func TestForgetsWhatIsOver(t *testing.T) {
	t.Parallel()
	e := New(Options{})
	ch := protocol.ChannelKey{App: "a", Name: "presence-p"}
	e.Occupy(ch, 0, 1)
	e.Attach(ch, nil)
	e.Join(ch, 0, protocol.Member{ID: "u"}, 0, func(cluster.Roster, error) {})
	e.Watch("a", []string{"u"}, func([]string, error) {})
	e.Leave(ch, 0, "u")
	e.Unwatch("a", []string{"u"})
	e.Detach(ch)
	e.Occupy(ch, 0, 0)
	for i := range e.stripes {
		if n := len(e.stripes[i].channels); n != 0 {
			t.Errorf("stripe %d keeps %d channels", i, n)
		}
	}
}

func TestCacheIsBoundedByBytes(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	var evicted []string
	c := newCache(1000, func() time.Time { return now }, func(ch protocol.ChannelKey, _ *protocol.Frame) { evicted = append(evicted, ch.Name) })
	frame := protocol.NewFrame([]byte(strings.Repeat("x", 100)))
	key := func(name string) protocol.ChannelKey { return protocol.ChannelKey{App: "a", Name: name} }
	for _, name := range []string{"1", "2", "3", "1", "4"} {
		c.put(key(name), frame, time.Minute)
	}
	for name, want := range map[string]bool{"1": true, "2": false, "3": true, "4": true} {
		if got := c.get(key(name)) != nil; got != want {
			t.Errorf("%s kept: %v, want %v", name, got, want)
		}
	}
	if !slices.Equal(evicted, []string{"2"}) {
		t.Errorf("evicted %q", evicted)
	}
	now = now.Add(time.Minute)
	c.put(key("5"), frame, time.Minute)
	if len(c.events) != 1 || c.order.Len() != 1 || len(evicted) != 1 {
		t.Errorf("after a minute: %d events, %q evicted", len(c.events), evicted)
	}
	c.drop(c.events[key("5")])
	if c.bytes != 0 {
		t.Errorf("%d bytes of nothing", c.bytes)
	}
}
