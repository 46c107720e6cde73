package contract

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dunlin/cluster"
	"dunlin/protocol"
)

// Nodes tests what engines share that start makes: n of them, new and not started.
func Nodes(t *testing.T, start func(t *testing.T, n int) []cluster.Engine) {
	for _, c := range []struct {
		name string
		test func(*testing.T, []*node)
	}{
		{"EventsReachAllNodes", eventsReachAllNodes},
		{"ElsewhereReachesOthers", elsewhereReachesOthers},
		{"OneOrderEverywhere", oneOrderEverywhere},
		{"CountsAddUp", countsAddUp},
		{"CountEventsEverywhere", countEventsEverywhere},
		{"OneUserOnManyNodes", oneUserOnManyNodes},
		{"MembersAddUp", membersAddUp},
		{"NoMoreMembersThanMayBe", func(t *testing.T, n []*node) { membersWithin(t, n[0], n[1]) }},
		{"LastIsTheSameEverywhere", lastIsTheSameEverywhere},
		{"OnlineOverNodes", onlineOverNodes},
		{"TerminateReachesAllNodes", terminateReachesAllNodes},
		{"ConnectionsElsewhere", connectionsElsewhere},
		{"NodeLeaves", nodeLeaves},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var nodes []*node
			for _, e := range start(t, 3) {
				nodes = append(nodes, begin(t, e))
			}
			c.test(t, nodes)
		})
	}
}

func eventsReachAllNodes(t *testing.T, nodes []*node) {
	nodes[0].attach("a")
	nodes[1].attach("a")
	p := publication("a", "1")
	p.Except = protocol.SocketID{Hi: 12, Lo: 34}
	nodes[2].publish(p, publication("b", "nobody hears it"))
	for _, n := range nodes[:2] {
		n.want("events", &n.events, "but 12.34", "a 1")
	}
	nodes[2].attach("a")
	if !nodes[0].Offer(publication("a", "2")) {
		t.Error("not taken")
	}
	nodes[1].want("events", &nodes[1].events, "but 12.34", "a 1", "a 2")
	nodes[2].want("events", &nodes[2].events, "a 2")
}

func elsewhereReachesOthers(t *testing.T, nodes []*node) {
	for _, n := range nodes {
		n.attach("a")
	}
	p := publication("a", "1")
	p.Elsewhere, p.Except = true, protocol.SocketID{Hi: 12, Lo: 34}
	if !nodes[0].Offer(p) {
		t.Fatal("not taken")
	}
	nodes[0].publish(publication("a", "2"))
	nodes[0].want("events", &nodes[0].events, "a 2")
	for _, n := range nodes[1:] {
		n.want("events", &n.events, "but 12.34", "a 1", "a 2")
	}
}

// PITFALLS 16
func oneOrderEverywhere(t *testing.T, nodes []*node) {
	for _, n := range nodes {
		n.attach("a")
	}
	var all sync.WaitGroup
	for i, n := range nodes {
		all.Go(func() {
			for j := range 100 {
				n.publish(publication("a", fmt.Sprint(i, "-", j)), publication("a", fmt.Sprint(i, "-", j, "b")))
			}
		})
	}
	all.Wait()
	for _, n := range nodes {
		n.eventually("all events", func() bool { return len(n.events) == 600 })
	}
	for _, n := range nodes[1:] {
		if !slices.Equal(n.events, nodes[0].events) {
			t.Error("nodes saw different orders")
		}
	}
	for i, e := range nodes[0].events { // a batch stays together
		if strings.HasSuffix(e, "b") && nodes[0].events[i-1]+"b" != e {
			t.Errorf("%q follows %q", e, nodes[0].events[i-1])
		}
	}
}

func countsAddUp(_ *testing.T, nodes []*node) {
	for i, n := range nodes {
		n.Occupy(key("c"), cluster.TrackOccupancy, i+1)
		n.Occupy(key(fmt.Sprint("own-", i)), 0, 1)
	}
	for _, n := range nodes {
		n.poll("6 subscriptions", func() bool {
			i, err := n.Channel(context.Background(), key("c"), cluster.WantSubscriptions)
			list, err2 := n.Channels(context.Background(), "app", "", cluster.WantSubscriptions)
			return err == nil && err2 == nil && i.Subscriptions == 6 && len(list) == 4 && list["c"].Subscriptions == 6
		})
	}
	nodes[0].Occupy(key("c"), cluster.TrackOccupancy, 0)
	p := publication("c", "x")
	p.Want = cluster.WantSubscriptions
	nodes[1].poll("5 subscriptions", func() bool { return nodes[1].publish(p)[0].Subscriptions == 5 })
}

func countEventsEverywhere(_ *testing.T, nodes []*node) {
	last := func(want int) {
		for _, n := range nodes {
			n.eventually(fmt.Sprint("count ", want), func() bool { return len(n.counts) > 0 && n.counts[len(n.counts)-1] == want })
		}
	}
	for _, n := range nodes { // the first node hears of later ones
		n.attachAs("c", cluster.CountEvents)
	}
	last(3)
	nodes[1].Occupy(key("c"), cluster.CountEvents, 7)
	last(9)
	nodes[1].Occupy(key("c"), cluster.CountEvents, 0)
	nodes[1].Detach(key("c"))
	nodes = append(nodes[:1:1], nodes[2])
	last(2)
}

// PITFALLS 13
func oneUserOnManyNodes(t *testing.T, nodes []*node) {
	for i, n := range nodes {
		n.enter("p", fmt.Sprint("first-", i))
	}
	watcher := nodes[2]
	watcher.mu.Lock()
	watcher.members, watcher.at = nil, nil
	watcher.mu.Unlock()
	nodes[0].join("p", "ann")
	nodes[1].join("p", "ann")
	nodes[0].Leave(key("p"), memberFlags, "ann")
	nodes[0].join("p", "bob")
	watcher.want("changes", &watcher.members, "+ann", "+bob")
	info, err := watcher.Channel(context.Background(), key("p"), cluster.WantUsers)
	if err != nil || info.Users != 5 {
		t.Errorf("%d users, %v", info.Users, err)
	}
	nodes[1].Leave(key("p"), memberFlags, "ann")
	watcher.want("changes", &watcher.members, "+ann", "+bob", "-ann")
}

// PROTOCOL 2.39a: also where the node that is joined knows nothing of the channel,
// and whatever the order in which many come at once.
func membersWithin(t *testing.T, a, b *node) {
	const limit = 2
	for _, n := range []*node{a, b} {
		n.attachAs("p", memberFlags)
	}
	outcome := func(n *node, user string) error {
		answered := make(chan error, 1)
		n.joining("p", user, limit, new(cluster.Roster), answered)
		select {
		case err := <-answered:
			return err
		case <-time.After(patience):
			return errors.New("no answer in time")
		}
	}
	for _, c := range []struct {
		on   *node
		user string
		want error
	}{{a, "ann", nil}, {a, "bob", nil}, {b, "cy", cluster.ErrFull}, {b, "ann", nil}, {a, "cy", cluster.ErrFull}} {
		if err := outcome(c.on, c.user); !errors.Is(err, c.want) {
			t.Fatalf("%s: %v, want %v", c.user, err, c.want)
		}
	}
	a.Leave(key("p"), memberFlags, "bob")
	b.poll("there is room for cy", func() bool { return outcome(b, "cy") == nil })
	list, err := a.Members(context.Background(), key("p"))
	if err != nil || !slices.Equal(ids(list), []string{"ann", "cy"}) {
		t.Errorf("members %v, %v", list, err)
	}
	a.Leave(key("p"), memberFlags, "ann")
	b.Leave(key("p"), memberFlags, "ann")
	b.Leave(key("p"), memberFlags, "cy")
	a.poll("nobody is left", func() bool {
		list, err := a.Members(context.Background(), key("p"))
		return err == nil && len(list) == 0
	})
	var all sync.WaitGroup
	var joined atomic.Int64
	for i := range 10 {
		all.Go(func() {
			n := []*node{a, b}[i%2]
			if outcome(n, fmt.Sprint("user-", i)) == nil {
				joined.Add(1)
			}
		})
	}
	all.Wait()
	if joined.Load() != limit {
		t.Errorf("%d joined at once, of %d who may", joined.Load(), limit)
	}
}

// Many users come and go on all nodes at once; rosters and changes add up to the
// same on each.
func membersAddUp(t *testing.T, nodes []*node) {
	var all sync.WaitGroup
	rosters := make([]cluster.Roster, len(nodes))
	for i, n := range nodes {
		all.Go(func() {
			rosters[i] = n.enterKeeping("p", fmt.Sprint("n", i))
			for j := range 60 {
				user := fmt.Sprint("u", j%7)
				n.Join(key("p"), memberFlags, protocol.Member{ID: user, Data: "{}"}, 0, func(cluster.Roster, error) {})
				if j%3 == 0 {
					n.join("p", user)
				}
				n.Leave(key("p"), memberFlags, user)
			}
			n.join("p", fmt.Sprint("end", i))
		})
	}
	all.Wait()
	want := []string{"end0", "end1", "end2", "n0", "n1", "n2"}
	for i, n := range nodes {
		n.eventually("the members", func() bool { return slices.Equal(n.membersSince(rosters[i]), want) })
		list, err := n.Members(context.Background(), key("p"))
		if err != nil || !slices.Equal(ids(list), want) {
			t.Errorf("members %v, %v", ids(list), err)
		}
	}
}

// enterKeeping is enter, but keeps what was told.
func (n *node) enterKeeping(channel, user string) cluster.Roster {
	n.t.Helper()
	n.attachAs(channel, memberFlags)
	return n.join(channel, user)
}

// membersSince adds the changes to a roster. mu is held.
func (n *node) membersSince(r cluster.Roster) []string {
	is := make(map[string]bool)
	for _, id := range ids(r.Members) {
		is[id] = true
	}
	for i, m := range n.members {
		if n.at[i] > r.Version {
			is[m[1:]] = m[0] == '+'
		}
	}
	var list []string
	for id, in := range is {
		if in {
			list = append(list, id)
		}
	}
	slices.Sort(list)
	return list
}

func lastIsTheSameEverywhere(t *testing.T, nodes []*node) {
	p := publication("cache-c", "1")
	p.Keep = time.Minute
	nodes[0].publish(p)
	for _, n := range nodes {
		n.attach("cache-c")
		answered := make(chan error, 1)
		n.Last(key("cache-c"), func(l *cluster.Last, err error) {
			if l == nil || string(l.Frame.Payload()) != "1" || l.TTL > time.Minute || l.TTL < time.Minute/2 {
				t.Errorf("last: %v", l)
			}
			answered <- err
		})
		n.await(answered)
		n.want("events", &n.events)
	}
	lastInOrder(t, nodes[0], nodes[1])
	lastInOrder(t, nodes[2], nodes[2])
}

func onlineOverNodes(t *testing.T, nodes []*node) {
	sign := func(n *node, count int) { n.Occupy(cluster.UserKey("app", "ann"), cluster.IsUser, count) }
	w := nodes[0]
	if online := w.watch("ann"); online != nil {
		t.Errorf("online: %q", online)
	}
	sign(nodes[1], 1)
	w.want("changes", &w.online, "ann true")
	sign(nodes[2], 1)
	total := func(want int) {
		w.poll(fmt.Sprint(want, " connections"), func() bool {
			i, err := w.Channel(context.Background(), cluster.UserKey("app", "ann"), cluster.WantSubscriptions)
			return err == nil && i.Subscriptions == want
		})
	}
	total(2)
	sign(nodes[1], 0)
	total(1)
	if online := nodes[1].watch("ann"); !slices.Equal(online, []string{"ann"}) {
		t.Errorf("online: %q", online)
	}
	sign(nodes[2], 0)
	w.want("changes", &w.online, "ann true", "ann false")
	nodes[1].want("changes", &nodes[1].online, "ann false")
}

func terminateReachesAllNodes(t *testing.T, nodes []*node) {
	for _, n := range nodes {
		n.Occupy(cluster.UserKey("app", "ann"), cluster.IsUser, 1)
	}
	nodes[0].poll("3 connections", func() bool {
		i, err := nodes[0].Channel(context.Background(), cluster.UserKey("app", "ann"), cluster.WantSubscriptions)
		return err == nil && i.Subscriptions == 3
	})
	if err := nodes[1].Engine.Terminate(context.Background(), "app", "ann"); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		n.want("terminated", &n.ended, "ann")
	}
}

// A node hears of the others and never counts itself, however its own number moves;
// and no list of channels shows any of it.
func connectionsElsewhere(t *testing.T, nodes []*node) {
	others := func(n *node, want string) {
		t.Helper()
		n.eventually("elsewhere "+want, func() bool { return len(n.others) > 0 && n.others[len(n.others)-1] == want })
	}
	nodes[0].Connections("app", 5)
	for range 20 {
		nodes[1].Connections("app", 700)
		nodes[1].Connections("app", 0)
	}
	others(nodes[1], "app 5") // without one of its own
	nodes[1].Connections("app", 70)
	nodes[2].Connections("app", 1)
	others(nodes[0], "app 71")
	others(nodes[1], "app 6")
	others(nodes[2], "app 75")
	nodes[0].Connections("app", 3)
	others(nodes[1], "app 4")
	nodes[2].Connections("another", 9)
	list, err := nodes[0].Channels(context.Background(), "app", "", cluster.WantSubscriptions)
	if err != nil || len(list) != 0 {
		t.Errorf("channels %v, %v", list, err)
	}
	if err := nodes[1].stop(); err != nil {
		t.Error(err)
	}
	others(nodes[0], "app 1")
	nodes[0].mu.Lock()
	defer nodes[0].mu.Unlock()
	if slices.Contains(nodes[0].others, "app 5") {
		t.Errorf("a node was told of itself: %q", nodes[0].others)
	}
}

// What a node had is gone soon after it left.
func nodeLeaves(t *testing.T, nodes []*node) {
	nodes[0].enter("p", "zoe")
	nodes[0].watch("ann")
	nodes[1].enter("p", "ann")
	nodes[1].Occupy(cluster.UserKey("app", "ann"), cluster.IsUser, 1)
	nodes[0].want("online", &nodes[0].online, "ann true")
	nodes[0].want("changes", &nodes[0].members, "+ann")
	if err := nodes[1].stop(); err != nil {
		t.Error(err)
	}
	nodes[0].want("changes", &nodes[0].members, "+ann", "-ann")
	nodes[0].want("online", &nodes[0].online, "ann true", "ann false")
	nodes[0].poll("one subscription", func() bool {
		i, err := nodes[0].Channel(context.Background(), key("p"), cluster.WantSubscriptions)
		return err == nil && i.Subscriptions == 1
	})
}
