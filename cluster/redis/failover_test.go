//go:build redis

package redis

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dunlin/cluster"
	"dunlin/internal/testkit"
	"dunlin/protocol"
)

// follower is an observer that remembers how often members came and went.
type follower struct {
	*observer
	changes []string
}

func (f *follower) Member(ch protocol.ChannelKey, c cluster.MemberChange) {
	f.observer.Member(ch, c)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes = append(f.changes, fmt.Sprint(ch.Name, " ", c.Member.ID, " ", c.Added))
}

// told returns the events of a channel, in the order in which they came.
func (f *follower) told(channel string) (list []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.events {
		if n, ok := strings.CutPrefix(e, channel+" "); ok {
			list = append(list, n)
		}
	}
	return list
}

// flock is two nodes on a cluster with a presence channel in each slice, each with a
// member on each node, and one publisher that never rests.
type flock struct {
	t        *testing.T
	engines  []*Engine
	seen     []*follower
	channels []string // by slice

	end   chan struct{}
	ended sync.WaitGroup

	mu sync.Mutex
	// Guarded by mu
	acked map[string][]string // channel → events that were answered, in their order
	calm  map[string]string   // channel → an event since which nothing was done to it
}

func newFlock(t *testing.T, url string) *flock {
	f := &flock{t: t, end: make(chan struct{}), acked: map[string][]string{}, calm: map[string]string{}}
	for range 2 {
		options := quickOptions(url, "")
		options.Lease = 2 * time.Second // shorter than it takes until a replica is the master
		e, err := New(options)
		if err != nil {
			t.Fatal(err)
		}
		o := &follower{observer: newObserver()}
		if err := e.Start(o); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
		f.engines, f.seen = append(f.engines, e), append(f.seen, o)
	}
	for i := range f.engines[0].slices {
		f.channels = append(f.channels, f.inSlice(i, "presence-"))
	}
	for _, name := range f.channels {
		for i, user := range []string{"ann", "bob"} {
			soon(t, enter(f.engines[i], f.seen[i].observer, name, user))
		}
	}
	f.await("all see all", f.whole)
	for _, o := range f.seen {
		o.mu.Lock()
		o.changes = nil
		o.mu.Unlock()
	}
	f.ended.Go(f.publish)
	t.Cleanup(f.stop)
	return f
}

func (f *flock) await(what string, ok func() bool) {
	f.t.Helper()
	testkit.Until(f.t, what, ok)
}

// whole reports whether both nodes, and Redis, have both members in all channels.
func (f *flock) whole() bool {
	for _, name := range f.channels {
		for i, o := range f.seen {
			list, err := f.engines[i].Members(context.Background(), ch(name))
			if err != nil || len(list) != 2 || len(o.in(ch(name))) != 2 {
				return false
			}
		}
	}
	return true
}

// publish publishes to all channels in turn, from both nodes, and notes what was
// answered.
func (f *flock) publish() {
	var all sync.WaitGroup
	defer all.Wait()
	for slice, name := range f.channels {
		all.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-f.end:
					return
				case <-time.After(5 * time.Millisecond):
				}
				e := f.engines[slice%2]
				if _, err := e.Publish(context.Background(), []cluster.Publication{event(name, fmt.Sprint(name, " ", n))}); err != nil {
					continue
				}
				f.mu.Lock()
				f.acked[name] = append(f.acked[name], fmt.Sprint(n))
				f.mu.Unlock()
			}
		})
	}
}

func (f *flock) stop() {
	select {
	case <-f.end:
	default:
		close(f.end)
	}
	f.ended.Wait()
}

func (f *flock) answered(name string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.acked[name])
}

// flows waits until an event that was published from now on has come to both nodes,
// in each of these channels.
func (f *flock) flows(channels ...string) {
	f.t.Helper()
	for _, name := range channels {
		n := len(f.answered(name))
		f.await("an event of "+name+" is answered", func() bool { return len(f.answered(name)) > n })
		for i, o := range f.seen {
			f.await(fmt.Sprint("events of ", name, " reach node ", i), func() bool {
				list := f.answered(name)[n:]
				return slices.ContainsFunc(o.told(name), func(e string) bool { return slices.Contains(list, e) })
			})
		}
		list := f.answered(name)
		f.mu.Lock()
		f.calm[name] = list[len(list)-1]
		f.mu.Unlock()
	}
}

// judge looks at what all of it did to clients and webhooks. Nobody was told that
// anybody came or went, and nobody was told anything twice. Channels that were in
// touched slots may have lost events, or seen some in another order, for as long as
// that was done; the others lost nothing, in one order.
func (f *flock) judge(touched map[string]bool) {
	f.t.Helper()
	f.await("all see all again", f.whole)
	f.stop()
	for _, name := range f.channels {
		acked := f.answered(name)
		last := acked[len(acked)-1]
		var told [2][]string
		for i, o := range f.seen {
			f.await("the last event of "+name, func() bool { return slices.Contains(o.told(name), last) })
			told[i] = o.told(name)
			has := make(map[string]bool)
			for at, n := range told[i] {
				if has[n] {
					f.t.Errorf("node %d saw event %s of %s twice", i, n, name)
				}
				has[n] = true
				calm := !touched[name] || at > 0 && byNumber(f.calm[name], told[i][at-1]) <= 0
				if calm && at > 0 && byNumber(told[i][at-1], n) > 0 {
					f.t.Errorf("node %d saw event %s of %s before %s", i, told[i][at-1], name, n)
				}
			}
			lost := 0
			for _, n := range acked {
				if !has[n] {
					lost++
				}
			}
			f.t.Logf("%s, node %d: %d of %d answered events were lost", name, i, lost, len(acked))
			if lost > 0 && !touched[name] {
				f.t.Errorf("%s is in a slot that nothing was done to, and node %d lost %d events", name, i, lost)
			}
		}
	}
	for i, o := range f.seen {
		o.mu.Lock()
		if len(o.changes) > 0 || len(o.faults) > 0 {
			f.t.Errorf("node %d was told %q, faults %q", i, o.changes, o.faults)
		}
		o.mu.Unlock()
	}
	f.webhooks()
}

// leasesRunOut waits until they have, if nobody could renew them from now on.
func (f *flock) leasesRunOut() {
	f.t.Helper()
	began := time.Now()
	f.await("the leases have run out", func() bool { return time.Since(began) > 3*f.engines[0].opts.Lease/2 })
}

func byNumber(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// webhooks: each channel was occupied once and each member added once, and no more,
// also when all timers have run out: who comes and leaves now is the last to be told of.
func (f *flock) webhooks() {
	f.t.Helper()
	e := f.engines[0]
	for i := range e.slices {
		guest := f.inSlice(i, "guest-")
		e.Occupy(ch(guest), cluster.TrackOccupancy, 1)
		f.await("the guest is known", func() bool { return slices.Contains(f.hooks(i), "channel_occupied app:"+guest) })
		e.Occupy(ch(guest), cluster.TrackOccupancy, 0)
		f.await("the guest is gone", func() bool { return slices.Contains(f.hooks(i), "channel_vacated app:"+guest) })
		hooks := slices.DeleteFunc(f.hooks(i), func(h string) bool { return strings.HasSuffix(h, guest) })
		slices.Sort(hooks)
		cid := "app:" + f.channels[i]
		if want := []string{"channel_occupied " + cid, "member_added " + cid + " ann", "member_added " + cid + " bob"}; !slices.Equal(hooks, want) {
			f.t.Errorf("webhooks of %s: %q", f.channels[i], hooks)
		}
	}
}

// hooks lists what stands in a slice's outbox.
func (f *flock) hooks(slice int) (list []string) {
	s := f.engines[0].slices[slice]
	found, err := s.client.XRange(context.Background(), s.pre+"wh", "-", "+").Result()
	if err != nil {
		f.t.Error(err)
	}
	for _, m := range found {
		list = append(list, strings.TrimSuffix(fmt.Sprint(m.Values["n"], " ", m.Values["c"], " ", m.Values["u"]), " <nil>"))
	}
	return list
}

// inSlice finds the name of a channel of a slice.
func (f *flock) inSlice(slice int, prefix string) string {
	for i := 0; ; i++ {
		if name := fmt.Sprint(prefix, i); f.engines[0].slice(ch(name)).index == slice {
			return name
		}
	}
}

// slotOf is the slot of a slice of 16, whose tags have theirs in the middle of equal
// parts.
func slotOf(c *testkit.RedisCluster, e *Engine, slice int) int {
	n, err := e.slices[slice].client.ClusterKeySlot(context.Background(), e.slices[slice].pre).Result()
	if err != nil {
		return -1
	}
	return int(n)
}

// All leases run out while Redis is away. Nobody is taken for dead: when it is back
// all have as long again to say that they live.
func TestRedisIsAwayLongerThanALease(t *testing.T) {
	t.Parallel()
	r := testkit.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	f := newFlock(t, r.URL())
	r.Kill()
	f.leasesRunOut()
	r.Start()
	f.flows(f.channels...)
	f.judge(map[string]bool{f.channels[0]: true})
}

// A replica takes its master's place, at first because it is told to, then because
// the master died; and a slot moves to another master, with a pause in the middle.
func TestClusterFailover(t *testing.T) {
	t.Parallel()
	c := testkit.StartRedisCluster(t, 3, 1)
	f := newFlock(t, c.URL)
	touched := map[string]bool{}
	touch := func(by, owner *testkit.Redis) {
		for slice, name := range f.channels {
			if master, _ := c.Owner(by, slotOf(c, f.engines[0], slice)); master == owner {
				touched[name] = true
			}
		}
	}
	first, replica := c.Owner(c.Nodes[0], slotOf(c, f.engines[0], 0))
	touch(c.Nodes[0], first)
	c.Failover(replica)
	f.flows(f.channels...)
	t.Log("a failover by hand is over")

	dies, heir := c.Owner(replica, slotOf(c, f.engines[0], 15))
	touch(replica, dies)
	dies.Kill()
	f.await("the replica takes over", func() bool {
		master, _ := c.Owner(heir, slotOf(c, f.engines[0], 15))
		return master == heir
	})
	f.flows(f.channels...)
	t.Log("a failover after a death is over")

	moves := slotOf(c, f.engines[0], 3)
	from, _ := c.Owner(heir, moves)
	touched[f.channels[3]] = true
	c.MoveSlot(moves, from, heir, func() {
		f.flows(f.channels[0]) // others do not wait for it
	}, func() {
		f.leasesRunOut() // as when there are many keys
	})
	f.flows(f.channels...)
	t.Log("a slot has moved")
	f.judge(touched)
}
