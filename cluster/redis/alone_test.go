//go:build redis

package redis

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"dunlin/cluster"
	"dunlin/internal/testkit"
)

// publishes reads how many events went through a Redis.
func publishes(t *testing.T, e *Engine) (n int) {
	t.Helper()
	text, err := e.slices[0].client.Info(context.Background(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text) {
		if calls, ok := strings.CutPrefix(line, "cmdstat_publish:calls="); ok {
			fmt.Sscan(strings.Split(calls, ",")[0], &n)
		}
	}
	return n
}

// A node that is alone delivers its events itself, in order with those that Redis has
// to count; cache channels take their way through Redis.
func TestAloneTakesTheShortCut(t *testing.T) {
	t.Parallel()
	url := testkit.StartRedis(t).URL()
	other := quick(t, url)
	if err := other.Start(newObserver()); err != nil {
		t.Fatal(err)
	}
	e, o := begin(t, url)
	for _, name := range []string{"a", "cache-c"} {
		e.Occupy(ch(name), 0, 1)
		live := make(chan error, 1)
		if !e.Attach(ch(name), func(err error) { live <- err }) {
			soon(t, live)
		}
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
	var want []string // the change of ways included
	testkit.Until(t, "events take the short cut", func() bool {
		before := publishes(t, e)
		for range 5000 { // many are on their way at once
			want = append(want, fmt.Sprint("first ", len(want)))
			for !e.Offer(event("a", want[len(want)-1])) {
				runtime.Gosched()
			}
		}
		testkit.Until(t, "all are sent", e.slices[0].publisher.idle)
		return publishes(t, e)-before < 5000
	})
	for i := range 300 {
		p := event("a", fmt.Sprint(i))
		if i%3 == 0 {
			p.Want = cluster.WantSubscriptions
		}
		r := publishAll(t, e, p)
		if i%3 == 0 && r[0].Subscriptions != 1 {
			t.Fatalf("counted %+v", r)
		}
		want = append(want, fmt.Sprint(i))
	}
	testkit.Until(t, "all events", func() bool { return len(seen(o)) >= len(want) })
	for i, got := range seen(o) {
		if got != want[i] {
			t.Fatalf("event %d is %q, not %q", i, got, want[i])
		}
	}
	before := publishes(t, e)
	for range 10 {
		publishAll(t, e, event("cache-c", "x"))
	}
	if n := publishes(t, e) - before; n < 10 {
		t.Errorf("%d of 10 events of a cache channel went through Redis", n)
	}
}

func publishAll(t *testing.T, e *Engine, p ...cluster.Publication) []cluster.Receipt {
	t.Helper()
	r, err := e.Publish(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func seen(o *observer) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.events)
}

// Another node comes and goes while both publish. Whoever is subscribed misses nothing
// from then on, and both see one order.
func TestNobodyIsAloneForLong(t *testing.T) {
	t.Parallel()
	url := testkit.StartRedis(t).URL()
	a, ao := begin(t, url)
	a.Occupy(ch("a"), 0, 1)
	a.Attach(ch("a"), func(error) {})
	end := make(chan struct{})
	var all sync.WaitGroup
	defer all.Wait()
	defer close(end)
	all.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-end:
				return
			default:
			}
			publishAll(t, a, event("a", fmt.Sprint("a", n)))
		}
	})
	for visit := range 8 {
		before := publishes(t, a)
		testkit.Until(t, "the first is alone", func() bool { // and so takes the short cut
			n := publishes(t, a)
			defer func() { before = n }()
			return n-before == 0 && len(seen(ao)) > 0
		})
		b, bo := quick(t, url), newObserver()
		if err := b.Start(bo); err != nil {
			t.Fatal(err)
		}
		b.Occupy(ch("a"), 0, 1)
		live := make(chan error, 1)
		if !b.Attach(ch("a"), func(err error) { live <- err }) {
			soon(t, live)
		}
		first := fmt.Sprint("b", visit, "-first")
		last := fmt.Sprint("b", visit, "-last")
		publishAll(t, b, event("a", first))
		for n := range 50 {
			publishAll(t, b, event("a", fmt.Sprint("b", visit, "-", n)))
		}
		publishAll(t, b, event("a", last))
		part := func(o *observer) []string {
			list := seen(o)
			from, to := slices.Index(list, first), slices.Index(list, last)
			if from < 0 || to < 0 {
				return nil
			}
			return list[from : to+1]
		}
		testkit.Until(t, "both have all", func() bool { return part(ao) != nil && part(bo) != nil })
		if here, there := part(ao), part(bo); !slices.Equal(here, there) {
			t.Errorf("visit %d: the nodes saw different events:\n%q\n%q", visit, here, there)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		ao.mu.Lock()
		ao.events = ao.events[len(ao.events):]
		ao.mu.Unlock()
	}
}

// A node that can not be told that somebody has come takes the short cut no longer
// than the newcomer waits.
func TestTheShortCutEndsByItself(t *testing.T) {
	t.Parallel()
	r := testkit.StartRedis(t)
	p := testkit.StartProxy(t, r.Socket)
	a, ao := begin(t, p.URL())
	a.Occupy(ch("a"), 0, 1)
	a.Attach(ch("a"), func(error) {})
	var begun atomic.Int64 // events that were begun
	var mu sync.Mutex
	answered := map[int64]bool{}
	end := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for {
			select {
			case <-end:
				return
			default:
			}
			n := begun.Add(1)
			if _, err := a.Publish(context.Background(), []cluster.Publication{event("a", fmt.Sprint(n))}); err == nil {
				mu.Lock()
				answered[n] = true
				mu.Unlock()
			}
		}
	})
	before := -1
	testkit.Until(t, "the first is alone", func() bool {
		n := publishes(t, a)
		defer func() { before = n }()
		return n == before && len(seen(ao)) > 0
	})
	p.Hold()
	b, bo := begin(t, r.URL())
	b.Occupy(ch("a"), 0, 1)
	live := make(chan error, 1)
	if !b.Attach(ch("a"), func(err error) { live <- err }) {
		soon(t, live)
	}
	from := begun.Load() + 1
	p.Heal()
	testkit.Until(t, "events reach the newcomer", func() bool { return len(seen(bo)) > 100 })
	close(end)
	all.Wait()
	last := fmt.Sprint(begun.Add(1))
	testkit.Until(t, "the last event", func() bool {
		_, err := a.Publish(context.Background(), []cluster.Publication{event("a", last)})
		return err == nil && has(bo, last)
	})
	came := map[string]bool{}
	for _, e := range seen(bo) {
		came[e] = true
	}
	lost := 0
	for n := range answered {
		if n >= from && !came[fmt.Sprint(n)] {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("the newcomer missed %d events that were published after it had subscribed", lost)
	}
}
