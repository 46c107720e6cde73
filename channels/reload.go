package channels

import (
	"sync/atomic"

	"dunlin/apps"
	"dunlin/cluster"
	"dunlin/metrics"
	"dunlin/protocol"
)

// followSlice is how many sessions a loop looks at in a turn, so that closing an
// app with many connections does not keep the others waiting.
const followSlice = 256

// Reload has open connections follow what the registry says now. Where the app is
// gone or disabled they are closed with the code that a new one would get (PROTOCOL
// 1.35); the others go on under the app's new limits and switches. What is asked
// of a connection only when it is opened ends none. It returns at once.
func (h *Hub) Reload() {
	h.Begin()
	h.Begin()
	left := new(atomic.Int64)
	left.Store(int64(len(h.all())))
	for _, s := range h.all() {
		s.do(func() {
			s.follow(len(s.sessions), func() {
				if left.Add(-1) == 0 {
					go h.reflag() // nobody makes an entry for the old app any more
				}
			})
		})
	}
}

// follow looks at the sessions below from, the last first: those that a closed one
// makes change places were looked at already, or still will be.
func (s *Shard) follow(from int, done func()) {
	i := min(from, len(s.sessions))
	for n := followSlice; n > 0 && i > 0; n-- {
		i--
		s.sessions[i].follow()
	}
	if i > 0 {
		s.do(func() { s.follow(i, done) })
		return
	}
	done()
}

// follow is what admitConnection says of an app, for a session that is open.
func (x *session) follow() {
	if x.closing {
		return
	}
	app := x.shard.hub.apps.ByKey(x.app.Key)
	switch {
	case app == nil || app.ID != x.app.ID:
		x.evict(protocol.ErrUnknownKey(x.app.Key))
	case !app.Enabled:
		x.evict(protocol.ErrAppDisabled)
	default:
		x.app = app
	}
}

func (x *session) evict(e *protocol.Error) {
	x.shard.counters.Drop(metrics.DropApp)
	x.close(e)
}

// reflag gives every channel the flags that its app now asks for.
func (h *Hub) reflag() {
	for i := range h.dir.stripes {
		for _, e := range h.dir.stripes[i].all() {
			if app := h.apps.ByID(e.key.App); app != nil {
				e.mu.Lock()
				e.setFlags(flagsOf(app, e.key.Name, e.kind))
				e.mu.Unlock()
			}
		}
	}
}

// all lists the entries of a stripe.
func (s *stripe) all() []*entry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := make([]*entry, 0, len(s.entries))
	for _, e := range s.entries {
		list = append(list, e)
	}
	return list
}

// flagsOf is how the engine is to treat an app's channel.
func flagsOf(app *apps.App, name string, kind protocol.Kind) (f cluster.Flags) {
	if app.Hears(protocol.HookOccupied|protocol.HookVacated, name) {
		f |= cluster.TrackOccupancy
	}
	if kind.Is(protocol.Presence) {
		if app.Hears(protocol.HookMemberAdded|protocol.HookMemberRemoved, name) {
			f |= cluster.TrackMembers
		}
		return f | cluster.HasMembers
	}
	if app.SubscriptionCountEvents && !kind.Is(protocol.User) {
		f |= cluster.CountEvents // PROTOCOL 2.50
	}
	return f
}
