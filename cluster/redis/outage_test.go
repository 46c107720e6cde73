//go:build redis

package redis

import (
	"context"
	"errors"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"dunlin/cluster"
	"dunlin/internal/testkit"
	"dunlin/protocol"
)

// observer is a Handler that keeps what it is told, as a hub does.
type observer struct {
	mu       sync.Mutex
	events   []string
	members  map[protocol.ChannelKey]*rosterSeen
	online   map[string]bool
	ended    []string
	counts   map[protocol.ChannelKey]int
	detached int
	gone     []string // users who were removed
	faults   []string
}

// rosterSeen is a presence channel's membership as it was told.
type rosterSeen struct {
	version uint64
	ids     map[string]bool
}

func newObserver() *observer {
	return &observer{members: map[protocol.ChannelKey]*rosterSeen{}, online: map[string]bool{}, counts: map[protocol.ChannelKey]int{}}
}

func (o *observer) roster(ch protocol.ChannelKey) *rosterSeen {
	if o.members[ch] == nil {
		o.members[ch] = &rosterSeen{ids: map[string]bool{}}
	}
	return o.members[ch]
}

func (o *observer) Event(_ protocol.ChannelKey, m cluster.Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events = append(o.events, string(m.Frame.Payload()))
}

func (o *observer) Member(ch protocol.ChannelKey, c cluster.MemberChange) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.roster(ch)
	if c.Version <= r.version {
		o.faults = append(o.faults, "a version went back")
		return
	}
	r.version = c.Version
	if c.Added {
		r.ids[c.Member.ID] = true
	} else {
		delete(r.ids, c.Member.ID)
		o.gone = append(o.gone, c.Member.ID)
	}
}

func (o *observer) Resync(ch protocol.ChannelKey, n cluster.Roster) { o.adopt(ch, n) }

// adopt takes a roster as the whole truth, unless it is old.
func (o *observer) adopt(ch protocol.ChannelKey, n cluster.Roster) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.roster(ch)
	if n.Version < r.version {
		return
	}
	was := r.ids
	r.version, r.ids = n.Version, map[string]bool{}
	for _, m := range n.Members {
		r.ids[m.ID] = true
	}
	for id := range was {
		if !r.ids[id] {
			o.gone = append(o.gone, id)
		}
	}
}

func (o *observer) Count(ch protocol.ChannelKey, n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.counts[ch] = n
}

func (o *observer) Online(_, user string, online bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.online[user] = online
}

func (o *observer) Terminate(_, user string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = append(o.ended, user)
}

func (o *observer) Elsewhere(string, int) {}

func (o *observer) Forgotten(protocol.ChannelKey, *protocol.Frame) {}

func (o *observer) Detached() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.detached++
}

func (o *observer) in(ch protocol.ChannelKey) (list []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for id := range o.roster(ch).ids {
		list = append(list, id)
	}
	slices.Sort(list)
	return list
}

func begin(t testing.TB, url string) (*Engine, *observer) {
	t.Helper()
	return started(t, quick(t, url))
}

// started starts an engine and has it closed at the end of the test.
func started(t testing.TB, e *Engine) (*Engine, *observer) {
	t.Helper()
	o := newObserver()
	if err := e.Start(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		if len(o.faults) > 0 {
			t.Errorf("faults: %q", o.faults)
		}
	})
	return e, o
}

func ch(name string) protocol.ChannelKey { return protocol.ChannelKey{App: "app", Name: name} }

const presenceFlags = cluster.HasMembers | cluster.TrackMembers | cluster.TrackOccupancy

// enter occupies, attaches and joins; answered gets the outcome of the join.
func enter(e *Engine, o *observer, channel, user string) (answered chan error) {
	answered = make(chan error, 1)
	key := ch(channel)
	e.Occupy(key, presenceFlags, 1)
	e.Attach(key, func(error) {})
	e.Join(key, presenceFlags, protocol.Member{ID: user, Data: "{}"}, 0, func(r cluster.Roster, err error) {
		if err == nil && r.Members != nil {
			o.adopt(key, r)
		}
		answered <- err
	})
	return answered
}

func soon(t testing.TB, answered chan error) {
	t.Helper()
	select {
	case err := <-answered:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(testkit.Patience):
		t.Fatal("no answer in time")
	}
}

func event(channel, payload string) cluster.Publication {
	return cluster.Publication{Channel: ch(channel), Message: cluster.Message{Frame: protocol.NewFrame([]byte(payload))}}
}

func has(o *observer, payload string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Contains(o.events, payload)
}

// outage is what every outage has in common: two nodes, members on both, Redis away
// and back. During it subscriptions work, publishing is refused in time, joins wait;
// after it all is as if nothing had been.
func outage(t *testing.T, args []string, away, back func(*testkit.Redis)) {
	r := testkit.StartRedis(t, args...)
	outageOf(t, r.URL(), func() { away(r) }, func() { back(r) })
}

func outageOf(t *testing.T, url string, away, back func()) {
	a, ao := begin(t, url)
	b, bo := begin(t, url)
	soon(t, enter(a, ao, "presence-p", "ann"))
	soon(t, enter(b, bo, "presence-p", "bob"))
	testkit.Until(t, "both see both", func() bool { return len(ao.in(ch("presence-p"))) == 2 })
	a.Occupy(cluster.UserKey("app", "ann"), cluster.IsUser, 1)
	b.Watch("app", []string{"ann"}, func(online []string, _ error) {
		for _, u := range online {
			bo.Online("app", u, true)
		}
	})
	away()
	began := time.Now()
	if _, err := a.Publish(context.Background(), []cluster.Publication{event("presence-p", "lost")}); !errors.Is(err, cluster.ErrUncertain) && !errors.Is(err, cluster.ErrUnavailable) {
		t.Errorf("publishing while finding out: %v", err)
	}
	if took := time.Since(began); took > 1200*time.Millisecond {
		t.Errorf("finding out took %s", took)
	}
	testkit.Until(t, "it is known", func() bool { return !a.slices[0].up() })
	began = time.Now()
	if _, err := a.Publish(context.Background(), []cluster.Publication{event("presence-p", "lost")}); !errors.Is(err, cluster.ErrUnavailable) || time.Since(began) > 100*time.Millisecond {
		t.Errorf("publishing while it is known: %v after %s", err, time.Since(began))
	}
	if a.Offer(event("presence-p", "lost")) {
		t.Error("an event was taken that can not be published")
	}
	joined := enter(a, ao, "presence-p", "cy")
	b.Leave(ch("presence-p"), presenceFlags, "bob")
	dan := enter(b, bo, "presence-p", "dan")
	back()
	soon(t, joined)
	soon(t, dan)
	for _, o := range []*observer{ao, bo} {
		testkit.Until(t, "all see all", func() bool { return slices.Equal(o.in(ch("presence-p")), []string{"ann", "cy", "dan"}) })
	}
	testkit.Until(t, "ann is online", func() bool {
		bo.mu.Lock()
		defer bo.mu.Unlock()
		return bo.online["ann"]
	})
	testkit.Until(t, "events flow", func() bool {
		_, err := a.Publish(context.Background(), []cluster.Publication{event("presence-p", "again")})
		return err == nil && has(bo, "again") && has(ao, "again")
	})
	if err := a.Health(); err != nil {
		t.Error(err)
	}
}

func TestRedisRestartsEmpty(t *testing.T) {
	t.Parallel()
	outage(t, nil, func(r *testkit.Redis) { r.Kill() }, func(r *testkit.Redis) { r.Start() })
}

func TestRedisRestartsWithItsData(t *testing.T) {
	t.Parallel()
	outage(t, []string{"--appendonly", "yes", "--appendfsync", "always"}, func(r *testkit.Redis) { r.Kill() }, func(r *testkit.Redis) { r.Start() })
}

func TestRedisIsFrozen(t *testing.T) {
	t.Parallel()
	outage(t, nil, func(r *testkit.Redis) { r.Signal(syscall.SIGSTOP) }, func(r *testkit.Redis) { r.Signal(syscall.SIGCONT) })
}

// TestNobodyIsGoneWithTheData: nodes find one after the other that Redis lost its data,
// and nobody is taken for gone until all have told it again.
func TestNobodyIsGoneWithTheData(t *testing.T) {
	t.Parallel()
	r := testkit.StartRedis(t)
	a, ao := begin(t, r.URL())
	b, bo := begin(t, r.URL())
	soon(t, enter(a, ao, "presence-p", "ann"))
	soon(t, enter(b, bo, "presence-p", "bob"))
	testkit.Until(t, "both see both", func() bool { return len(ao.in(ch("presence-p"))) == 2 })
	if _, err := r.Do("FLUSHALL"); err != nil {
		t.Fatal(err)
	}
	testkit.Until(t, "both know", func() bool {
		return a.stats.Rejoins[dataLost].Load() == 1 && b.stats.Rejoins[dataLost].Load() == 1
	})
	soon(t, enter(a, ao, "presence-p", "cy"))
	for _, o := range []*observer{ao, bo} {
		testkit.Until(t, "all see all", func() bool { return slices.Equal(o.in(ch("presence-p")), []string{"ann", "bob", "cy"}) })
		o.mu.Lock()
		if len(o.gone)+len(o.faults) > 0 {
			t.Errorf("gone: %q, faults: %q", o.gone, o.faults)
		}
		o.mu.Unlock()
	}
}
