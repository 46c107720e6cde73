package channels

import (
	"slices"
	"testing"

	"dunlin/apps"
	"dunlin/protocol"
)

// reload puts a changed copy of the world's app in place of it.
func (w *world) reload(change func(*apps.App)) {
	next := *w.app
	change(&next)
	w.app = &next
	w.hub.apps.Replace([]*apps.App{w.app})
	w.hub.Reload()
}

// PROTOCOL 1.35: clients of a disabled app are closed with 4003, in slices: a turn
// closes no more than one, and what comes in between is served.
func TestReloadClosesInSlices(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, nil)
	const n = 2*followSlice + 10
	var tabs []*tab
	for range n {
		tabs = append(tabs, w.open(0))
	}
	closed := func() (n int) {
		for _, c := range tabs {
			if c.closed != nil {
				n++
			}
		}
		return n
	}
	w.reload(func(a *apps.App) { a.Enabled = false })
	for _, want := range []int{followSlice, 2 * followSlice, n} {
		w.loops[0].shard.Turn(w.hub.opts.Now())
		if got := closed(); got != want {
			t.Errorf("%d closed, want %d", got, want)
		}
		for _, c := range slices.Clone(tabs) { // those that are gone make the others change places
			if c.closed != nil && c.session != nil {
				c.leaveAll()
				c.session = nil
			}
		}
	}
	for _, c := range tabs {
		if codeOf(c.closed) != 4003 {
			t.Fatalf("closed with %v", c.closed)
		}
	}
}

// Who came under the old app and opens a channel under the new one gets what the
// new one says, and so does a channel that was there before.
func TestReloadReachesOpenChannels(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, nil)
	a, b := w.open(0), w.open(1)
	a.subscribe("c", "")
	a.expect(`{"event":"pusher_internal:subscription_succeeded","data":"{}","channel":"c"}`)
	w.reload(func(app *apps.App) { app.SubscriptionCountEvents = true })
	w.until("the channel counts", func() bool {
		e := w.hub.dir.find(protocol.ChannelKey{App: "1", Name: "c"})
		defer e.mu.Unlock()
		return e.counts()
	})
	b.subscribe("c", "")
	const count = `{"event":"pusher_internal:subscription_count","data":"{\"subscription_count\":2}","channel":"c"}`
	a.expect(count)
	b.expect(`{"event":"pusher_internal:subscription_succeeded","data":"{}","channel":"c"}`, count)
	w.reload(func(app *apps.App) { app.SubscriptionCountEvents = false })
	w.until("the channel does not count", func() bool {
		e := w.hub.dir.find(protocol.ChannelKey{App: "1", Name: "c"})
		defer e.mu.Unlock()
		return !e.counts()
	})
	b.unsubscribe("c")
	a.expect()
}

// An app whose key was given to another is not the same app any more.
func TestReloadOfKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, nil)
	a := w.open(0)
	w.reload(func(app *apps.App) { app.ID = "2" })
	w.turn()
	if codeOf(a.closed) != 4001 {
		t.Errorf("closed with %v", a.closed)
	}
}
