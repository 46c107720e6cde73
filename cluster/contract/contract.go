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
