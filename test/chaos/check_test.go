package chaos

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// check says what is wrong with a history. It looks at nothing else.
func check(list []entry) (problems []string) {
	r := newRecord(list)
	problems = append(problems, r.odd...)
	for _, part := range []func(*record) []string{
		checkClosings, checkViews, checkGhosts, checkRemovals, checkOrder, checkDelivery, checkRefusals, checkAnswers, checkWebhooks, checkVacated, checkState,
	} {
		problems = append(problems, part(r)...)
	}
	return problems
}

// at is a time as people read it, since the first connection.
func (r *record) at(t int64) string {
	if t == never {
		return "never"
	}
	start := t
	for _, c := range r.conns {
		start = min(start, c.from)
	}
	return (time.Duration(t-start) * time.Microsecond).Round(time.Millisecond).String()
}

func (r *record) say(x *session, format string, a ...any) string {
	return fmt.Sprintf("%s on node %d in %s from %s to %s: ", x.conn.name, x.conn.node, x.channel, r.at(x.asked), r.at(x.to)) + fmt.Sprintf(format, a...)
}

// checkClosings: nobody is closed but by the death of the node (local subscribers
// stay connected, whatever Redis does).
func checkClosings(r *record) (problems []string) {
	for _, c := range r.conns {
		if c.code != 0 && !r.broken(c.node, c.to, c.to, slack, kill) {
			problems = append(problems, fmt.Sprintf("%s on node %d was closed with %d at %s", c.name, c.node, c.code, r.at(c.to)))
		}
	}
	return problems
}

// checkViews: what a client knows of a presence channel is its snapshot and changes of
// it, each of which is one (invariant 5); and in the end the truth (3).
func checkViews(r *record) (problems []string) {
	truth := r.members()
	r.each(func(x *session) {
		if x.began == never || !strings.HasPrefix(x.channel, "presence-") {
			return
		}
		view := map[string]bool{}
		for _, u := range x.snapshot {
			view[u] = true
		}
		if !view[x.user] {
			problems = append(problems, r.say(x, "%s is not in the snapshot %v", x.user, x.snapshot))
		}
		for _, s := range x.changes {
			if view[s.what] == (s.kind == added) {
				problems = append(problems, r.say(x, "%s was %s at %s and was so before", s.what, s.kind, r.at(s.at)))
			}
			view[s.what] = s.kind == added
		}
		var knows []string
		for u, in := range view {
			if in {
				knows = append(knows, u)
			}
		}
		slices.Sort(knows)
		if x.to == never && r.calm != never && !slices.Equal(knows, truth[x.channel]) {
			problems = append(problems, r.say(x, "knows the members %v, and there are %v", knows, truth[x.channel]))
		}
	})
	return problems
}

// members is who is in each presence channel in the end, as clients know who joined.
func (r *record) members() map[string][]string {
	m := map[string][]string{}
	r.each(func(x *session) {
		if x.to == never && x.user != "" && !slices.Contains(m[x.channel], x.user) {
			m[x.channel] = append(m[x.channel], x.user)
		}
	})
	for _, users := range m {
		slices.Sort(users)
	}
	return m
}

// checkGhosts: no member of a dead node stays longer than until its lease has run out
// and somebody has swept (6). That can be told where somebody watches through a node
// that nothing happens to.
func checkGhosts(r *record) (problems []string) {
	limit := (lease + sweeping + slack).Microseconds()
	for _, b := range r.faults {
		if b.name != kill || r.broken(b.node, b.from-limit, b.from-1, recovery) { // it may be gone already
			continue
		}
		r.each(func(dead *session) {
			if dead.conn.node != b.node || dead.user == "" || dead.began > b.from || dead.to < b.from || r.isElsewhere(dead, b.from, b.from+limit) {
				return
			}
			r.each(func(x *session) {
				if x.channel != dead.channel || x.conn.node == b.node || x.began > b.from || x.to < b.from+limit ||
					r.broken(x.conn.node, b.from, b.from+limit, recovery) {
					return
				}
				if !slices.ContainsFunc(x.changes, func(s sound) bool {
					return s.kind == removed && s.what == dead.user && s.at >= b.from && s.at <= b.from+limit
				}) {
					problems = append(problems, r.say(x, "%s was on node %d, which died at %s, and was not removed", dead.user, b.node, r.at(b.from)))
				}
			})
		})
	}
	return problems
}

// checkRemovals: nobody is removed who was there all the time through a node that
// nothing happened to, whatever happened to Redis, as long as it kept its data.
func checkRemovals(r *record) (problems []string) {
	long := (lease + recovery).Microseconds()
	r.each(func(x *session) {
		for _, s := range x.changes {
			if s.kind != removed || r.nodeBroken(x.conn.node, s.at-long, s.at) {
				continue
			}
			r.each(func(y *session) {
				if y.channel == x.channel && y.user == s.what && y.began < s.at-long && y.to > s.at && !r.nodeBroken(y.conn.node, s.at-long, s.at) {
					problems = append(problems, r.say(x, "%s was removed at %s and is there by %s on node %d", s.what, r.at(s.at), y.conn.name, y.conn.node))
				}
			})
		}
	})
	return problems
}

// isElsewhere reports whether a user may have been in a channel by another session
// between two times.
func (r *record) isElsewhere(dead *session, from, to int64) (is bool) {
	r.each(func(x *session) {
		if x != dead && x.channel == dead.channel && x.user == dead.user && x.asked <= to && x.to >= from-slack.Microseconds() {
			is = is || x.conn.node != dead.conn.node || x.asked > from
		}
	})
	return is
}

// checkOrder: any two who heard two events of a channel heard them in the same order,
// and nobody heard one twice (9).
func checkOrder(r *record) (problems []string) {
	byChannel := map[string][]*session{}
	r.each(func(x *session) {
		if len(x.events) > 0 {
			byChannel[x.channel] = append(byChannel[x.channel], x)
		}
	})
	for _, list := range byChannel {
		for i, x := range list {
			place := map[string]int{}
			for n, s := range x.events {
				if _, twice := place[s.what]; twice {
					problems = append(problems, r.say(x, "heard %s twice", s.what))
				}
				place[s.what] = n
			}
			for _, y := range list[:i] {
				if a, b := crossed(place, y.events); a != "" {
					problems = append(problems, r.say(x, "heard %s after %s, and %s the other way round", a, b, y.conn.name))
				}
			}
		}
	}
	return problems
}

// crossed returns two events that others heard as a, b and one as b, a.
func crossed(place map[string]int, others []sound) (a, b string) {
	last := ""
	for _, s := range others {
		n, both := place[s.what]
		if !both {
			continue
		}
		if last != "" && n < place[last] {
			return last, s.what
		}
		last = s.what
	}
	return "", ""
}

// checkDelivery: what was published reached everybody who was there, unless something
// was broken in between. When all was well again nothing was.
func checkDelivery(r *record) (problems []string) {
	byChannel := map[string][]*event{}
	for _, e := range r.events {
		if e.outcome == published {
			byChannel[e.channel] = append(byChannel[e.channel], e)
		}
	}
	r.each(func(x *session) {
		got := map[string]bool{}
		for _, s := range x.events {
			got[s.what] = true
		}
		for _, e := range byChannel[x.channel] {
			if got[e.id] || x.began >= e.from || x.to < e.to+slack.Microseconds() {
				continue
			}
			from, to := e.from-time.Second.Microseconds(), e.to+slack.Microseconds()
			if e.last || !r.broken(x.conn.node, from, to, recovery) && !r.broken(e.node, from, to, recovery) {
				problems = append(problems, r.say(x, "never heard %s, published at %s", e.id, r.at(e.to)))
			}
		}
	})
	return problems
}

// checkRefusals: nobody hears what was refused, or never published.
func checkRefusals(r *record) (problems []string) {
	r.each(func(x *session) {
		for _, s := range x.events {
			switch e := r.events[s.what]; {
			case e == nil:
				problems = append(problems, r.say(x, "heard %s, which nobody published", s.what))
			case e.outcome == refused:
				problems = append(problems, r.say(x, "heard %s, which was refused", s.what))
			case e.channel != x.channel:
				problems = append(problems, r.say(x, "heard %s, which was published to %s", s.what, e.channel))
			}
		}
	})
	return problems
}

// checkAnswers: a node that runs answers a publish within a second, whatever Redis
// does; a subscribe at once, unless it needs Redis, and then once all is well.
func checkAnswers(r *record) (problems []string) {
	const patience = time.Second
	late := (patience + slack).Microseconds()
	for _, e := range r.events {
		if e.to-e.from > late && !r.broken(e.node, e.from, e.from+late, slack, kill, freeze) {
			problems = append(problems, fmt.Sprintf("publishing %s on node %d at %s was answered at %s", e.id, e.node, r.at(e.from), r.at(e.to)))
		}
	}
	r.each(func(x *session) {
		until := min(x.began, x.to)
		switch needs := strings.HasPrefix(x.channel, "presence-"); {
		case x.began == never && x.to == never && r.calm != never:
			problems = append(problems, r.say(x, "was never answered"))
		case !needs && until != never && until-x.asked > late && !r.broken(x.conn.node, x.asked, x.asked+late, slack, kill, freeze):
			problems = append(problems, r.say(x, "was answered at %s", r.at(x.began)))
		}
	})
	return problems
}
