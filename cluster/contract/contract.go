// Package contract is the test that every cluster.Engine passes.
package contract

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"dunlin/cluster"
	"dunlin/protocol"
)

// Run tests engines that start makes, each new and not started.
func Run(t *testing.T, start func(t *testing.T) cluster.Engine) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *node)
	}{
		{"PublishInOrder", publishInOrder},
		{"OfferIsAPublish", offerIsAPublish},
		{"ElsewhereIsNotHere", elsewhereIsNotHere},
		{"CountsAreDesiredState", countsAreDesiredState},
		{"CountEventsEndInTheTruth", countEventsEndInTheTruth},
		{"ChannelsByPrefix", channelsByPrefix},
		{"JoinAndLeave", joinAndLeave},
		{"RosterOncePerAttach", rosterOncePerAttach},
		{"JoinTwiceCountsOnce", joinTwiceCountsOnce},
		{"LeaveWhileJoining", leaveWhileJoining},
		{"NoMoreMembersThanMayBe", func(t *testing.T, n *node) { membersWithin(t, n, n) }},
		{"VersionsGrowAcrossEmptiness", versionsGrowAcrossEmptiness},
		{"LastIsInOrderWithEvents", lastIsInOrderWithEvents},
		{"KeptForATime", keptForATime},
		{"WatchAndOnline", watchAndOnline},
		{"TerminateReachesTheHandler", terminateReachesTheHandler},
		{"ManyAtOnce", manyAtOnce},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, begin(t, start(t)))
		})
	}
}

// begin starts an engine and has it closed at the end of the test.
func begin(t *testing.T, e cluster.Engine) *node {
	t.Helper()
	n := &node{t: t, Engine: e, versions: make(map[protocol.ChannelKey]uint64)}
	if err := n.Start(n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
	n.stop = sync.OnceValue(e.Close)
	return n
}

// node is an engine and the handler that records what it is told.
type node struct {
	cluster.Engine
	t    *testing.T
	stop func() error // Close, once

	mu       sync.Mutex
	events   []string // "channel payload", or what a test notes between them
	members  []string // "+user" and "-user"
	at       []uint64 // versions of members
	versions map[protocol.ChannelKey]uint64
	online   []string // "user true"
	ended    []string
	counts   []int
	others   []string // "app connections"
}

func (n *node) Event(ch protocol.ChannelKey, m cluster.Message) {
	if !m.Except.IsZero() {
		n.note("but " + m.Except.String())
	}
	n.note(ch.Name + " " + string(m.Frame.Payload()))
}

func (n *node) note(s string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.events = append(n.events, s)
}

func (n *node) Member(ch protocol.ChannelKey, c cluster.MemberChange) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if before := n.versions[ch]; c.Version <= before {
		n.t.Errorf("version %d of %s after %d", c.Version, ch.Name, before)
	}
	n.versions[ch] = c.Version
	sign := "-"
	if c.Added {
		sign = "+"
	}
	n.members, n.at = append(n.members, sign+c.Member.ID), append(n.at, c.Version)
}

func (n *node) Detached() { n.note("detached") }

func (n *node) Forgotten(ch protocol.ChannelKey, last *protocol.Frame) {
	n.note("forgotten " + ch.Name + " " + string(last.Payload()))
}

func (n *node) Resync(protocol.ChannelKey, cluster.Roster) { n.note("resync") }

func (n *node) Online(_, user string, online bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.online = append(n.online, fmt.Sprint(user, " ", online))
}

func (n *node) Count(_ protocol.ChannelKey, count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.counts = append(n.counts, count)
}

func (n *node) Elsewhere(app string, connections int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.others = append(n.others, fmt.Sprint(app, " ", connections))
}

func (n *node) Terminate(_, user string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ended = append(n.ended, user)
}

// patience is how long anything may take.
const patience = 20 * time.Second

// poll waits for ok.
func (n *node) poll(what string, ok func() bool) {
	n.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.t.Fatalf("not in time: %s (events %q, members %q, online %q)", what, n.events, n.members, n.online)
		}
	}
}

// eventually waits for ok, which looks at what was recorded.
func (n *node) eventually(what string, ok func() bool) {
	n.t.Helper()
	n.poll(what, func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return ok()
	})
}

func (n *node) want(what string, list *[]string, want ...string) {
	n.t.Helper()
	n.eventually(fmt.Sprint(what, " ", want), func() bool { return slices.Equal(*list, want) })
}

func key(name string) protocol.ChannelKey { return protocol.ChannelKey{App: "app", Name: name} }

func publication(channel, payload string) cluster.Publication {
	return cluster.Publication{Channel: key(channel), Message: cluster.Message{Frame: protocol.NewFrame([]byte(payload))}}
}

func (n *node) publish(p ...cluster.Publication) []cluster.Receipt {
	n.t.Helper()
	r, err := n.Publish(context.Background(), p)
	if err != nil {
		n.t.Fatal(err)
	}
	return r
}

// attach occupies and attaches a channel and waits until it is live.
func (n *node) attach(name string) {
	n.t.Helper()
	n.attachAs(name, 0)
}

func (n *node) attachAs(name string, f cluster.Flags) {
	n.t.Helper()
	live := make(chan error, 1)
	n.Occupy(key(name), f, 1)
	if !n.Attach(key(name), func(err error) { live <- err }) {
		n.await(live)
	}
}

func (n *node) await(c <-chan error) {
	n.t.Helper()
	select {
	case err := <-c:
		if err != nil {
			n.t.Fatal(err)
		}
	case <-time.After(patience):
		n.t.Fatal("no answer in time")
	}
}

const memberFlags = cluster.HasMembers | cluster.TrackMembers

// enter attaches a presence channel, which begins with a member. From then on every
// change is told; until then changes may be told, or be in the first roster.
func (n *node) enter(channel, user string) cluster.Roster {
	n.t.Helper()
	n.attachAs(channel, memberFlags)
	r := n.join(channel, user)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.members, n.at = nil, nil
	return r
}

// sign says how many connections of a user there are, and waits until that is known.
func (n *node) sign(user string, count int) {
	n.t.Helper()
	ch := cluster.UserKey("app", user)
	n.Occupy(ch, cluster.IsUser, count)
	n.poll(fmt.Sprint(user, " has ", count), func() bool {
		i, err := n.Channel(context.Background(), ch, cluster.WantSubscriptions)
		return err == nil && i.Subscriptions == count
	})
}

// join joins and waits for the roster.
func (n *node) join(channel, user string) (r cluster.Roster) {
	n.t.Helper()
	answered := make(chan error, 1)
	n.joining(channel, user, 0, &r, answered)
	n.await(answered)
	return r
}

// joining joins a channel of at most so many members; answered gets the outcome.
func (n *node) joining(channel, user string, limit int, roster *cluster.Roster, answered chan<- error) {
	m := protocol.Member{ID: user, Data: `{"user_id":"` + user + `"}`}
	n.Join(key(channel), memberFlags, m, limit, func(r cluster.Roster, err error) {
		*roster = r
		answered <- err
	})
}

func ids(list []protocol.Member) (out []string) {
	for _, m := range list {
		out = append(out, m.ID)
	}
	slices.Sort(out)
	return out
}

func publishInOrder(t *testing.T, n *node) {
	n.attach("a")
	n.attach("b")
	var want []string
	for i := range 50 {
		n.publish(publication("a", fmt.Sprint(2*i)), publication("b", fmt.Sprint(2*i+1)))
		want = append(want, fmt.Sprint("a ", 2*i))
	}
	n.eventually("all events", func() bool { return len(n.events) == 100 })
	got := slices.DeleteFunc(slices.Clone(n.events), func(s string) bool { return s[0] != 'a' })
	if !slices.Equal(got, want) {
		t.Errorf("events of one channel: %q", got)
	}
}

func offerIsAPublish(t *testing.T, n *node) {
	n.attach("a")
	if !n.Offer(publication("a", "1")) {
		t.Fatal("not taken")
	}
	n.want("events", &n.events, "a 1")
}

func elsewhereIsNotHere(t *testing.T, n *node) {
	n.attach("a")
	p := publication("a", "1")
	p.Elsewhere = true
	if !n.Offer(p) {
		t.Fatal("not taken")
	}
	n.publish(p, publication("a", "2"))
	n.want("events", &n.events, "a 2")
}

func countsAreDesiredState(t *testing.T, n *node) {
	count := func(want int) {
		t.Helper()
		n.poll(fmt.Sprint("count ", want), func() bool {
			p := publication("c", "x")
			p.Want = cluster.WantSubscriptions
			i, err := n.Channel(context.Background(), key("c"), cluster.WantSubscriptions)
			return err == nil && i.Subscriptions == want && i.Occupied == (want > 0) && n.publish(p)[0].Subscriptions == want
		})
	}
	count(0)
	n.Occupy(key("c"), 0, 3)
	n.Occupy(key("c"), 0, 3)
	count(3)
	n.Occupy(key("c"), 0, 1)
	count(1)
	n.Occupy(key("c"), 0, 0)
	n.Occupy(key("c"), 0, 0)
	count(0)
}

// An engine may leave intermediate counts out, but not the last one.
func countEventsEndInTheTruth(t *testing.T, n *node) {
	n.attach("quiet")
	n.Occupy(key("quiet"), 0, 500)
	n.attachAs("c", cluster.CountEvents)
	for i := range 10 {
		n.Occupy(key("c"), cluster.CountEvents, i+1)
	}
	n.eventually("the last count", func() bool { return len(n.counts) > 0 && n.counts[len(n.counts)-1] == 10 })
	if slices.Contains(n.counts, 500) {
		t.Error("told of a channel without the flag")
	}
}

func channelsByPrefix(t *testing.T, n *node) {
	for _, name := range []string{"room-1", "room-2", "other", "presence-1"} {
		n.Occupy(key(name), 0, 2)
	}
	n.Occupy(protocol.ChannelKey{App: "another", Name: "room-3"}, 0, 1)
	n.Occupy(cluster.UserKey("app", "ann"), cluster.IsUser, 1)
	for prefix, want := range map[string]int{"": 4, "room-": 2, "presence-": 1, "x": 0, "#": 0} {
		n.poll("channels with prefix "+prefix, func() bool {
			list, err := n.Channels(context.Background(), "app", prefix, cluster.WantSubscriptions)
			for _, i := range list {
				if i.Subscriptions != 2 || !i.Occupied {
					return false
				}
			}
			return err == nil && list != nil && len(list) == want
		})
	}
}

func joinAndLeave(t *testing.T, n *node) {
	if r := n.enter("p", "ann"); !slices.Equal(ids(r.Members), []string{"ann"}) {
		t.Errorf("first roster: %v", r)
	}
	n.join("p", "bob")
	n.mu.Lock()
	told := slices.Clone(n.members)
	n.mu.Unlock()
	if !slices.Equal(told, []string{"+bob"}) {
		t.Errorf("told before the answer: %q", told)
	}
	list, err := n.Members(context.Background(), key("p"))
	if err != nil || !slices.Equal(ids(list), []string{"ann", "bob"}) || list[0].Data == "" {
		t.Errorf("Members = %v, %v", list, err)
	}
	p := publication("p", "x")
	p.Want = cluster.WantUsers
	if r := n.publish(p); r[0].Users != 2 {
		t.Errorf("receipt %v", r)
	}
	n.Leave(key("p"), memberFlags, "ann")
	n.Leave(key("p"), memberFlags, "ann")
	n.Leave(key("p"), memberFlags, "nobody")
	n.want("changes", &n.members, "+bob", "-ann")
}

func rosterOncePerAttach(t *testing.T, n *node) {
	if r := n.enter("p", "ann"); r.Members == nil {
		t.Error("the first roster has no members")
	}
	if r := n.join("p", "bob"); r.Members != nil {
		t.Error("the second roster has members again")
	}
	n.Detach(key("p"))
	n.attachAs("p", memberFlags)
	if r := n.join("p", "cy"); !slices.Contains(ids(r.Members), "cy") {
		t.Errorf("the first roster after another Attach: %v", r.Members)
	}
}

func joinTwiceCountsOnce(t *testing.T, n *node) {
	n.enter("p", "first")
	n.join("p", "ann")
	n.join("p", "ann")
	n.Leave(key("p"), memberFlags, "ann")
	n.join("p", "bob")
	n.want("changes", &n.members, "+ann", "-ann", "+bob")
}

func leaveWhileJoining(t *testing.T, n *node) {
	n.attachAs("p", memberFlags)
	for range 20 {
		n.Join(key("p"), memberFlags, protocol.Member{ID: "ann", Data: "{}"}, 0, func(cluster.Roster, error) {})
		n.Leave(key("p"), memberFlags, "ann")
	}
	n.join("p", "bob")
	list, err := n.Members(context.Background(), key("p"))
	if err != nil || !slices.Equal(ids(list), []string{"bob"}) {
		t.Errorf("members %v, %v", list, err)
	}
}

// The handler's check in Member does the work: versions never go back.
func versionsGrowAcrossEmptiness(t *testing.T, n *node) {
	for range 10 {
		n.enter("p", "ann")
		n.Leave(key("p"), memberFlags, "ann")
		n.want("changes", &n.members, "-ann")
		n.Occupy(key("p"), memberFlags, 0)
		n.Detach(key("p"))
	}
}

func lastIsInOrderWithEvents(t *testing.T, n *node) {
	n.attach("cache-c")
	lastInOrder(t, n, n)
}

// lastInOrder asks a node for the last event while another publishes.
func lastInOrder(t *testing.T, from, n *node) {
	var publishers sync.WaitGroup
	for range 2 {
		publishers.Go(func() {
			for i := range 200 {
				p := publication("cache-c", fmt.Sprint(i))
				p.Keep = time.Minute
				from.publish(p)
			}
		})
	}
	for range 50 {
		answered := make(chan error, 1)
		n.Last(key("cache-c"), func(l *cluster.Last, err error) {
			if l != nil {
				n.note("last " + string(l.Frame.Payload()))
			}
			answered <- err
		})
		n.await(answered)
	}
	publishers.Wait()
	n.eventually("all events", func() bool { return len(n.events) >= 400 })
	n.mu.Lock()
	defer n.mu.Unlock()
	before := ""
	for _, s := range n.events {
		if s[:5] != "last " {
			before = s[len("cache-c "):]
		} else if s[5:] != before && before != "" {
			t.Fatalf("after event %q the last event is %q", before, s[5:])
		}
	}
}

func keptForATime(t *testing.T, n *node) {
	last := func() *cluster.Last {
		i, err := n.Channel(context.Background(), key("cache-c"), cluster.WantCache)
		if err != nil {
			t.Fatal(err)
		}
		return i.Last
	}
	if l := last(); l != nil {
		t.Errorf("nothing was kept, but %v", l)
	}
	p := publication("cache-c", "1")
	p.Keep = time.Minute
	n.publish(p, publication("cache-c", "not kept"))
	if l := last(); l == nil || string(l.Frame.Payload()) != "1" || l.TTL <= 0 || l.TTL > time.Minute {
		t.Errorf("kept: %v", l)
	}
	p.Keep = time.Millisecond
	n.publish(p)
	n.poll("expiry", func() bool { return last() == nil })
}

// watch watches and returns who is online at first.
func (n *node) watch(users ...string) []string {
	n.t.Helper()
	var online []string
	answered := make(chan error, 1)
	n.Watch("app", users, func(list []string, err error) {
		online = list
		answered <- err
	})
	n.await(answered)
	return online
}

func watchAndOnline(t *testing.T, n *node) {
	n.sign("ann", 1)
	if online := n.watch("ann", "bob", "ann"); !slices.Equal(online, []string{"ann", "ann"}) {
		t.Errorf("online at first: %q", online)
	}
	n.sign("ann", 2)
	n.sign("bob", 1)
	n.want("changes", &n.online, "bob true")
	n.sign("cy", 1)
	n.sign("ann", 0)
	n.want("changes", &n.online, "bob true", "ann false")
	n.Unwatch("app", []string{"ann", "bob", "ann"})
	n.sign("bob", 0)
	if online := n.watch("bob"); online != nil {
		t.Errorf("online later: %q", online)
	}
	n.want("changes after Unwatch", &n.online, "bob true", "ann false")
}

func terminateReachesTheHandler(t *testing.T, n *node) {
	n.sign("ann", 1)
	if err := n.Engine.Terminate(context.Background(), "app", "ann"); err != nil {
		t.Fatal(err)
	}
	n.want("terminated", &n.ended, "ann")
}

// Many goroutines at once, and the counts return to nothing.
func manyAtOnce(t *testing.T, n *node) {
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			name := fmt.Sprint("presence-", g)
			for i := range 50 {
				n.Occupy(key(name), memberFlags, 1)
				n.Attach(key(name), func(error) {})
				n.Join(key(name), memberFlags, protocol.Member{ID: fmt.Sprint(i), Data: "{}"}, 0, func(cluster.Roster, error) {})
				n.Offer(publication(name, "x"))
				n.Leave(key(name), memberFlags, fmt.Sprint(i))
				n.Occupy(key(name), memberFlags, 0)
				n.Detach(key(name))
			}
		})
	}
	all.Wait()
	n.poll("nothing left", func() bool {
		list, err := n.Channels(context.Background(), "app", "", 0)
		return err == nil && len(list) == 0
	})
}
