package channels

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"dunlin/apps"
	"dunlin/protocol"
)

// census counts frames that were made, each once however often it was sent.
type census map[*protocol.Frame]bool

func (c census) of(event string) (n int) {
	for f := range c {
		if strings.HasPrefix(string(f.Payload()), `{"event":"pusher_internal:`+event) {
			n++
		}
	}
	return n
}

// counted is a tab that keeps no texts, but takes part in a census.
type counted struct {
	*tab
	census census
	sent   int
}

func (c *counted) Send(f *protocol.Frame) { c.census[f] = true; c.sent++ }

// crowd opens a connection for each of n users, spread over the loops.
func (w *world) crowd(n int, c census) (list []*counted) {
	for i := range n {
		member := &counted{tab: w.open(i % len(w.loops)), census: c}
		member.session.(*session).conn = member
		list = append(list, member)
	}
	return list
}

func (c *counted) join(i int) { c.subscribe("presence-room", member(fmt.Sprint("user-", i))) }

// answered takes turns until all have an answer to their join.
func (w *world) answered(all []*counted) {
	w.t.Helper()
	w.told()
	w.until("answers to all joins", func() bool {
		return !slices.ContainsFunc(all, func(c *counted) bool { return c.sent == 0 })
	})
}

func unlimited(_ *Options, a *apps.App) { a.Limits.PresenceMembers = 0 }

// A storm of joins costs one snapshot for all who come together, and one
// member_added each for all who were there (PROTOCOL 2.33, 2.36).
func TestJoinStormEncodes(t *testing.T) {
	t.Parallel()
	const n = 500
	w := newWorld(t, 2, unlimited)
	c := census{}
	all := w.crowd(2*n, c)
	for i, member := range all[:n] {
		member.join(i)
	}
	w.answered(all[:n])
	if snapshots, added := c.of("subscription_succeeded"), c.of("member_added"); snapshots != 1 || added != 0 {
		t.Errorf("%d came together: %d snapshots and %d member_added were made", n, snapshots, added)
	}
	clear(c)
	for i, member := range all[n:] {
		member.join(n + i)
	}
	w.answered(all)
	if snapshots, added := c.of("subscription_succeeded"), c.of("member_added"); snapshots != 1 || added != n {
		t.Errorf("%d came to %d: %d snapshots and %d member_added were made", n, n, snapshots, added)
	}
	for i, member := range all {
		want := 1 // the snapshot, with all of those who came together
		if i < n {
			want += n
		}
		if member.sent != want {
			t.Fatalf("member %d was sent %d frames, want %d", i, member.sent, want)
		}
	}
}

// Snapshots of a storm on a large channel go out in more than one turn, so that
// sockets are read in between. Each is of the members at that moment, and who has
// it hears of those who come later.
func TestJoinStormInSlices(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, func(_ *Options, a *apps.App) {
		a.Limits.PresenceMembers, a.Limits.PresenceMemberBytes = 0, 0
	})
	c := census{}
	all := w.crowd(100, c)
	for i, m := range all {
		info := strings.Repeat("x", 2*admitBytes/len(all)/len(all)) // so that all answers are twice what a turn may have
		m.subscribe("presence-room", fmt.Sprintf(`{"user_id":"%d","user_info":"%s"}`, i, info))
	}
	w.told()
	turns := 1
	for ; w.loops[0].shard.Turn(w.hub.opts.Now()) || all[len(all)-1].sent == 0; turns++ {
		if turns > len(all) {
			t.Fatal("the last one is not answered")
		}
	}
	for i, m := range all {
		if m.sent != 1 {
			t.Errorf("member %d was sent %d frames", i, m.sent)
		}
	}
	if snapshots := c.of("subscription_succeeded"); turns < 2 || turns > 4 || snapshots != 1 {
		t.Errorf("%d turns, %d snapshots", turns, snapshots)
	}
}

// Who leaves while he waits is not remembered: a channel that is never empty would
// else keep everybody who was in a hurry.
func TestWaitingIsForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, nil)
	stays, hurries := w.open(0), w.open(0)
	stays.subscribe("presence-room", member("a"))
	w.settle()
	for range 50 {
		hurries.subscribe("presence-room", member("b"))
		hurries.unsubscribe("presence-room")
	}
	w.settle()
	e := w.hub.dir.find(protocol.ChannelKey{App: "1", Name: "presence-room"})
	defer e.mu.Unlock()
	if len(e.waiting) != 0 || e.refs != 1 {
		t.Errorf("%d wait, %d subscriptions", len(e.waiting), e.refs)
	}
}

// BenchmarkJoinStorm is what a join costs where 1,000 come at once, and where each
// comes in a turn of its own.
func BenchmarkJoinStorm(b *testing.B) {
	const n = 1000
	for _, together := range []int{n, 100, 1} {
		b.Run(fmt.Sprintf("%d-together", together), func(b *testing.B) {
			made := 0
			for b.Loop() {
				b.StopTimer()
				w := newWorld(b, 2, unlimited)
				c := census{}
				all := w.crowd(n, c)
				b.StartTimer()
				for i, member := range all {
					if member.join(i); (i+1)%together == 0 {
						w.answered(all[:i+1])
					}
				}
				b.StopTimer()
				made += len(c)
				b.StartTimer()
			}
			b.ReportMetric(float64(made)/float64(b.N*n), "frames-made/join")
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/join")
		})
	}
}
