//go:build redis

package redis

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"dunlin/cluster"
	"dunlin/internal/testkit"
	"dunlin/protocol"
)

// actor is a node of the chaos test: an engine behind a proxy of its own, and what
// it ought to have told Redis.
type actor struct {
	t     *testing.T
	rng   *rand.Rand
	proxy *testkit.Proxy

	engine   *Engine
	observer *observer
	counts   map[string]int
	users    map[string]map[string]int
	crashes  int
}

func (a *actor) start() {
	a.engine, a.observer = quick(a.t, a.proxy.URL()), newObserver()
	a.counts, a.users = map[string]int{}, map[string]map[string]int{}
	if err := a.engine.Start(a.observer); err != nil {
		a.t.Error(err)
	}
}

// crash ends the engine as kill -9 ends a process: it says nothing to Redis.
func (a *actor) crash() {
	a.engine.end()
	a.engine.running.Wait()
	a.engine.shared.Close()
	a.crashes++
}

func chaosFlags(name string) cluster.Flags {
	switch {
	case strings.HasPrefix(name, "presence-"):
		return presenceFlags
	case strings.HasPrefix(name, "room-"):
		return cluster.TrackOccupancy | cluster.CountEvents
	}
	return 0
}

// subscribe and unsubscribe make the calls that a hub makes.
func (a *actor) subscribe(name, user string) {
	key, f := ch(name), chaosFlags(name)
	a.counts[name]++
	a.engine.Occupy(key, f, a.counts[name])
	if a.counts[name] == 1 {
		a.engine.Attach(key, func(error) {})
	}
	if user == "" {
		return
	}
	if a.users[name] == nil {
		a.users[name] = map[string]int{}
	}
	a.users[name][user]++
	if a.users[name][user] == 1 {
		o := a.observer
		a.engine.Join(key, f, protocol.Member{ID: user, Data: `{"n":1}`}, 0, func(r cluster.Roster, err error) {
			if err == nil && r.Members != nil {
				o.adopt(key, r)
			}
		})
	}
}

func (a *actor) unsubscribe(name, user string) {
	key, f := ch(name), chaosFlags(name)
	if user != "" {
		a.users[name][user]--
		if a.users[name][user] == 0 {
			delete(a.users[name], user)
			a.engine.Leave(key, f, user)
		}
	}
	a.counts[name]--
	a.engine.Occupy(key, f, a.counts[name])
	if a.counts[name] == 0 {
		a.engine.Detach(key)
	}
}

type held struct{ name, user string }

// act does as clients do for a while, and has accidents.
func (a *actor) act(names []string, until time.Time) {
	var holding []held
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(until) {
		for range a.rng.IntN(5) {
			if n := len(holding); n > 0 && (a.rng.IntN(2) == 0 || n > 12) {
				i := a.rng.IntN(n)
				a.unsubscribe(holding[i].name, holding[i].user)
				holding = slices.Delete(holding, i, i+1)
				continue
			}
			h := held{name: names[a.rng.IntN(len(names))]}
			if strings.HasPrefix(h.name, "presence-") {
				h.user = fmt.Sprint("u", a.rng.IntN(5))
			}
			holding = append(holding, h)
			a.subscribe(h.name, h.user)
		}
		switch a.rng.IntN(2000) {
		case 0:
			faults := a.observer.faults
			a.crash()
			a.start()
			a.observer.faults = append(a.observer.faults, faults...)
			holding = nil
		case 1, 2:
			a.proxy.Cut()
			a.later(0, 400)
		case 3: // longer than the lease: fenced
			a.proxy.Hold()
			a.later(1200, 2500)
		}
		<-tick.C
	}
	a.proxy.Heal()
}

// later heals the actor's network after so many ms.
func (a *actor) later(least, most int) {
	time.AfterFunc(time.Duration(least+a.rng.IntN(most-least))*time.Millisecond, a.proxy.Heal)
}

// TestChaos has nodes crash, freeze and be cut off while their clients come and go,
// and Redis lose its data or some writes, and then looks whether Redis, every node
// and all webhooks agree with the truth. DUNLIN_SEED repeats a run, DUNLIN_CHAOS
// is how long it lasts.
func TestChaos(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*testing.T, *testkit.Redis){
		"KeepsAll": nil, "LosesAll": loseAll, "LosesSome": loseSome, "Flushed": flush,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			chaos(t, lose)
		})
	}
}

func chaosSettings(t *testing.T) (seed uint64, length time.Duration) {
	seed, length = uint64(time.Now().UnixNano()), 6*time.Second
	if s := os.Getenv("DUNLIN_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	if d, err := time.ParseDuration(os.Getenv("DUNLIN_CHAOS")); err == nil {
		length = d
	}
	t.Logf("DUNLIN_SEED=%d", seed)
	return seed, length
}

func chaos(t *testing.T, lose func(*testing.T, *testkit.Redis)) {
	seed, length := chaosSettings(t)
	r := testkit.StartRedis(t)
	var names []string
	for i := range 4 {
		names = append(names, fmt.Sprint("presence-", i), fmt.Sprint("room-", i), fmt.Sprint("plain-", i))
	}
	actors := make([]*actor, 4)
	until := time.Now().Add(length)
	var all sync.WaitGroup
	for i := range actors {
		a := &actor{t: t, rng: rand.New(rand.NewPCG(seed, uint64(i))), proxy: testkit.StartProxy(t, r.Socket)}
		actors[i] = a
		all.Go(func() {
			a.start()
			a.act(names, until)
		})
	}
	if lose != nil {
		all.Go(func() {
			<-time.After(length / 3)
			lose(t, r)
		})
	}
	all.Wait()
	c := &checker{t: t, actors: actors, names: names, db: goredis.NewClient(&goredis.Options{Network: "unix", Addr: r.Socket})}
	defer c.db.Close()
	c.check(lose != nil)
	for i, a := range actors {
		s := a.engine.Stats()
		var rejoins []uint64
		for r := range s.Rejoins {
			rejoins = append(rejoins, s.Rejoins[r].Load())
		}
		t.Logf("node %d since it began last: %d crashes, rejoins %v %v, %d reconnects, %d gaps, %d batches, %d operations, %d reaped", i, a.crashes,
			reasonNames, rejoins, s.Reconnects.Load(), s.Gaps.Load(), s.Batches.Load(), s.Operations.Load(), s.Reaped.Load())
		if err := a.engine.Close(); err != nil {
			t.Error(err)
		}
	}
}

func flush(t *testing.T, r *testkit.Redis) {
	if _, err := r.Do("FLUSHALL"); err != nil {
		t.Error(err)
	}
}

// loseAll is a restart of a Redis that keeps nothing on disk.
func loseAll(_ *testing.T, r *testkit.Redis) {
	r.Kill()
	r.Start()
}

// loseSome is a failover to a replica that was behind: Redis comes back with what it
// had a while ago.
func loseSome(t *testing.T, r *testkit.Redis) {
	if _, err := r.Do("SAVE"); err != nil {
		t.Error(err)
	}
	<-time.After(500 * time.Millisecond)
	r.Kill()
	r.Start()
}

// checker compares what there is with the truth, once everything is quiet.
type checker struct {
	t      *testing.T
	actors []*actor
	names  []string
	db     *goredis.Client
}

const chaosPre = "dunlin:{0}:"

func (c *checker) truth(name string) (count int, users []string) {
	is := map[string]bool{}
	for _, a := range c.actors {
		count += a.counts[name]
		for u := range a.users[name] {
			is[u] = true
		}
	}
	for u := range is {
		users = append(users, u)
	}
	slices.Sort(users)
	return count, users
}

func (c *checker) check(loss bool) {
	ctx := context.Background()
	wrong := ""
	ok := func() bool {
		wrong = c.wrong(ctx)
		return wrong == ""
	}
	deadline := time.Now().Add(15 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			c.t.Fatalf("not the truth: %s", wrong)
		}
		<-tick.C
	}
	if !loss { // what waited in the outbox went with the data
		c.webhooks(ctx)
	}
	for _, a := range c.actors {
		for _, f := range a.observer.faults {
			c.t.Error(f)
		}
	}
}

// wrong says what does not agree with the truth; "": all does.
func (c *checker) wrong(ctx context.Context) string {
	incs := c.db.ZRange(ctx, chaosPre+"hb", 0, -1).Val()
	if len(incs) != len(c.actors) {
		return fmt.Sprint("incarnations ", incs)
	}
	for _, name := range c.names {
		cid := "app:" + name
		count, users := c.truth(name)
		got, on := 0, 0
		for _, inc := range incs {
			n, _ := c.db.HGet(ctx, chaosPre+"nc:"+inc, cid).Int()
			got += n
			if n > 0 {
				on++
			}
		}
		if got != count {
			return fmt.Sprintf("%s has %d of %d subscriptions", name, got, count)
		}
		if n := int(c.db.HLen(ctx, chaosPre+"o:"+cid).Val()); chaosFlags(name) != 0 && n != on {
			return fmt.Sprintf("%s is occupied on %d nodes, not %d", name, n, on)
		}
		if w := c.wrongMembers(ctx, name, users); w != "" {
			return w
		}
		for i, a := range c.actors {
			a.observer.mu.Lock()
			n := a.observer.counts[ch(name)]
			a.observer.mu.Unlock()
			if a.counts[name] > 0 && chaosFlags(name)&cluster.CountEvents != 0 && n != count {
				return fmt.Sprintf("node %d believes that %s has %d of %d subscriptions", i, name, n, count)
			}
		}
	}
	for _, q := range []string{"vq", "mq"} {
		if n := c.db.ZCard(ctx, chaosPre+q).Val(); n != 0 {
			return fmt.Sprintf("%d timers in %s", n, q)
		}
	}
	return c.leftovers(ctx, incs)
}

func (c *checker) wrongMembers(ctx context.Context, name string, users []string) string {
	fields := c.db.HKeys(ctx, chaosPre+"p:app:"+name).Val()
	var got []string
	for _, f := range fields {
		if f != "v" {
			got = append(got, f[1:])
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, users) {
		return fmt.Sprintf("%s has members %v, not %v", name, got, users)
	}
	for i, a := range c.actors {
		if seen := a.observer.in(ch(name)); len(a.users[name]) > 0 && !slices.Equal(seen, users) {
			return fmt.Sprintf("node %d believes that %s has members %v, not %v", i, name, seen, users)
		}
	}
	return ""
}

// leftovers looks for keys of nodes that are no more.
func (c *checker) leftovers(ctx context.Context, incs []string) string {
	for _, key := range c.db.Keys(ctx, chaosPre+"*").Val() {
		kind, inc, _ := strings.Cut(strings.TrimPrefix(key, chaosPre), ":")
		if slices.Contains([]string{"l", "nc", "nb"}, kind) && !slices.Contains(incs, inc) {
			return "left over: " + key
		}
	}
	return ""
}

// webhooks alternate and end in the truth.
func (c *checker) webhooks(ctx context.Context) {
	is := map[string]bool{}
	list := c.db.XRange(ctx, chaosPre+"wh", "-", "+").Val()
	for _, m := range list {
		name, _ := m.Values["n"].(string)
		of := fmt.Sprint(m.Values["c"], "|", m.Values["u"])
		came := name == "channel_occupied" || name == "member_added"
		if is[of] == came {
			c.t.Errorf("%s of %s does not alternate", name, of)
		}
		is[of] = came
	}
	for _, name := range c.names {
		if chaosFlags(name) == 0 {
			continue
		}
		count, users := c.truth(name)
		if is["app:"+name+"|<nil>"] != (count > 0) {
			c.t.Errorf("webhooks end with %s occupied %v", name, count == 0)
		}
		for i := range 5 {
			u := fmt.Sprint("u", i)
			if in := is["app:"+name+"|"+u]; in != slices.Contains(users, u) {
				c.t.Errorf("webhooks end with %s in %s %v", u, name, in)
			}
		}
	}
	c.t.Logf("%d webhooks", len(list))
}
