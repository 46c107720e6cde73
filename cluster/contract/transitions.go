package contract

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"dunlin/cluster"
	"dunlin/protocol"
	"dunlin/webhooks"
)

// RunTransitions tests that engines tell of transitions as webhooks want it.
// start makes an engine, new and not started, and the queue that its events end up
// in. The delay of departures is short, but not so short that two calls in a row
// do not fit into it.
func RunTransitions(t *testing.T, start func(t *testing.T) (cluster.Engine, webhooks.Queue)) {
	for _, c := range []struct {
		name string
		test func(*transitionNode)
	}{
		{"OccupiedAndVacated", occupiedAndVacated},
		{"MembersInOrder", membersInOrder},
		{"ReloadTellsNothing", reloadTellsNothing},
		{"SomebodyElseComes", somebodyElseComes},
		{"GoneForGoodAfterReloads", goneForGoodAfterReloads},
		{"OnlyWhatIsTracked", onlyWhatIsTracked},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e, q := start(t)
			n := &transitionNode{node: &node{t: t, Engine: e, versions: make(map[protocol.ChannelKey]uint64)}, queue: q}
			if err := n.Start(n.node); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			listening := make(chan struct{})
			go func() {
				defer close(listening)
				n.listen(ctx)
			}()
			t.Cleanup(func() {
				if err := n.Close(); err != nil {
					t.Error(err)
				}
				cancel()
				<-listening
			})
			c.test(n)
		})
	}
}

// transitionNode is an engine and what its queue was given.
type transitionNode struct {
	*node
	queue webhooks.Queue
	told  []string // "name channel user"; guarded by node.mu
}

func (n *transitionNode) listen(ctx context.Context) {
	for {
		list, err := n.queue.Take(ctx, 100)
		if err != nil {
			return
		}
		for _, e := range list {
			if e.App != "app" || e.ID == "" || e.At.IsZero() {
				n.t.Errorf("event %+v", e)
			}
			n.mu.Lock()
			n.told = append(n.told, strings.TrimSpace(fmt.Sprint(e.Name, " ", e.Channel, " ", e.User)))
			n.mu.Unlock()
		}
	}
}

const tracked = cluster.TrackOccupancy | cluster.HasMembers | cluster.TrackMembers

func (n *transitionNode) occupy(channel string, count int) { n.Occupy(key(channel), tracked, count) }

func (n *transitionNode) enter(channel, user string) {
	n.Join(key(channel), tracked, protocol.Member{ID: user, Data: `{"user_id":"` + user + `"}`}, 0, func(cluster.Roster, error) {})
}

func (n *transitionNode) exit(channel, user string) { n.Leave(key(channel), tracked, user) }

// wantTold waits until this was told, and nothing else.
func (n *transitionNode) wantTold(want ...string) {
	n.t.Helper()
	n.eventually(fmt.Sprint("told ", want), func() bool { return slices.Equal(n.told, want) })
	n.mu.Lock()
	n.told = nil
	n.mu.Unlock()
}

// settled returns when everything was told that was due by now: whoever left
// before has been gone for longer than a guest that comes and leaves now.
func (n *transitionNode) settled() {
	n.t.Helper()
	n.occupy("guest", 1)
	n.occupy("guest", 0)
	n.eventually("the guest's departure", func() bool { return slices.Contains(n.told, "channel_vacated guest") })
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told = slices.DeleteFunc(n.told, func(s string) bool { return strings.HasSuffix(s, " guest") })
}

// PROTOCOL 6.9, 6.10: the first and the last subscription, and none between
func occupiedAndVacated(n *transitionNode) {
	for _, count := range []int{1, 2, 1, 3, 0} {
		n.occupy("room", count)
	}
	n.wantTold("channel_occupied room", "channel_vacated room")
	n.occupy("room", 1)
	n.wantTold("channel_occupied room")
}

// PROTOCOL 6.11, 6.12, 6.21
func membersInOrder(n *transitionNode) {
	n.occupy("presence-p", 1)
	n.enter("presence-p", "ann")
	n.occupy("presence-p", 2)
	n.enter("presence-p", "bob")
	n.enter("presence-p", "bob")
	n.exit("presence-p", "ann")
	n.occupy("presence-p", 1)
	n.exit("presence-p", "bob")
	n.occupy("presence-p", 0)
	n.wantTold("channel_occupied presence-p", "member_added presence-p ann", "member_added presence-p bob",
		"member_removed presence-p ann", "member_removed presence-p bob", "channel_vacated presence-p")
}

// PROTOCOL 6.7, 6.8, PITFALLS 21: back within the delay is as if never gone
func reloadTellsNothing(n *transitionNode) {
	n.occupy("presence-p", 1)
	n.enter("presence-p", "ann")
	n.wantTold("channel_occupied presence-p", "member_added presence-p ann")
	for range 5 {
		n.exit("presence-p", "ann")
		n.occupy("presence-p", 0)
		n.occupy("presence-p", 1)
		n.enter("presence-p", "ann")
	}
	n.settled()
	n.wantTold()
}

// PROTOCOL 6.7: anyone who comes keeps the channel occupied, but is not the member
// who left
func somebodyElseComes(n *transitionNode) {
	n.occupy("presence-p", 1)
	n.enter("presence-p", "ann")
	n.exit("presence-p", "ann")
	n.occupy("presence-p", 0)
	n.occupy("presence-p", 1)
	n.enter("presence-p", "bob")
	n.settled()
	n.wantTold("channel_occupied presence-p", "member_added presence-p ann", "member_added presence-p bob", "member_removed presence-p ann")
}

func goneForGoodAfterReloads(n *transitionNode) {
	for range 3 {
		n.occupy("room", 1)
		n.occupy("room", 0)
	}
	n.settled()
	n.wantTold("channel_occupied room", "channel_vacated room")
}

// PROTOCOL 6.20 among others
func onlyWhatIsTracked(n *transitionNode) {
	n.Occupy(key("quiet"), 0, 1)
	n.Occupy(key("quiet"), 0, 0)
	n.Occupy(cluster.UserKey("app", "ann"), cluster.IsUser, 1)
	n.Occupy(key("presence-o"), cluster.HasMembers|cluster.TrackMembers, 1)
	n.Join(key("presence-o"), cluster.HasMembers|cluster.TrackMembers, protocol.Member{ID: "ann"}, 0, func(cluster.Roster, error) {})
	n.Occupy(key("presence-p"), cluster.HasMembers|cluster.TrackOccupancy, 1)
	n.Join(key("presence-p"), cluster.HasMembers|cluster.TrackOccupancy, protocol.Member{ID: "ann"}, 0, func(cluster.Roster, error) {})
	n.settled()
	n.wantTold("member_added presence-o ann", "channel_occupied presence-p")
}
