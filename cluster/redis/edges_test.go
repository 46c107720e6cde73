//go:build redis

package redis

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"dunlin/cluster"
	"dunlin/internal/testkit"
	"dunlin/protocol"
)

// PITFALLS 14: two nodes gain the first subscriber of a channel at once, and lose
// the last at once; with a user on both (PITFALLS 13). Webhooks hear of each once.
func TestFirstAndLastAtOnce(t *testing.T) {
	t.Parallel()
	r := testkit.StartRedis(t)
	a, _ := begin(t, r.URL())
	b, _ := begin(t, r.URL())
	const channels, f = 40, cluster.TrackOccupancy | cluster.HasMembers | cluster.TrackMembers
	onBoth := func(do func(e *Engine, key protocol.ChannelKey)) {
		var all sync.WaitGroup
		for _, e := range []*Engine{a, b} {
			all.Go(func() {
				for i := range channels {
					do(e, ch(fmt.Sprint("presence-", i)))
				}
			})
		}
		all.Wait()
	}
	told := func() (list []string) {
		found, err := a.slices[0].client.XRange(context.Background(), a.slices[0].pre+"wh", "-", "+").Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range found {
			list = append(list, strings.TrimSuffix(fmt.Sprint(m.Values["c"], " ", m.Values["n"], " ", m.Values["u"]), " <nil>"))
		}
		return list
	}
	onBoth(func(e *Engine, key protocol.ChannelKey) {
		e.Occupy(key, f, 1)
		e.Attach(key, func(error) {})
		e.Join(key, f, protocol.Member{ID: "ann", Data: `{"user_id":"ann"}`}, 0, func(cluster.Roster, error) {})
	})
	testkit.Until(t, "everybody's arrival", func() bool { return len(told()) >= 2*channels })
	onBoth(func(e *Engine, key protocol.ChannelKey) {
		e.Leave(key, f, "ann")
		e.Occupy(key, f, 0)
		e.Detach(key)
	})
	testkit.Until(t, "everybody's departure", func() bool { return len(told()) >= 4*channels })
	got, want := told(), []string(nil)
	for i := range channels {
		name := fmt.Sprint("app:presence-", i, " ")
		want = append(want, name+"channel_occupied", name+"member_added ann", name+"member_removed ann", name+"channel_vacated")
	}
	for i := 0; i < len(want); i += 4 {
		name, _, _ := strings.Cut(want[i], " ")
		of := slices.DeleteFunc(slices.Clone(got), func(s string) bool { return !strings.HasPrefix(s, name+" ") })
		if !slices.Equal(of, want[i:i+4]) {
			t.Errorf("told %q, want %q", of, want[i:i+4])
		}
	}
}
