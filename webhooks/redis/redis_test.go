//go:build redis

package redis

import (
	"context"
	"fmt"
	"testing"
	"time"

	"dunlin/internal/testkit"
	"dunlin/protocol"
	"dunlin/webhooks"
	"dunlin/webhooks/contract"
)

func open(t *testing.T, o Options) *Queue {
	t.Helper()
	q, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

func TestContract(t *testing.T) {
	t.Parallel()
	contract.Run(t, func(t *testing.T) webhooks.Queue {
		return open(t, Options{URL: testkit.StartRedis(t).URL(), Poll: 5 * time.Millisecond})
	})
}

// What a node took and did not settle before it died is taken by another, and only
// that.
func TestAbandoned(t *testing.T) {
	t.Parallel()
	url := testkit.StartRedis(t).URL()
	a := open(t, Options{URL: url, Node: "a"})
	for i := range 4 {
		e := webhooks.Event{App: "1", Name: protocol.HookOccupied, Channel: fmt.Sprint(i), At: time.Now()}
		if err := a.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	list, err := a.Take(t.Context(), 3)
	if err != nil || len(list) != 3 {
		t.Fatal(list, err)
	}
	if err := a.Settle(t.Context(), webhooks.Outcome{ID: list[0].ID}); err != nil {
		t.Fatal(err)
	}
	a.Close()
	b := open(t, Options{URL: url, Node: "b", Idle: 50 * time.Millisecond, Poll: 5 * time.Millisecond})
	seen := map[string]bool{}
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	for len(seen) < 3 {
		more, err := b.Take(ctx, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range more {
			if seen[e.ID] || e.ID == list[0].ID {
				t.Errorf("%s again", e.ID)
			}
			seen[e.ID] = true
		}
	}
}

// Each slice has one node that takes from it, whoever asks.
func TestOneTakerForEachSlice(t *testing.T) {
	t.Parallel()
	nodes := []string{"a", "b", "c"}
	share := map[string]int{}
	for s := range 256 {
		first := 0
		for _, n := range nodes {
			if firstFor(s, nodes, n) {
				first++
				share[n]++
			}
		}
		if first != 1 {
			t.Errorf("slice %d has %d takers", s, first)
		}
	}
	for n, of := range share {
		if of < 50 {
			t.Errorf("%s takes from %d slices of 256", n, of)
		}
	}
}

// What a dead node had taken comes before what is new, and long before anybody else's
// would be taken for abandoned.
func TestInherited(t *testing.T) {
	t.Parallel()
	r := testkit.StartRedis(t)
	lives := func(node string) {
		if _, err := r.Do("ZADD", "dunlin:{0}:hb", "1", node+".1"); err != nil {
			t.Fatal(err)
		}
	}
	o := Options{URL: r.URL(), Node: "a", Idle: 3 * time.Second, Poll: 5 * time.Millisecond}
	add := func(q *Queue, name protocol.HookType) {
		t.Helper()
		if err := q.Append(t.Context(), webhooks.Event{App: "1", Name: name, Channel: "c", At: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	lives("a")
	a := open(t, o)
	add(a, protocol.HookOccupied)
	if list, err := a.Take(t.Context(), 10); err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	testkit.Until(t, "it was long ago", func() bool {
		idle, err := a.client(0).XInfoConsumers(t.Context(), a.key(0, "wh"), group).Result()
		return err == nil && idle[0].Idle > o.Idle/6
	})
	a.Close()
	if _, err := r.Do("ZREM", "dunlin:{0}:hb", "a.1"); err != nil {
		t.Fatal(err)
	}
	lives("b")
	o.Node = "b"
	b := open(t, o)
	b.claimed[0] = time.Now() // nothing is taken for abandoned now
	add(b, protocol.HookVacated)
	for _, want := range []protocol.HookType{protocol.HookOccupied, protocol.HookVacated} {
		list, err := b.Take(t.Context(), 1)
		if err != nil || len(list) != 1 || list[0].Name != want {
			t.Fatalf("%+v, %v, want %s", list, err, want)
		}
	}
}
