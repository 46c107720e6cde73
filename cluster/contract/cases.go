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
