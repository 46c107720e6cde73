package memory

import (
	"slices"
	"strings"
	"testing"
	"time"

	"dunlin/cluster"
	"dunlin/protocol"
	"dunlin/webhooks"
)

const tracked = cluster.TrackOccupancy | cluster.HasMembers | cluster.TrackMembers

func key(name string) protocol.ChannelKey { return protocol.ChannelKey{App: "1", Name: name} }

func join(e *Engine, ch protocol.ChannelKey, f cluster.Flags, user string) {
	e.Occupy(ch, f, 1)
	e.Join(ch, f, protocol.Member{ID: user}, 0, func(cluster.Roster, error) {})
}

// One process takes the place of another: of who comes back to it nothing is told,
// of the others that they are gone, members first, and by the second process only.
func TestHandOver(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	clock := func() time.Time { return now }
	b, q := withQueue(t)
	first := New(Options{Webhooks: b, Now: clock})
	for _, name := range []string{"room", "left"} {
		join(first, key(name), tracked, "ann")
		join(first, key(name), tracked, "bob")
	}
	join(first, key("untold"), 0, "ann")
	first.Leave(key("left"), tracked, "bob") // this is still to be told
	list := first.HandOver()
	first.Leave(key("room"), tracked, "ann")
	join(first, key("new"), tracked, "ann")
	first.edges.tell(now.Add(never))
	if got := told(t, b, q); len(got) != 6 || slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, "new") || strings.Contains(s, "removed") }) {
		t.Errorf("the first told %q", got)
	}

	b, q = withQueue(t)
	second := New(Options{Webhooks: b, Now: clock})
	second.Expect(list, 10*time.Second)
	due := func(seconds, next int64) {
		t.Helper()
		now = time.Unix(1000+seconds, 0)
		if got, more := second.edges.tell(now); more != (next > 0) || more && got.Unix() != 1000+next {
			t.Errorf("at %d: next %v %v, want %d", seconds, got, more, next)
		}
	}
	due(9, 10)
	join(second, key("room"), tracked, "bob")
	second.Leave(key("room"), tracked, "bob") // as anybody would: told in three seconds
	join(second, key("left"), tracked, "ann")
	due(9, 10)
	due(10, 12)
	due(12, 0)
	got := told(t, b, q)
	want := []string{"member_removed left bob", "member_removed room ann", "member_removed room bob"}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("the second told %q, want %q", got, want)
	}
}

// Who is handed over and never comes back: members are gone before their channels.
func TestExpectInVain(t *testing.T) {
	t.Parallel()
	b, q := withQueue(t)
	first := New(Options{Webhooks: b})
	for _, name := range []string{"a", "b"} {
		join(first, key(name), tracked, "ann")
	}
	list := first.HandOver()
	if again := New(Options{Webhooks: b}); again.edges != nil {
		again.Expect(list, time.Hour)
		list = again.HandOver() // before anybody has come: nobody is forgotten
	}
	told(t, b, q)
	b, q = withQueue(t)
	second := New(Options{Webhooks: b})
	second.Expect(list, 0)
	second.edges.tell(time.Now())
	got := told(t, b, q)
	if len(got) != 4 {
		t.Fatalf("told %q", got)
	}
	slices.Sort(got[:2])
	slices.Sort(got[2:])
	if want := []string{"member_removed a ann", "member_removed b ann", "channel_vacated a", "channel_vacated b"}; !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	if New(Options{}).HandOver() != nil {
		t.Error("an engine of which nobody hears has something to hand over")
	}
	New(Options{}).Expect([]webhooks.Event{{}}, 0)
}
