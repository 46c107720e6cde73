package channels

import (
	"dunlin/cluster"
	"dunlin/protocol"
)

// watched is a user that sessions of this node watch. people's lock guards it.
type watched struct {
	online   bool // as the watchers were told
	watchers map[*watchlist]struct{}
}

// watchlist is whom a session watches.
type watchlist struct {
	// Static after construction
	session *session
	app     string
	users   []string

	over bool // guarded by people.mu
}

// watch begins a watchlist: the session is told everybody's state, and every
// change after it.
func (h *Hub) watch(x *session, users []string) *watchlist {
	w := &watchlist{session: x, app: x.app.ID, users: users}
	h.engine.Watch(w.app, users, func(online []string, err error) { h.watching(w, online, err) })
	return w
}

// watching answers Engine.Watch. Whoever watched one of the users before hears of
// what is new in the answer, so that all of them were told the same.
func (h *Hub) watching(w *watchlist, online []string, err error) {
	if err != nil {
		h.log.Warn("a watchlist could not be watched", "app", w.app, "error", err)
		return
	}
	is := make(map[string]bool, len(online))
	for _, u := range online {
		is[u] = true
	}
	p := &h.people
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.over {
		return
	}
	var offline []string
	for _, u := range w.users {
		key := cluster.UserKey(w.app, u)
		if p.watched[key] == nil {
			p.watched[key] = &watched{online: is[u], watchers: make(map[*watchlist]struct{})}
		}
		p.changed(key, u, is[u])
		p.watched[key].watchers[w] = struct{}{}
		if !is[u] {
			offline = append(offline, u)
		}
	}
	w.tell(protocol.WatchlistEvents(online, offline))
}

// unwatch ends a watchlist, if there is one.
func (h *Hub) unwatch(w *watchlist) {
	if w == nil {
		return
	}
	h.engine.Unwatch(w.app, w.users)
	p := &h.people
	p.mu.Lock()
	defer p.mu.Unlock()
	w.over = true
	for _, u := range w.users {
		key := cluster.UserKey(w.app, u)
		if x := p.watched[key]; x != nil {
			delete(x.watchers, w)
			if len(x.watchers) == 0 {
				delete(p.watched, key)
			}
		}
	}
}

// Online implements cluster.Handler.
func (h *Hub) Online(app, user string, online bool) {
	p := &h.people
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changed(cluster.UserKey(app, user), user, online)
}

// changed tells a user's watchers of a state that they were not told yet. The lock
// is held.
func (p *people) changed(key protocol.ChannelKey, user string, online bool) {
	x := p.watched[key]
	if x == nil || x.online == online {
		return
	}
	x.online = online
	f := protocol.WatchlistEvents(nil, []string{user})
	if online {
		f = protocol.WatchlistEvents([]string{user}, nil)
	}
	for w := range x.watchers {
		w.tell(f)
	}
}

// tell sends the session a frame, unless it has another watchlist by then. people's
// lock is held, which keeps its messages in order.
func (w *watchlist) tell(f *protocol.Frame) {
	x := w.session
	x.shard.do(func() {
		if x.user != nil && x.user.watch == w && !x.closed {
			x.conn.Send(f)
		}
	})
}
