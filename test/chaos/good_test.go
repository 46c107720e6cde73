package chaos

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

// teller writes histories down as they would be: at a time in ms.
type teller struct{ list []entry }

func (t *teller) at(ms int64, e entry) {
	e.At = ms * 1000
	t.list = append(t.list, e)
}

// join tells of a connection with one subscription.
func (t *teller) join(ms int64, as string, node int, channel, user string, members ...string) {
	t.at(ms, entry{Kind: opened, Conn: as, Node: node})
	t.at(ms+10, entry{Kind: subscribe, Conn: as, Channel: channel, User: user})
	t.at(ms+20, entry{Kind: subscribed, Conn: as, Channel: channel, Members: members})
}

// event tells of an event that everybody hears.
func (t *teller) event(ms int64, kind, id, channel string, node int, conns ...string) {
	t.at(ms, entry{Kind: kind, ID: id, Channel: channel, Node: node})
	for _, c := range conns {
		t.at(ms+5, entry{Kind: heard, Conn: c, Channel: channel, ID: id})
	}
	t.at(ms+10, entry{Kind: published, ID: id})
}

func (t *teller) hook(ms int64, name, channel, user string) {
	t.at(ms+100, entry{Kind: webhook, ID: "0-" + strconv.FormatInt(ms, 10) + "-0", Name: name, Channel: channel, User: user})
}

// goodHistory is of two nodes, of which the second dies while bob is on it. Ann and cy
// watch from the first.
func goodHistory() []entry {
	const ch = "presence-a"
	t := &teller{}
	t.join(1000, "ann.1", 1, ch, "ann", "ann")
	t.hook(1015, "channel_occupied", ch, "")
	t.hook(1016, "member_added", ch, "ann")
	t.join(1100, "bob.1", 2, ch, "bob", "ann", "bob")
	t.at(1121, entry{Kind: added, Conn: "ann.1", Channel: ch, User: "bob"})
	t.hook(1115, "member_added", ch, "bob")
	t.join(1200, "cy.1", 1, ch, "cy", "ann", "bob", "cy")
	for _, c := range []string{"ann.1", "bob.1"} {
		t.at(1221, entry{Kind: added, Conn: c, Channel: ch, User: "cy"})
	}
	t.hook(1215, "member_added", ch, "cy")
	t.join(1300, "dan.1", 1, "room-a", "")
	for i, id := range []string{"e1", "e2", "e3"} {
		t.event(2000+int64(i)*100, publishing, id, ch, 1+i%2, "ann.1", "bob.1", "cy.1")
	}
	t.event(2400, publishing, "e4", "room-a", 2, "dan.1")
	t.at(2500, entry{Kind: publishing, ID: "e5", Channel: ch, Node: 2})
	t.at(2510, entry{Kind: refused, ID: "e5"})
	t.at(10_000, entry{Kind: fault, Name: kill, Node: 2})
	t.at(10_001, entry{Kind: closed, Conn: "bob.1", Code: 1006})
	for _, c := range []string{"ann.1", "cy.1"} {
		t.at(13_000, entry{Kind: removed, Conn: c, Channel: ch, User: "bob"})
	}
	t.at(13_500, entry{Kind: heal, Name: kill, Node: 2})
	t.hook(16_000, "member_removed", ch, "bob")
	t.at(30_000, entry{Kind: calm})
	t.at(30_100, entry{Kind: observed, State: &state{
		Living:   map[string]int64{"n1.1": 1, "n2.1": 1},
		Leases:   map[string]int{"n1.1": 1, "n2.1": 1},
		Counts:   map[string]map[string]int{"n1.1": {ch: 2, "room-a": 1}},
		Tracked:  map[string]map[string]int{"n1.1": {ch: 1}},
		Occupied: map[string]map[string]int{ch: {"n1.1": 1}},
		Members:  map[string]map[string][]string{ch: {"ann": {"n1.1"}, "cy": {"n1.1"}}},
	}})
	t.event(30_200, lastWord, "e6", ch, 2, "ann.1", "cy.1")
	return t.list
}

// find returns the first entry that has everything that like has.
func find(list []entry, like entry) *entry {
	for i := range list {
		e := &list[i]
		if e.Kind == like.Kind && (like.Conn == "" || e.Conn == like.Conn) && (like.ID == "" || e.ID == like.ID) &&
			(like.User == "" || e.User == like.User) && (like.Name == "" || e.Name == like.Name) && (like.Channel == "" || e.Channel == like.Channel) {
			return e
		}
	}
	panic("no such entry")
}

// without is a history without an entry.
func without(list []entry, like entry) []entry {
	gone := find(list, like)
	return slices.DeleteFunc(list, func(e entry) bool {
		return e.At == gone.At && e.Kind == gone.Kind && e.Conn == gone.Conn && e.ID == gone.ID
	})
}

// with is a history with one more, in its place.
func with(list []entry, ms int64, e entry) []entry {
	e.At = ms * 1000
	list = append(list, e)
	slices.SortStableFunc(list, func(a, b entry) int { return int(a.At - b.At) })
	return list
}

// TestCheck: a good history is good, and each way of spoiling it is found.
func TestCheck(t *testing.T) {
	t.Parallel()
	const ch = "presence-a"
	if problems := check(goodHistory()); len(problems) > 0 {
		t.Fatalf("a good history: %s", strings.Join(problems, "\n"))
	}
	own := func(change func(s *state)) func([]entry) []entry {
		return func(list []entry) []entry {
			change(find(list, entry{Kind: observed}).State)
			return list
		}
	}
	for name, c := range map[string]struct {
		spoil func([]entry) []entry
		want  string
	}{
		"closed by a node that lives": {func(l []entry) []entry {
			return with(l, 5000, entry{Kind: closed, Conn: "dan.1", Code: 4200})
		}, "was closed with 4200"},
		"not in its own snapshot": {func(l []entry) []entry {
			find(l, entry{Kind: subscribed, Conn: "cy.1"}).Members = []string{"ann", "bob"}
			return l
		}, "cy is not in the snapshot"},
		"added twice": {func(l []entry) []entry {
			return with(l, 5000, entry{Kind: added, Conn: "ann.1", Channel: ch, User: "bob"})
		}, "bob was added at 4s and was so before"},
		"removed and not there": {func(l []entry) []entry {
			return with(l, 5000, entry{Kind: removed, Conn: "ann.1", Channel: ch, User: "eve"})
		}, "eve was removed"},
		"removed and there": {func(l []entry) []entry {
			l = with(l, 26_000, entry{Kind: removed, Conn: "ann.1", Channel: ch, User: "cy"})
			return with(l, 26_500, entry{Kind: added, Conn: "ann.1", Channel: ch, User: "cy"})
		}, "cy was removed at 25s and is there by cy.1 on node 1"},
		"a ghost, and a wrong view": {func(l []entry) []entry {
			return without(l, entry{Kind: removed, Conn: "cy.1"})
		}, "bob was on node 2, which died at 9s, and was not removed"},
		"a late removal": {func(l []entry) []entry {
			return with(without(l, entry{Kind: removed, Conn: "cy.1"}), 17_000, entry{Kind: removed, Conn: "cy.1", Channel: ch, User: "bob"})
		}, "and was not removed"},
		"a wrong view in the end": {func(l []entry) []entry {
			return with(l, 29_000, entry{Kind: removed, Conn: "cy.1", Channel: ch, User: "ann"})
		}, "knows the members [cy], and there are [ann cy]"},
		"another order": {func(l []entry) []entry {
			a, b := find(l, entry{Kind: heard, Conn: "cy.1", ID: "e1"}), find(l, entry{Kind: heard, Conn: "cy.1", ID: "e2"})
			a.ID, b.ID = b.ID, a.ID
			return l
		}, "the other way round"},
		"heard twice": {func(l []entry) []entry {
			return with(l, 2450, entry{Kind: heard, Conn: "dan.1", Channel: "room-a", ID: "e4"})
		}, "heard e4 twice"},
		"never heard": {func(l []entry) []entry {
			return without(l, entry{Kind: heard, Conn: "cy.1", ID: "e2"})
		}, "never heard e2"},
		"the last word is not heard": {func(l []entry) []entry {
			return without(l, entry{Kind: heard, Conn: "cy.1", ID: "e6"})
		}, "never heard e6"},
		"refused and heard": {func(l []entry) []entry {
			return with(l, 2512, entry{Kind: heard, Conn: "cy.1", Channel: ch, ID: "e5"})
		}, "heard e5, which was refused"},
		"published by nobody": {func(l []entry) []entry {
			return with(l, 2512, entry{Kind: heard, Conn: "cy.1", Channel: ch, ID: "e99"})
		}, "nobody published"},
		"in another channel": {func(l []entry) []entry {
			return with(l, 2512, entry{Kind: heard, Conn: "cy.1", Channel: ch, ID: "e4"})
		}, "published to room-a"},
		"an error of the API": {func(l []entry) []entry {
			e := find(l, entry{Kind: refused})
			e.Kind, e.Name = failed, "500"
			return l
		}, "publishing e5 ended with 500"},
		"a publish that hangs": {func(l []entry) []entry {
			find(l, entry{Kind: refused}).At = 6_000_000
			return l
		}, "publishing e5 on node 2 at 1.5s was answered at 5s"},
		"a subscribe that hangs": {func(l []entry) []entry {
			find(l, entry{Kind: subscribed, Conn: "dan.1"}).At = 5_000_000
			return l
		}, "was answered at 4s"},
		"a join without an answer": {func(l []entry) []entry {
			return without(l, entry{Kind: subscribed, Conn: "cy.1"})
		}, "was never answered"},
		"an unknown frame": {func(l []entry) []entry {
			return with(l, 5000, entry{Kind: unexpected, Conn: "cy.1", Name: "pusher:error"})
		}, "cy.1 heard pusher:error"},
		"a webhook twice": {func(l []entry) []entry {
			return with(l, 5000, entry{Kind: webhook, ID: "0-5000-0", Name: "channel_occupied", Channel: ch})
		}, "channel_occupied of presence-a| at 4s: it was so before"},
		"a webhook that is missing": {func(l []entry) []entry {
			return without(l, entry{Kind: webhook, Name: "member_removed"})
		}, "webhooks end with presence-a|bob there: true"},
		"a member that did not go": {func(l []entry) []entry {
			l = with(l, 25_000, entry{Kind: webhook, ID: "0-25000-0", Name: "member_removed", Channel: ch, User: "ann"})
			return with(l, 26_000, entry{Kind: webhook, ID: "0-26000-0", Name: "member_added", Channel: ch, User: "ann"})
		}, "member_removed of presence-a|ann at 24s while it was there"},
		"a node that stays away": {func(l []entry) []entry {
			return with(l, 31_000, entry{Kind: unreachable, Node: 2})
		}, "node 2 does not answer"},
		"a wrong count":        {own(func(s *state) { s.Counts["n1.1"][ch] = 3 }), "Redis counts"},
		"a negative count":     {own(func(s *state) { s.Counts["n1.1"][ch] = -1 }), "has -1 subscriptions"},
		"a count of nobody":    {own(func(s *state) { s.Counts["n0.1"] = map[string]int{ch: 1} }), "left over: keys of n0.1"},
		"a mark too many":      {own(func(s *state) { s.Tracked["n2.1"] = map[string]int{ch: 1} }), "n2.1 is marked for [presence-a] and has []"},
		"occupied by the dead": {own(func(s *state) { s.Occupied[ch]["n0.1"] = 1 }), "is occupied on"},
		"a member too many":    {own(func(s *state) { s.Members[ch]["bob"] = []string{"n1.1"} }), "Redis has the members"},
		"a member of the dead": {own(func(s *state) { s.Members[ch]["cy"] = []string{"n1.1", "n0.1"} }), "cy is in presence-a on n0.1"},
		"a lease of the dead":  {own(func(s *state) { s.Leases["n0.1"] = 1 }), "left over: keys of n0.1"},
		"timers":               {own(func(s *state) { s.Timers = 1 }), "left over: 1 timers"},
		"webhooks":             {own(func(s *state) { s.Webhooks, s.HandedOut = 2, 1 }), "2 webhooks of which 1 are handed out"},
	} {
		t.Run(name, func(t *testing.T) {
			problems := check(c.spoil(goodHistory()))
			if !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, c.want) }) {
				t.Errorf("found %q, want %q", problems, c.want)
			}
		})
	}
}

// TestCheckForgives: what a fault explains is no problem.
func TestCheckForgives(t *testing.T) {
	t.Parallel()
	const ch = "presence-a"
	broken := func(l []entry, name string, node int, from, to int64) []entry {
		return with(with(l, from, entry{Kind: fault, Name: name, Node: node}), to, entry{Kind: heal, Name: name, Node: node})
	}
	for name, spoil := range map[string]func([]entry) []entry{
		"an event that was missed": func(l []entry) []entry {
			return broken(without(l, entry{Kind: heard, Conn: "cy.1", ID: "e2"}), cut, 1, 1950, 2050)
		},
		"an event that nobody knows of": func(l []entry) []entry {
			find(l, entry{Kind: refused}).Kind = uncertain
			return with(l, 2600, entry{Kind: heard, Conn: "cy.1", Channel: ch, ID: "e5"})
		},
		"an answer of a frozen node": func(l []entry) []entry {
			find(l, entry{Kind: refused}).At = 6_000_000
			return broken(l, freeze, 2, 2400, 5900)
		},
		"webhooks that were lost": func(l []entry) []entry {
			l = without(l, entry{Kind: webhook, Name: "member_added", User: "bob"})
			return broken(without(l, entry{Kind: webhook, Name: "member_removed"}), wipe, 0, 14_000, 15_000)
		},
		"a webhook that is told twice": func(l []entry) []entry {
			return with(l, 5000, *find(l, entry{Kind: webhook, Name: "channel_occupied"}))
		},
		"a user who is back on another node": func(l []entry) []entry {
			l = slices.DeleteFunc(l, func(e entry) bool { return e.Kind == removed || e.Name == "member_removed" })
			t := &teller{l}
			t.join(10_500, "bob.2", 1, ch, "bob", "ann", "bob", "cy")
			s := find(t.list, entry{Kind: observed}).State
			s.Counts["n1.1"][ch], s.Members[ch]["bob"] = 3, []string{"n1.1"}
			for _, id := range []string{"e6"} {
				t.at(30_205, entry{Kind: heard, Conn: "bob.2", Channel: ch, ID: id})
			}
			slices.SortStableFunc(t.list, func(a, b entry) int { return int(a.At - b.At) })
			return t.list
		},
	} {
		t.Run(name, func(t *testing.T) {
			if problems := check(spoil(goodHistory())); len(problems) > 0 {
				t.Error(strings.Join(problems, "\n"))
			}
		})
	}
}
