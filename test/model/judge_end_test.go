package model

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// judgeOrder wants one order of a channel's events that suits all who heard them
// (PITFALLS 16), be there a witness or not.
func (s *story) judgeOrder() (problems []string) {
	after := map[string]map[eventKey][]eventKey{} // by channel: which events somebody heard right after another
	s.each(func(x *session) {
		if after[x.ch] == nil {
			after[x.ch] = map[eventKey][]eventKey{}
		}
		var before *eventKey
		for _, f := range x.eventsOf() {
			key := eventKey{x.ch, eventID(f)}
			if before != nil {
				after[x.ch][*before] = append(after[x.ch][*before], key)
			}
			before = &key
		}
	})
	for _, ch := range slices.Sorted(maps.Keys(after)) {
		if circle := findCircle(after[ch]); circle != nil {
			problems = append(problems, fmt.Sprintf("nobody can say in which order %s had these: %v", ch, circle))
		}
	}
	return append(problems, s.judgePublishers()...)
}

// findCircle returns nodes of a graph that lead to each other, nil if there are none.
func findCircle(next map[eventKey][]eventKey) (circle []string) {
	const visiting, done = 1, 2
	state := map[eventKey]int{}
	var visit func(eventKey) bool
	visit = func(k eventKey) bool {
		state[k] = visiting
		for _, n := range next[k] {
			if state[n] == visiting || state[n] == 0 && visit(n) {
				circle = append(circle, n.id)
				return true
			}
		}
		state[k] = done
		return false
	}
	for k := range next {
		if state[k] == 0 && visit(k) {
			return circle
		}
	}
	return nil
}

// judgePublishers wants events in the order in which they were published, where one
// was done before the other began, and those of a batch in its order (PROTOCOL 5.32).
func (s *story) judgePublishers() (problems []string) {
	s.each(func(x *session) {
		list := x.eventsOf()
		for i := 1; i < len(list); i++ {
			before, e := s.event(list[i-1]), s.event(list[i])
			if before != nil && e != nil && s.precedes(e, before) {
				problems = append(problems, x.say(e.id+" was published before "+before.id))
			}
		}
	})
	return problems
}

// precedes reports whether an event was surely published before another.
func (s *story) precedes(e, other *event) bool {
	op, i, _ := strings.Cut(e.id, ".")
	otherOp, j, _ := strings.Cut(other.id, ".")
	return !e.to.IsZero() && e.to.Before(other.from) || op == otherOp && e.sender == "" && i < j
}

// judgeEnd says what is wrong once nothing is on its way.
func (s *story) judgeEnd() (problems []string) {
	s.each(func(x *session) {
		if x.openEnd && !kindOf(x.ch).presence {
			problems = append(problems, s.judgeCount(x)...)
		}
	})
	for _, l := range s.lives {
		if l.open() {
			problems = append(problems, s.judgeAnswers(l)...)
			problems = append(problems, s.judgeWatchlist(l)...)
			problems = append(problems, s.judgeTerminated(l)...)
		}
	}
	return append(problems, s.judgeRosters()...)
}

// judgeCount wants the count of subscriptions to have returned to the truth.
func (s *story) judgeCount(x *session) (problems []string) {
	if !s.app.counts || kindOf(x.ch).own {
		return nil
	}
	truth := 0
	s.each(func(other *session) {
		if other.ch == x.ch && other.openEnd {
			truth++
		}
	})
	last := frame{}
	for _, e := range x.heard {
		if e.event == evCount {
			last = e.frame
		}
	}
	if want := countFrame(x.ch, truth); last != want {
		problems = append(problems, x.say(fmt.Sprintf("the last count is %s, want %s", last, want)))
	}
	return problems
}

// judgeRosters wants everybody in a presence channel to know the same members, and
// the limit to hold.
func (s *story) judgeRosters() (problems []string) {
	truth := map[string]map[string]bool{}
	views := map[string]string{}
	s.each(func(x *session) {
		if x.openEnd && kindOf(x.ch).presence {
			if truth[x.ch] == nil {
				truth[x.ch] = map[string]bool{}
			}
			truth[x.ch][x.life.userIn(s.round, x.ch)] = true
		}
	})
	s.each(func(x *session) {
		if !x.openEnd || !kindOf(x.ch).presence {
			return
		}
		v := newView(x.began.data)
		for _, f := range x.membersOf() {
			v.change(f)
		}
		users := slices.Sorted(maps.Keys(v))
		switch want := slices.Sorted(maps.Keys(truth[x.ch])); {
		case !slices.Equal(users, want):
			problems = append(problems, x.say(fmt.Sprintf("it knows the members %v, want %v", users, want)))
		case views[x.ch] != "" && views[x.ch] != v.String():
			problems = append(problems, x.say("another knows other info of the members: "+views[x.ch]))
		case len(users) > s.app.memLimit:
			problems = append(problems, x.say("more members than may be"))
		}
		views[x.ch] = v.String()
	})
	return problems
}

// judgeAnswers wants the answers that do not depend on others, of a connection that
// lives: none missing, none too many (PROTOCOL 2.24–2.26, 3.4). Where the members are
// few, others decide.
func (s *story) judgeAnswers(l *told) (problems []string) {
	errors := map[string]int{}
	for _, e := range l.log {
		if e.sent == nil && e.event == evError {
			errors[e.data]++
		}
	}
	for _, ch := range s.asked(l) {
		k := kindOf(ch)
		if k.own || k.presence && s.app.memLimit < 100 {
			continue
		}
		in, want := wantAnswers(ch, l.asks(s.round, ch))
		if is := slices.ContainsFunc(l.sessions[ch], func(x *session) bool { return x.openEnd }); is != in {
			problems = append(problems, fmt.Sprintf("%s: subscribed to %s: %v, want %v", l.client, ch, is, in))
		}
		for text, n := range want {
			if errors[text] != n {
				problems = append(problems, fmt.Sprintf("%s heard %d times %q, want %d", l.client, errors[text], text, n))
			}
		}
		problems = append(problems, s.judgeSent(l, ch, errors)...)
	}
	return problems
}

// wantAnswers says where a connection's subscribes and unsubscribes lead, and how often
// each error answers them.
func wantAnswers(ch string, asks []entry) (in bool, errors map[string]int) {
	again := "Existing subscription to channel " + ch
	not := "No current subscription to channel " + ch + ", or subscription in progress"
	errors = map[string]int{again: 0, not: 0}
	for _, e := range asks {
		subscribe := e.sent.verb == "subscribe"
		switch {
		case in && subscribe:
			errors[again]++
		case !in && !subscribe:
			errors[not]++
		}
		in = subscribe
	}
	return in, errors
}

// asked lists the channels that a connection asked for.
func (s *story) asked(l *told) (names []string) {
	for _, e := range l.log {
		if e.sent != nil && e.sent.verb == "subscribe" {
			names = append(names, fullName(s.round, e.sent.ch))
		}
	}
	return unique(names)
}

// judgeSent wants each client event to have reached the witness, or to have been
// refused.
func (s *story) judgeSent(l *told, ch string, errors map[string]int) (problems []string) {
	ref := s.reference(ch)
	if ref == nil || !kindOf(ch).private {
		return nil
	}
	sent, reached := 0, 0
	for _, e := range l.log {
		if e.sent != nil && e.sent.verb == "event" && fullName(s.round, e.sent.ch) == ch && e.at.After(ref.began.at) {
			sent++
		}
	}
	for _, f := range ref.eventsOf() {
		if e := s.event(f); e != nil && e.sender == l.id {
			reached++
		}
	}
	refused := errors["Cannot broadcast client event (connection not subscribed to channel "+ch+")"]
	if sent != reached+refused {
		problems = append(problems, fmt.Sprintf("%s sent %d client events to %s: %d arrived, %d were refused", l.client, sent, ch, reached, refused))
	}
	return problems
}

// judgeTerminated wants nobody to live on who was signed in when all of the user's
// connections were to end (PROTOCOL 4.20).
func (s *story) judgeTerminated(l *told) (problems []string) {
	user, success, is := l.user()
	for _, t := range s.terminated {
		if is && t.user == user && t.from.After(success.at) {
			problems = append(problems, fmt.Sprintf("%s lives on as %s, whose connections were ended", l.client, user))
		}
	}
	return problems
}

// judgeWatchlist wants messages about a watchlist to be changes, and to end with the
// truth (PROTOCOL 4.25–4.29). A first message has all users, of which there are two
// at least.
func (s *story) judgeWatchlist(l *told) (problems []string) {
	now, want := map[string]bool{}, []string(nil)
	for _, e := range l.log {
		switch {
		case e.sent != nil && e.sent.verb == "signin" && e.sent.how == "":
			want = list(e.sent.watch)
		case e.sent == nil && e.event == evWatchlist:
			if text := watchChange(now, e.frame); text != "" {
				problems = append(problems, fmt.Sprintf("%s: %s: %s", l.client, text, e.raw))
			}
		}
	}
	if !s.app.watchlists || len(want) < 2 {
		return problems
	}
	truth := map[string]bool{}
	for _, u := range want {
		truth[u] = s.online(u)
	}
	if !maps.Equal(now, truth) {
		problems = append(problems, fmt.Sprintf("%s knows of its watchlist %v, want %v", l.client, now, truth))
	}
	return problems
}

// watchChange makes a message about a watchlist true and says what is wrong with it.
func watchChange(now map[string]bool, f frame) string {
	online, offline, err := parseWatch(f.data)
	if err != nil {
		return err.Error()
	}
	users := append(slices.Clone(online), offline...)
	if len(users) > 1 {
		clear(now)
	} else if was, known := now[users[0]]; !known || was == (len(online) > 0) {
		return "is no change"
	}
	for _, u := range users {
		now[u] = slices.Contains(online, u)
	}
	return ""
}

func (s *story) online(user string) bool {
	return slices.ContainsFunc(s.lives, func(l *told) bool {
		who, _, is := l.user()
		return l.open() && is && who == user
	})
}
