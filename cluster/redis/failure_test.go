//go:build redis

package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"dunlin/cluster"
	"dunlin/internal/testkit"
)

func beginWith(t *testing.T, o Options) (*Engine, *observer) {
	t.Helper()
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return started(t, e)
}

// An outage that is longer than all leases kills nobody: when Redis is back every
// node is, and no member was away.
func TestNobodyLeavesInAnOutage(t *testing.T) {
	t.Parallel()
	t.Run("frozen", func(t *testing.T) {
		t.Parallel()
		nobodyLeaves(t, func(r *testkit.Redis) { r.Signal(syscall.SIGSTOP) }, func(r *testkit.Redis) { r.Signal(syscall.SIGCONT) })
	})
	t.Run("restarted", func(t *testing.T) {
		t.Parallel()
		nobodyLeaves(t, (*testkit.Redis).Kill, (*testkit.Redis).Start)
	})
}

func nobodyLeaves(t *testing.T, away, back func(*testkit.Redis)) {
	r := testkit.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	a, ao := begin(t, r.URL())
	b, bo := begin(t, r.URL())
	soon(t, enter(a, ao, "presence-p", "ann"))
	soon(t, enter(b, bo, "presence-p", "bob"))
	testkit.Until(t, "both see both", func() bool {
		return len(ao.in(ch("presence-p"))) == 2 && len(bo.in(ch("presence-p"))) == 2
	})
	before := versionOf(ao, "presence-p")
	away(r)
	<-time.After(3 * a.opts.Lease)
	back(r)
	testkit.Until(t, "both are back", func() bool { return a.slices[0].settled() && b.slices[0].settled() })
	// A node that dies is swept away: so the others have swept since.
	dead, do := quick(t, r.URL()), newObserver()
	if err := dead.Start(do); err != nil {
		t.Fatal(err)
	}
	soon(t, enter(dead, do, "presence-q", "cy"))
	dead.end()
	dead.running.Wait()
	dead.shared.Close()
	testkit.Until(t, "the dead node is swept away", func() bool {
		return a.stats.Reaped.Load()+b.stats.Reaped.Load() > 0
	})
	if n := a.stats.Rejoins[fenced].Load() + b.stats.Rejoins[fenced].Load(); n > 0 {
		t.Errorf("%d nodes were taken for dead", n)
	}
	if after := versionOf(ao, "presence-p"); after != before {
		t.Errorf("members changed: version %d, then %d", before, after)
	}
}

func versionOf(o *observer, channel string) uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.roster(ch(channel)).version
}

// A publish whose answer did not come may have been done: it is not called refused.
func TestPublishWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	r := testkit.StartRedis(t)
	a, ao := begin(t, r.URL())
	soon(t, enter(a, ao, "presence-p", "ann"))
	r.Signal(syscall.SIGSTOP)
	if _, err := a.Publish(context.Background(), []cluster.Publication{event("presence-p", "late")}); !errors.Is(err, cluster.ErrUncertain) {
		t.Errorf("no answer in time: %v", err)
	}
	testkit.Until(t, "it is known", func() bool { return !a.slices[0].up() })
	if _, err := a.Publish(context.Background(), []cluster.Publication{event("presence-p", "never")}); !errors.Is(err, cluster.ErrUnavailable) || errors.Is(err, cluster.ErrUncertain) {
		t.Errorf("Redis is known to be away: %v", err)
	}
	r.Signal(syscall.SIGCONT)
	testkit.Until(t, "it was published", func() bool {
		_, err := a.Publish(context.Background(), []cluster.Publication{event("presence-p", "after")})
		return err == nil && has(ao, "after")
	})
	if has(ao, "never") {
		t.Error("what was refused was published")
	}
}

// Clients are sent away once an outage, and who waits to join is given up.
func TestDetached(t *testing.T) {
	t.Parallel()
	r := testkit.StartRedis(t)
	o := quickOptions(r.URL(), "")
	o.DetachAfter = 500 * time.Millisecond
	a, ao := beginWith(t, o)
	soon(t, enter(a, ao, "presence-p", "ann"))
	told := func() int {
		ao.mu.Lock()
		defer ao.mu.Unlock()
		return ao.detached
	}
	for n := 1; n <= 2; n++ {
		r.Kill()
		testkit.Until(t, "it is known", func() bool { return !a.slices[0].up() })
		if err := <-enter(a, ao, "presence-q", "bob"); !errors.Is(err, cluster.ErrUnavailable) {
			t.Errorf("the join ended with %v", err)
		}
		testkit.Until(t, "clients are sent away", func() bool { return told() == n })
		if a.Health() == nil {
			t.Error("they would be sent here again")
		}
		a.Leave(ch("presence-q"), presenceFlags, "bob")
		r.Start()
		testkit.Until(t, "Redis is back", func() bool { return a.Health() == nil && a.slices[0].up() })
		if told() != n {
			t.Errorf("told %d times in %d outages", told(), n)
		}
	}
}

// With full memory events are published all or none, and all goes on once there is
// room again.
func TestRedisIsFull(t *testing.T) {
	t.Parallel()
	r := testkit.StartRedis(t)
	o := quickOptions(r.URL(), "")
	o.Lease = 8 * time.Second // it finds out by itself, but not before the first publish
	a, ao := beginWith(t, o)
	soon(t, enter(a, ao, "presence-p", "ann"))
	full := func(bytes string) {
		if answer, err := r.Do("CONFIG", "SET", "maxmemory", bytes); err != nil || answer != "+OK" {
			t.Fatal(answer, err)
		}
	}
	full("1")
	kept := event("presence-cache-c", "kept")
	kept.Keep = time.Minute
	if _, err := a.Publish(context.Background(), []cluster.Publication{event("presence-p", "plain"), kept}); !errors.Is(err, cluster.ErrUnavailable) || errors.Is(err, cluster.ErrUncertain) {
		t.Errorf("publishing to a full Redis: %v", err)
	}
	joined := enter(a, ao, "presence-q", "bob")
	full("0")
	soon(t, joined)
	testkit.Until(t, "events flow", func() bool {
		_, err := a.Publish(context.Background(), []cluster.Publication{event("presence-p", "again"), kept})
		return err == nil && has(ao, "again")
	})
	if has(ao, "plain") {
		t.Error("a part of what was refused was published")
	}
	if got := ao.in(ch("presence-p")); !slices.Equal(got, []string{"ann"}) {
		t.Errorf("members %v", got)
	}
}

// A sweep that lay before a Redis that stood still comes too late to judge.
func TestLateSweepDoesNothing(t *testing.T) {
	t.Parallel()
	r := testkit.StartRedis(t)
	e := quick(t, r.URL())
	defer e.shared.Close()
	s, ctx := e.slices[0], testkit.Context(t)
	if err := s.client.ZAdd(ctx, s.pre+"hb", goredis.Z{Score: 1, Member: "dead.1"}).Err(); err != nil {
		t.Fatal(err)
	}
	if s.sweep() {
		t.Error("a sweep without a time took a node for dead")
	}
	if _, _, err := s.register("own.1", "1"); err != nil {
		t.Fatal(err)
	}
	if !s.sweep() {
		t.Error("a sweep in time did not take a node for dead")
	}
}

// While Redis stands still, and connections to it are open, channels without members
// are subscribed to as if it were gone.
func TestAttachWhileRedisStandsStill(t *testing.T) {
	t.Parallel()
	r := testkit.StartRedis(t)
	o := quickOptions(r.URL(), "")
	o.Probe = time.Minute // the pub/sub connection does not find out by itself
	a, _ := beginWith(t, o)
	r.Signal(syscall.SIGSTOP)
	defer r.Signal(syscall.SIGCONT)
	answered := make(chan error, 1)
	if !a.Attach(ch("early"), func(err error) { answered <- err }) {
		soon(t, answered)
	}
	testkit.Until(t, "it is known", func() bool { return !a.slices[0].up() })
	if !a.Attach(ch("late"), func(error) {}) {
		t.Error("a topic is waited for although Redis is known to be away")
	}
}

// A slice says of which deployment it is.
func TestAnotherLayoutIsRefused(t *testing.T) {
	t.Parallel()
	r := testkit.StartRedis(t)
	begin(t, r.URL())
	for _, c := range []struct {
		urls   string
		slices int
	}{
		{r.URL(), 2},
		{r.URL(), 8},
		{r.URL() + " " + testkit.StartRedis(t).URL(), 2},
	} {
		o := quickOptions(c.urls, "")
		o.Slices = c.slices
		e, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Start(newObserver()); err == nil || !strings.Contains(err.Error(), "belongs to a deployment with other settings") {
			t.Errorf("%d slices at %q: %v", c.slices, c.urls, err)
		}
	}
}

func TestEvictionIsWarnedOf(t *testing.T) {
	t.Parallel()
	r := testkit.StartRedis(t, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
	var log strings.Builder
	o := quickOptions(r.URL(), "")
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(e.Start(newObserver()), e.Close()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "set maxmemory-policy to noeviction") {
		t.Errorf("the log says\n%s", log.String())
	}
}

// Streams are cut by whole nodes of 100 entries.
func TestOutboxIsBounded(t *testing.T) {
	t.Parallel()
	r := testkit.StartRedis(t)
	o := quickOptions(r.URL(), "")
	o.Outbox = 100
	a, _ := beginWith(t, o)
	const n = 1000
	for i := range n {
		a.Occupy(ch(fmt.Sprint("c", i)), cluster.TrackOccupancy, 1)
	}
	testkit.Until(t, "all are told", func() bool { return a.stats.Operations.Load() >= n })
	waiting, err := a.slices[0].client.XLen(testkit.Context(t), a.slices[0].pre+"wh").Result()
	if err != nil || waiting < 100 || waiting > 300 {
		t.Errorf("%d webhooks wait, %v", waiting, err)
	}
}

// What nobody can publish now is refused once there is too much of it.
func TestOffersAreBounded(t *testing.T) {
	t.Parallel()
	r := testkit.StartRedis(t)
	o := quickOptions(r.URL(), "")
	o.OfferBytes = 1 << 20
	a, _ := beginWith(t, o)
	r.Signal(syscall.SIGSTOP)
	defer r.Signal(syscall.SIGCONT)
	taken, text := 0, strings.Repeat("x", 10_000)
	for a.Offer(event("room", text)) {
		taken++
	}
	if most := (o.OfferBytes+publishBytes)/len(text) + 2; taken > most {
		t.Errorf("%d events were taken, of at most %d", taken, most)
	}
}

// A node that has just begun may read the note of a terminated user before the message
// comes: the message counts, a note alone that stood there before does not.
func TestTerminatedWhileANodeBegins(t *testing.T) {
	t.Parallel()
	r := testkit.StartRedis(t)
	for _, user := range []string{"ann", "bob"} {
		if _, err := r.Do("ZADD", "dunlin:{0}:tm", "1000", "app\n"+user); err != nil {
			t.Fatal(err)
		}
	}
	a, o := begin(t, r.URL())
	l := a.slices[0].listener
	testkit.Until(t, "the notes are read", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.before) == 2
	})
	if _, err := r.Do("PUBLISH", l.control, "T1000:app\nann"); err != nil {
		t.Fatal(err)
	}
	testkit.Until(t, "ann alone is terminated", func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		return slices.Equal(o.ended, []string{"ann"})
	})
}
