package model

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// judge says what is wrong with a story in whatever state it is.
func (s *story) judge() (problems []string) {
	for _, l := range s.lives {
		problems = append(problems, s.judgeLife(l)...)
		problems = append(problems, s.judgeLimit(l)...)
	}
	s.each(func(x *session) {
		ref := s.referenceFor(x)
		found := append(x.problems, s.judgeEvents(x)...)
		found = append(found, x.judgeMembers()...)
		found = append(found, s.judgeCached(x)...)
		if ref != nil {
			found = append(found, s.judgeAgainst(ref, x)...)
		} else {
			found = append(found, s.judgeComplete(x)...)
		}
		for _, text := range found {
			problems = append(problems, x.say(text))
		}
	})
	return append(problems, s.judgeOrder()...)
}

// say tells a problem with what it is about.
func (x *session) say(text string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s) in %s: %s\n\t< %s\n", x.life.client, x.life.id, x.ch, text, x.began.raw)
	const most = 30
	if x.cached != nil {
		fmt.Fprintf(&b, "\tcached %s\n", x.cached)
	}
	for _, e := range x.heard[max(0, len(x.heard)-most):] {
		fmt.Fprintf(&b, "\t< %s\n", e.raw)
	}
	return b.String()
}

// judgeLife judges what needs no channel: forms, and how the connection ended.
func (s *story) judgeLife(l *told) (problems []string) {
	for _, e := range l.log {
		if e.bad != nil {
			problems = append(problems, fmt.Sprintf("%s heard what is no good frame: %v\n\t%s", l.client, e.bad, e.raw))
		}
	}
	if l.code != 0 && !l.left && !(l.code == 4009 && s.mayEnd(l)) {
		problems = append(problems, fmt.Sprintf("%s was closed with %d", l.client, l.code))
	}
	return problems
}

// user is who a connection has asked to be signed in as, and when it heard that it
// is: at the end of its log if it has not.
func (l *told) user() (user string, success entry, is bool) {
	for _, e := range l.log {
		switch {
		case e.sent != nil && e.sent.verb == "signin" && user == "":
			user = e.sent.user
		case e.sent == nil && e.event == evSignedIn && !is:
			success, is = e, true
		}
	}
	return user, success, is
}

// mayEnd reports whether somebody may have ended the user's connections while this one
// was open (PROTOCOL 4.20).
func (s *story) mayEnd(l *told) bool {
	user, _, _ := l.user()
	return slices.ContainsFunc(s.terminated, func(t termination) bool { return t.user == user && t.to.After(l.opened) })
}

// judgeLimit wants nobody to be refused for the limit of members while fewer others
// can have been in the channel (PROTOCOL 2.39a). An answer is not that of an earlier
// subscribe than one for each answer before it.
func (s *story) judgeLimit(l *told) (problems []string) {
	answers := map[string]int{}
	for _, e := range l.log {
		if e.sent != nil || e.event != evSucceeded && e.event != evRefused {
			continue
		}
		n, asked := answers[e.channel], l.subscribes(s.round, e.channel)
		answers[e.channel]++
		if e.code != tooMany || n >= len(asked) {
			continue
		}
		if others := s.mayBeIn(l, e.channel, asked[n].at, e.at); len(others) < s.app.memLimit {
			problems = append(problems, fmt.Sprintf("%s was refused in %s while only %v can have been there", l.client, e.channel, others))
		}
	}
	return problems
}

// mayBeIn lists the users whom others than l can have made members of a channel at some
// time between from and to.
func (s *story) mayBeIn(l *told, ch string, from, to time.Time) (users []string) {
	calm := time.Time{} // what happened before it had its effect before from
	for _, c := range s.calms {
		if c.Before(from) {
			calm = c
		}
	}
	for _, other := range s.lives {
		if other == l || !other.ended.IsZero() && other.ended.Before(calm) {
			continue
		}
		asks := other.asks(s.round, ch)
		for i, e := range asks {
			left := slices.ContainsFunc(asks[i:], func(e entry) bool { return e.sent.verb == "unsubscribe" && e.at.Before(calm) })
			if e.sent.verb == "subscribe" && e.at.Before(to) && !left {
				users = append(users, e.sent.user)
			}
		}
	}
	return unique(users)
}

// judgeEvents wants every event once, and none where it does not belong (PROTOCOL
// 3.6, 5.22).
func (s *story) judgeEvents(x *session) (problems []string) {
	seen := map[string]bool{}
	if x.cached != nil {
		seen[eventID(*x.cached)] = true
	}
	for _, f := range x.eventsOf() {
		e := s.event(f)
		switch id := eventID(f); {
		case e == nil:
			problems = append(problems, "nobody published "+f.String())
		case seen[id]:
			problems = append(problems, "heard twice: "+f.String())
		case !e.isFor(x.life):
			problems = append(problems, "not meant for it: "+f.String())
		default:
			seen[id] = true
		}
	}
	return problems
}

// judgeMembers wants every change of members to be one (PROTOCOL 2.36–2.38).
func (x *session) judgeMembers() (problems []string) {
	if !kindOf(x.ch).presence {
		return nil
	}
	view := newView(x.began.data)
	if !slices.ContainsFunc(x.life.subscribes(roundOf(x.ch), x.ch), func(e entry) bool { return view[e.sent.user] != "" }) {
		problems = append(problems, "the joiner is not in the snapshot")
	}
	for _, f := range x.membersOf() {
		if !view.change(f) {
			problems = append(problems, "is no change: "+f.String())
		}
	}
	return problems
}

// roundOf is the round in a channel's full name.
func roundOf(ch string) string {
	round, _, _ := strings.Cut(strings.TrimPrefix(ch, kindOf(ch).prefix), "-")
	return round
}

// view is who is in a presence channel, as one connection knows: info by user.
type view map[string]string

func newView(hash string) view {
	v := view{}
	members, _ := rawJSON(hash).(map[string]any)
	for user, info := range members {
		v[user] = plainJSON(info)
	}
	return v
}

// change makes a change, and reports whether it is one.
func (v view) change(f frame) bool {
	d, _ := rawJSON(f.data).(map[string]any)
	user := fmt.Sprint(d["user_id"])
	_, known := v[user]
	if f.event == evRemoved {
		delete(v, user)
		return known
	}
	v[user] = plainJSON(d["user_info"])
	return !known
}

func (v view) String() string { return plainJSON(map[string]string(v)) }

// judgeCached wants a cached event that is not older than what was published before
// it was asked for (PROTOCOL 2.40, 2.43, 2.44).
func (s *story) judgeCached(x *session) (problems []string) {
	if x.cached == nil {
		if kindOf(x.ch).cache && x.openEnd {
			return []string{"there is no cached event, and no cache_miss"}
		}
		return nil
	}
	e := s.event(*x.cached)
	if x.cached.event != evMiss && (e == nil || e.sender != "") {
		return []string{"a backend never published " + x.cached.String()}
	}
	for _, newer := range s.events {
		if s.nodes > 1 { // the newer one may still be on its way to this node, and comes then
			break
		}
		if newer.channel != x.ch || newer.sender != "" || newer.to.IsZero() || newer.to.After(x.asked) {
			continue
		}
		if e == nil || !e.to.IsZero() && newer.from.After(e.to) {
			problems = append(problems, fmt.Sprintf("the cached event is older than %s, which was published before", newer.id))
		}
	}
	return problems
}

// has reports whether a session heard an event after its beginning.
func (x *session) has(id string) bool {
	return slices.ContainsFunc(x.eventsOf(), func(f frame) bool { return eventID(f) == id })
}

// judgeComplete wants, where no witness knows the order, what was published while a
// session that goes on had begun.
func (s *story) judgeComplete(x *session) (problems []string) {
	if !x.openEnd {
		return nil
	}
	for _, e := range s.missing(x) {
		if e.from.After(x.began.at) {
			problems = append(problems, "never heard "+e.id)
		}
	}
	return problems
}

// missing lists the backends' events that a session has not heard and should, had it
// begun in time.
func (s *story) missing(x *session) (list []*event) {
	for _, e := range s.events {
		if e.channel == x.ch && e.sender == "" && !e.to.IsZero() && e.isFor(x.life) && !x.has(e.id) {
			list = append(list, e)
		}
	}
	return byTime(list)
}

// judgeAgainst wants what a session heard to be a piece of what the witness heard,
// without gaps, and up to the end if it goes on: of the events, and of the changes of
// members. Between the two there is no order over several nodes.
func (s *story) judgeAgainst(ref, x *session) (problems []string) {
	if !s.eventsFit(ref, x) {
		problems = append(problems, "its events are no piece of what the witness heard:"+lines(ref.eventsOf()))
	}
	if kindOf(x.ch).presence && !membersFit(ref, x) {
		problems = append(problems, "its members do not add up with what the witness heard:\n\t\t"+ref.began.data+lines(ref.membersOf()))
	}
	return problems
}

func lines(frames []frame) string {
	var b strings.Builder
	for _, f := range frames {
		b.WriteString("\n\t\t" + f.String())
	}
	return b.String()
}

// eventsFit looks for the place in the witness' order at which a session can have
// begun.
func (s *story) eventsFit(ref, x *session) bool {
	order, heard := ref.eventsOf(), x.eventsOf()
	kept := ref.cached // the backends' last event before the place
	least := x.life.heardBefore(x, order)
	for begin := 0; ; begin++ {
		if begin >= least && (x.cached == nil || kept == nil || *x.cached == *kept) {
			if s.begins(order, begin, x) && isPiece(s.meant(order[begin:], x.life), heard, x.openEnd) {
				return true
			}
		}
		if begin == len(order) {
			return false
		}
		if e := s.event(order[begin]); e != nil && e.sender == "" {
			kept = &order[begin]
		}
	}
}

// heardBefore is how far in the witness' order a connection had come in sessions before
// this one.
func (l *told) heardBefore(x *session, order []frame) (n int) {
	for _, y := range l.sessions[x.ch] {
		if y == x {
			break
		}
		for _, f := range y.eventsOf() {
			n = max(n, slices.Index(order, f)+1)
		}
	}
	return n
}

// begins reports whether a session can have begun before the begin-th event: not after
// one that was published once it had, and not before one that was published when it
// had not been asked for (PROTOCOL 2.11), unless that may have been on its way from
// another node. Of several nodes one may hear of an event a
// moment after its publisher was answered: there the latter may be.
func (s *story) begins(order []frame, begin int, x *session) bool {
	for i, f := range order {
		e := s.event(f)
		if e == nil {
			continue
		}
		if i < begin && e.from.After(x.began.at) || i >= begin && s.nodes == 1 && !e.to.IsZero() && e.to.Before(x.asked) {
			return false
		}
	}
	return true
}

// meant lists the events that a connection is to get.
func (s *story) meant(order []frame, l *told) (list []frame) {
	for _, f := range order {
		if e := s.event(f); e == nil || e.isFor(l) {
			list = append(list, f)
		}
	}
	return list
}

// isPiece reports whether frames begins with heard, and ends with it too if whole.
func isPiece(frames, heard []frame, whole bool) bool {
	return len(heard) <= len(frames) && slices.Equal(frames[:len(heard)], heard) && (!whole || len(heard) == len(frames))
}

func membersFit(ref, x *session) bool {
	changes, heard := ref.membersOf(), x.membersOf()
	now, snapshot := newView(ref.began.data), newView(x.began.data).String()
	for begin := 0; ; begin++ {
		if now.String() == snapshot && isPiece(changes[begin:], heard, x.openEnd) {
			return true
		}
		if begin == len(changes) {
			return false
		}
		now.change(changes[begin])
	}
}
