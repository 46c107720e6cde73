package memory

import (
	"slices"
	"strings"

	"dunlin/cluster"
	"dunlin/protocol"
)

// Join implements cluster.Engine. The state changes at once; the handler hears of
// it in the order of the changes, since the notice is queued under the same lock.
func (e *Engine) Join(ch protocol.ChannelKey, f cluster.Flags, m protocol.Member, limit int, done func(cluster.Roster, error)) {
	s := e.stripe(ch)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channel(ch)
	if _, ok := c.members[m.ID]; !ok {
		if limit > 0 && len(c.members) >= limit {
			e.notify(func(cluster.Handler) { done(cluster.Roster{}, cluster.ErrFull) })
			return
		}
		if c.members == nil {
			c.members = make(map[string]protocol.Member)
		}
		c.members[m.ID] = m
		e.changed(ch, c, f, m, true)
	}
	roster := cluster.Roster{Version: c.version}
	if !c.told {
		c.told = true
		roster.Members = c.list()
	}
	e.notify(func(cluster.Handler) { done(roster, nil) })
}

// Leave implements cluster.Engine.
func (e *Engine) Leave(ch protocol.ChannelKey, f cluster.Flags, user string) {
	s := e.stripe(ch)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channel(ch)
	if _, ok := c.members[user]; ok {
		delete(c.members, user)
		e.changed(ch, c, f, protocol.Member{ID: user}, false)
	}
	s.tidy(ch, c)
}

// changed counts a change of members and queues its notice. Versions are drawn
// from one clock for all channels, so that a channel that was forgotten and came
// back goes on with higher ones. The stripe's mu is held.
func (e *Engine) changed(ch protocol.ChannelKey, c *channel, f cluster.Flags, m protocol.Member, added bool) {
	c.version = e.versions.Add(1)
	change := cluster.MemberChange{Version: c.version, Added: added, Member: m}
	e.notify(func(h cluster.Handler) { h.Member(ch, change) })
	if f&cluster.TrackMembers != 0 {
		e.edge(place{ch, m.ID}, added)
	}
}

// list returns the members by id, so that equal questions get equal answers.
func (c *channel) list() []protocol.Member {
	list := make([]protocol.Member, 0, len(c.members))
	for _, m := range c.members {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b protocol.Member) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// Watch implements cluster.Engine. Watchers are counted now, so that every later
// change is told; who is online is looked up when the answer's turn comes, so
// that no earlier change is told after it.
func (e *Engine) Watch(app string, users []string, done func([]string, error)) {
	e.eachUser(app, users, func(c *channel) { c.watchers++ })
	e.notify(func(cluster.Handler) {
		var online []string
		for _, u := range users {
			e.eachUser(app, []string{u}, func(c *channel) {
				if c.count > 0 {
					online = append(online, u)
				}
			})
		}
		done(online, nil)
	})
}

// Unwatch implements cluster.Engine.
func (e *Engine) Unwatch(app string, users []string) {
	e.eachUser(app, users, func(c *channel) { c.watchers = max(c.watchers-1, 0) })
}

func (e *Engine) eachUser(app string, users []string, f func(*channel)) {
	for _, u := range users {
		key := cluster.UserKey(app, u)
		s := e.stripe(key)
		s.mu.Lock()
		c := s.channel(key)
		f(c)
		s.tidy(key, c)
		s.mu.Unlock()
	}
}
