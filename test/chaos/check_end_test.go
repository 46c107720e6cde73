package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// tracked reports whether webhooks are told of a channel.
func tracked(channel string) bool { return strings.HasPrefix(channel, "p") }

// checkWebhooks: of each channel, and of each user in it, they tell of coming and
// going in turn, begin with coming, and end with the truth (4). What happened before
// Redis lost its data may be lost with it.
func checkWebhooks(r *record) (problems []string) {
	lost, found := r.lost()
	is, at := map[string]bool{}, map[string]int64{}
	for _, h := range r.hooks {
		k := h.key()
		known := at[k] > lost || h.happened < lost
		if known && is[k] == h.came() {
			problems = append(problems, fmt.Sprintf("%s of %s at %s: it was so before", h.name, k, r.at(h.happened)))
		}
		is[k], at[k] = h.came(), h.happened
	}
	if r.calm == never {
		return problems
	}
	truth := r.occupied()
	for _, k := range slices.Sorted(maps.Keys(r.edges())) {
		last := r.edges()[k]
		settled := lost == never || found != never && last > found+recovery.Microseconds()
		if settled && is[k] != truth[k] {
			problems = append(problems, fmt.Sprintf("webhooks end with %s there: %v, which is wrong since %s", k, is[k], r.at(last)))
		}
	}
	return problems
}

// occupied is, in the end, of what webhooks should have told that it came.
func (r *record) occupied() map[string]bool {
	is := map[string]bool{}
	r.each(func(x *session) {
		if x.to == never && tracked(x.channel) {
			is[x.channel+"|"] = true
			if x.user != "" {
				is[x.channel+"|"+x.user] = true
			}
		}
	})
	return is
}

// edges is when somebody last came or went, by what webhooks are about.
func (r *record) edges() map[string]int64 {
	last := map[string]int64{}
	r.each(func(x *session) {
		if !tracked(x.channel) {
			return
		}
		for _, t := range []int64{x.asked, x.to} {
			if t == never {
				continue
			}
			last[x.channel+"|"] = max(last[x.channel+"|"], t)
			if x.user != "" {
				last[x.channel+"|"+x.user] = max(last[x.channel+"|"+x.user], t)
			}
		}
	})
	return last
}

// checkVacated: nobody is told that a channel is empty, or a member gone, while
// somebody was there all the time through a node that nothing happened to (4).
func checkVacated(r *record) (problems []string) {
	for _, h := range r.hooks {
		if h.came() {
			continue
		}
		from := h.happened - debounce.Microseconds()
		r.each(func(x *session) {
			if x.channel != h.channel || h.user != "" && x.user != h.user || x.began >= from || x.to <= h.happened {
				return
			}
			if !r.broken(x.conn.node, from, h.happened, lease+recovery) {
				problems = append(problems, r.say(x, "%s of %s at %s while it was there", h.name, h.key(), r.at(h.happened)))
			}
		})
	}
	return problems
}

// checkState: what Redis has in the end is the sum of what was done (1, 2, 3, 8, 10).
func checkState(r *record) (problems []string) {
	s := r.state
	if s == nil || r.calm == never {
		return nil
	}
	problems = append(problems, s.wrongCounts(r.subscriptions())...)
	problems = append(problems, s.wrongOccupancy()...)
	problems = append(problems, s.wrongMembers(r.members())...)
	return append(problems, s.leftovers()...)
}

// subscriptions counts those that there are in the end.
func (r *record) subscriptions() map[string]int {
	n := map[string]int{}
	r.each(func(x *session) {
		if x.to == never {
			n[x.channel]++
		}
	})
	return n
}

func (s *state) wrongCounts(truth map[string]int) (problems []string) {
	sum := map[string]int{}
	for inc := range s.Living {
		for ch, n := range s.Counts[inc] {
			if n <= 0 {
				problems = append(problems, fmt.Sprintf("%s has %d subscriptions to %s", inc, n, ch))
			}
			sum[ch] += n
		}
	}
	if !maps.Equal(sum, truth) {
		problems = append(problems, fmt.Sprintf("Redis counts the subscriptions %v, and there are %v", sum, truth))
	}
	return problems
}

func (s *state) wrongOccupancy() (problems []string) {
	want := map[string]map[string]int{}
	for inc := range s.Living {
		for ch := range s.Counts[inc] {
			if tracked(ch) {
				if want[ch] == nil {
					want[ch] = map[string]int{}
				}
				want[ch][inc] = 1
			}
		}
		marked := slices.Sorted(maps.Keys(s.Tracked[inc]))
		has := slices.Sorted(maps.Keys(s.Counts[inc]))
		has = slices.DeleteFunc(has, func(ch string) bool { return !tracked(ch) })
		if !slices.Equal(marked, has) {
			problems = append(problems, fmt.Sprintf("%s is marked for %v and has %v", inc, marked, has))
		}
	}
	for _, ch := range slices.Sorted(maps.Keys(union(want, s.Occupied))) {
		if !maps.Equal(want[ch], s.Occupied[ch]) {
			problems = append(problems, fmt.Sprintf("%s is occupied on %v, and subscribed to on %v", ch, s.Occupied[ch], want[ch]))
		}
	}
	return problems
}

func union[A, B any](a map[string]A, b map[string]B) map[string]bool {
	all := map[string]bool{}
	for k := range a {
		all[k] = true
	}
	for k := range b {
		all[k] = true
	}
	return all
}

func (s *state) wrongMembers(truth map[string][]string) (problems []string) {
	for _, ch := range slices.Sorted(maps.Keys(union(truth, s.Members))) {
		users := slices.Sorted(maps.Keys(s.Members[ch]))
		if !slices.Equal(users, truth[ch]) {
			problems = append(problems, fmt.Sprintf("Redis has the members %v in %s, and there are %v", users, ch, truth[ch]))
		}
		for u, incs := range s.Members[ch] {
			for _, inc := range incs {
				if _, lives := s.Living[inc]; !lives || s.Counts[inc][ch] == 0 {
					problems = append(problems, fmt.Sprintf("%s is in %s on %s, which has no subscription to it", u, ch, inc))
				}
			}
		}
	}
	return problems
}

func (s *state) leftovers() (problems []string) {
	for _, list := range []map[string]bool{union(s.Leases, s.Counts), union(s.Tracked, s.Tracked)} {
		for inc := range list {
			if _, lives := s.Living[inc]; !lives {
				problems = append(problems, "left over: keys of "+inc)
			}
		}
	}
	if s.Timers+s.Webhooks+s.HandedOut > 0 {
		problems = append(problems, fmt.Sprintf("left over: %d timers, %d webhooks of which %d are handed out", s.Timers, s.Webhooks, s.HandedOut))
	}
	return problems
}
