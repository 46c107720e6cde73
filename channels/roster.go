package channels

import (
	"strings"

	"dunlin/cluster"
	"dunlin/protocol"
)

// roster is a presence channel's membership: the members over all nodes, as the
// engine told them, and the users with connections here. The entry's lock guards
// it.
type roster struct {
	version uint64
	members []protocol.Member
	listed  []protocol.Listed // the members, as the snapshot has them
	place   map[string]int    // user id → index in members
	users   map[string]*user  // with connections on this node, joining ones included
	joining int               // of users, those that are no members yet

	snapshot        *protocol.Frame // subscription_succeeded at snapshotVersion, shared by its joiners
	snapshotVersion uint64
}

// user is one user's connections to a presence channel on this node.
type user struct {
	id     string
	conns  int
	loops  uint64 // bit i: loop i has, or had, connections that wait
	taken  bool   // others took this node for dead: the engine tells again that the user is here
	joined bool   // the engine has answered
}

func newRoster() *roster {
	return &roster{place: make(map[string]int), users: make(map[string]*user)}
}

// full reports whether limit keeps a user out. One who is a member, or about to
// be one, is always welcome (PROTOCOL 2.39a).
func (r *roster) full(id string, limit int) bool {
	if limit == 0 || r.users[id] != nil {
		return false
	}
	_, member := r.place[id]
	return !member && len(r.members)+r.joining >= limit
}

// enter counts one more connection of a user and reports whether it is the first.
func (r *roster) enter(id string) (u *user, first bool) {
	u = r.users[id]
	if u == nil {
		id = strings.Clone(id) // it is part of channel_data
		u = &user{id: id}
		r.users[id] = u
		if _, member := r.place[id]; !member {
			r.joining++
		}
	}
	u.conns++
	return u, u.conns == 1
}

// leave counts one connection less and reports whether it was the last of a user
// whom the engine knows.
func (r *roster) leave(u *user) (last bool) {
	if u.conns--; u.conns > 0 || r.users[u.id] != u {
		return false
	}
	r.drop(u)
	return true
}

// drop forgets a user's connections here: whoever comes next is the first.
func (r *roster) drop(u *user) {
	delete(r.users, u.id)
	if _, member := r.place[u.id]; !member {
		r.joining--
	}
}

// reset takes a roster as the whole truth.
func (r *roster) reset(n cluster.Roster) {
	r.members, r.listed, r.version, r.snapshot = nil, nil, n.Version, nil
	clear(r.place)
	for _, m := range n.Members {
		r.put(m)
	}
	r.joining = 0
	for id, u := range r.users {
		_, member := r.place[id]
		if !member {
			r.joining++
		}
		u.taken = u.joined && !member
	}
}

func (r *roster) put(m protocol.Member) {
	r.place[m.ID] = len(r.members)
	r.members = append(r.members, m)
	r.listed = append(r.listed, m.Listed())
}

// apply makes one change and reports whether it changed anything. What is not
// newer than the roster was in it already.
func (r *roster) apply(c cluster.MemberChange) bool {
	if c.Version <= r.version {
		return false
	}
	r.version = c.Version
	i, known := r.place[c.Member.ID]
	if known == c.Added {
		return false
	}
	u := r.users[c.Member.ID]
	if c.Added {
		r.put(c.Member)
		if u != nil {
			r.joining--
			u.taken = false
		}
		return true
	}
	r.take(i)
	if u != nil {
		r.joining++
		u.taken = u.joined
	}
	return true
}

// take removes the member at i.
func (r *roster) take(i int) {
	delete(r.place, r.members[i].ID)
	last := len(r.members) - 1
	if i != last {
		r.members[i], r.listed[i] = r.members[last], r.listed[last]
		r.place[r.members[i].ID] = i
	}
	r.members[last], r.listed[last] = protocol.Member{}, protocol.Listed{}
	r.members, r.listed = r.members[:last], r.listed[:last]
}

// succeeded is the answer to a joiner, made once a version. That is a copy of what
// was encoded as each member came: the work of joins one by one would else grow
// with the square of their number.
func (r *roster) succeeded(channel string) *protocol.Frame {
	if r.snapshot == nil || r.snapshotVersion != r.version {
		r.snapshot = protocol.PresenceSucceeded(channel, r.listed)
		r.snapshotVersion = r.version
	}
	return r.snapshot
}

// missing lists what from has and r has not.
func (r *roster) missing(from []protocol.Member) (list []protocol.Member) {
	for _, m := range from {
		if _, ok := r.place[m.ID]; !ok {
			list = append(list, m)
		}
	}
	return list
}
