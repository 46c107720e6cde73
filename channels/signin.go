package channels

import (
	"context"
	"strings"
	"sync"

	"dunlin/cluster"
	"dunlin/protocol"
)

// signin serves pusher:signin (PROTOCOL 4.1–4.12). It is done before the next
// message of the connection is looked at.
func (x *session) signin(m protocol.ClientMessage) *protocol.Error {
	want, bad := protocol.DecodeSignin(m)
	if bad != nil {
		return bad
	}
	signed := x.conn.ID().Append(make([]byte, 0, 32+len(want.UserData)))
	signed = append(append(signed, "::user::"...), want.UserData...)
	if bad := x.verify(want.Auth, signed, userRefusals); bad != nil {
		return bad
	}
	u, bad := protocol.DecodeUserData(want.UserData)
	if bad != nil {
		return bad
	}
	if x.user != nil && x.user.ID != u.ID {
		return protocol.ErrOtherUser
	}
	s := x.shard
	s.mutating = true
	if x.user == nil {
		s.signedIn(x, u.ID)
		x.user = &identity{}
	}
	x.user.UserData, x.authorized = u, true
	x.conn.Send(protocol.SignedIn(want.UserData))
	if x.app.WatchlistEvents {
		x.watchAll(u.Watchlist)
	}
	s.mutating = false
	return nil
}

// identity is whom a session is signed in as.
type identity struct {
	protocol.UserData
	watch *watchlist // nil: watches nobody
}

// watchAll replaces the session's watchlist (PROTOCOL 4.25–4.29).
func (x *session) watchAll(users []string) {
	x.shard.hub.unwatch(x.user.watch)
	x.user.watch = nil
	if len(users) > protocol.MaxWatchlist {
		users = users[:protocol.MaxWatchlist]
		x.fail(protocol.ErrWatchlistLimit)
	}
	if len(users) > 0 {
		x.user.watch = x.shard.hub.watch(x, users)
	}
}

// signout undoes what signing in did, when the connection ends.
func (x *session) signout() {
	if x.user != nil {
		x.shard.hub.unwatch(x.user.watch)
		x.shard.signedOut(x, x.user.ID)
		x.user = nil
	}
}

// signedIn notes a session of a user, on the loop and on the node.
func (s *Shard) signedIn(x *session, user string) {
	key := cluster.UserKey(x.app.ID, strings.Clone(user))
	s.signed[key] = append(s.signed[key], x)
	s.hub.people.signed(s.hub.engine, key, 1)
}

func (s *Shard) signedOut(x *session, user string) {
	key := cluster.UserKey(x.app.ID, user)
	list := s.signed[key]
	for i := range list {
		if list[i] == x {
			list[i] = list[len(list)-1]
			list[len(list)-1] = nil
			s.signed[key] = list[:len(list)-1]
			break
		}
	}
	if len(s.signed[key]) == 0 {
		delete(s.signed, key)
	}
	s.hub.people.signed(s.hub.engine, key, -1)
}

// TerminateUser ends all connections, on all nodes, that are signed in as a user
// (PROTOCOL 4.20).
func (h *Hub) TerminateUser(ctx context.Context, app, user string) error {
	return h.engine.Terminate(ctx, app, user)
}

// Terminate implements cluster.Handler.
func (h *Hub) Terminate(app, user string) {
	key := cluster.UserKey(app, user)
	for _, s := range h.all() {
		s.do(func() { s.terminate(key) })
	}
}

func (s *Shard) terminate(user protocol.ChannelKey) {
	for _, x := range s.signed[user] {
		if !x.closing {
			x.close(protocol.ErrTerminated)
		}
	}
}

// people is who is signed in on this node, and who is watched from it. Its lock
// stands where an entry's does: above the engine's and the mailboxes'.
type people struct {
	mu sync.Mutex
	// Guarded by mu
	count   map[protocol.ChannelKey]int // sessions of a user on this node
	watched map[protocol.ChannelKey]*watched
}

// signed counts a session more or less of a user and tells the engine, in order.
func (p *people) signed(engine cluster.Engine, key protocol.ChannelKey, change int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count[key] += change
	n := p.count[key]
	if n == 0 {
		delete(p.count, key)
	}
	engine.Occupy(key, cluster.IsUser, n)
}
