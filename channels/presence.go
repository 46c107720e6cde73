package channels

import (
	"dunlin/cluster"
	"dunlin/protocol"
)

// enter counts a connection of a user and, when it is the first, tells the
// engine, which knows the members of other nodes. The entry is locked.
func (h *Hub) enter(e *entry, sub *subscription, m protocol.Member, limit int) {
	u, first := e.roster.enter(m.ID)
	sub.user = u
	if first {
		m.ID = u.id
		h.engine.Join(e.key, e.flags, m, limit, func(r cluster.Roster, err error) { h.joined(e, u, r, err) })
	}
}

// joined answers Engine.Join for one user.
func (h *Hub) joined(e *entry, u *user, r cluster.Roster, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == nil && r.Members != nil && r.Version >= e.roster.version {
		h.adopt(e, r) // also when the user left meanwhile: others will not be given it again
	}
	if e.roster.users[u.id] != u {
		return // left meanwhile
	}
	if err != nil {
		e.roster.drop(u)
		h.refuse(e, func(sub *subscription) bool { return sub.user == u }, err)
		return
	}
	u.joined = true
	if e.topic != topicLive { // Join's answer comes after Attach's
		e.topic = topicLive
		h.release(e)
		return
	}
	h.admitOn(e, u.loops) // and not those of all who wait: in a storm they are many
}

// Member implements cluster.Handler.
func (h *Hub) Member(ch protocol.ChannelKey, c cluster.MemberChange) {
	e := h.dir.find(ch)
	if e == nil {
		return
	}
	defer e.mu.Unlock()
	if e.roster == nil {
		return
	}
	u := e.roster.users[c.Member.ID]
	taken := u != nil && u.taken
	if e.roster.apply(c) {
		h.postChange(e, c.Member, c.Added)
	}
	if taken && !u.taken {
		h.admitOn(e, u.loops)
	}
}

// Resync implements cluster.Handler: subscribers are told the differences.
func (h *Hub) Resync(ch protocol.ChannelKey, r cluster.Roster) {
	e := h.dir.find(ch)
	if e == nil {
		return
	}
	defer e.mu.Unlock()
	if e.roster != nil && r.Version > e.roster.version {
		h.adopt(e, r)
		h.release(e)
	}
}

// adopt replaces an entry's roster and posts what is different now. The entry is
// locked.
func (h *Hub) adopt(e *entry, r cluster.Roster) {
	before := e.roster.members
	added := e.roster.missing(r.Members)
	e.roster.reset(r)
	for _, m := range e.roster.missing(before) {
		h.postChange(e, m, false)
	}
	for _, m := range added {
		h.postChange(e, m, true)
	}
}

// postChange tells a channel's subscribers of one member. The entry is locked.
func (h *Hub) postChange(e *entry, m protocol.Member, added bool) {
	if e.mask == 0 {
		return
	}
	if added {
		h.post(e, command{frame: protocol.MemberAdded(e.key.Name, m)}, nil)
	} else {
		h.post(e, command{frame: protocol.MemberRemoved(e.key.Name, m.ID)}, nil)
	}
}
