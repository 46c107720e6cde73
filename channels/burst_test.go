package channels

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dunlin/apps"
	"dunlin/protocol"
)

// A burst must not make one turn as long as the burst: between turns sockets are
// read.
func TestBurstInSlices(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, nil)
	a, b := w.open(0), w.open(0)
	a.subscribe("room", "")
	b.subscribe("room", "")
	a.got, b.got = nil, nil
	const events = 8000
	for i := range events {
		w.publish("room", "e", fmt.Sprint(i), protocol.SocketID{})
	}
	turns := 1
	for ; w.loops[0].shard.Turn(time.Time{}); turns++ {
		if most := turns * (stepBytes/len(event(0)) + 1); len(a.got) > most || len(b.got) != len(a.got) {
			t.Fatalf("after %d turns: %d and %d events", turns, len(a.got), len(b.got))
		}
	}
	for _, c := range []*tab{a, b} {
		for i := range events {
			if c.got[i] != event(i) {
				t.Fatalf("event %d is %s", i, c.got[i])
			}
		}
	}
	if left := w.hub.shards[0].box.Weight(); turns < 5 || left != 0 {
		t.Errorf("%d turns, weight %d left in the mailbox", turns, left)
	}
}

// A room that always has a fan-out under way must not grow with everybody who
// ever was in it, and who stays must get each event once and in order.
func TestBusyRoomForgetsWhoLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, nil)
	join := func() *tab {
		c := w.open(0)
		c.subscribe("room", "")
		c.got = nil
		return c
	}
	const present = turnBudget + 200
	var stay, guests []*tab
	for range present {
		stay, guests = append(stay, join()), append(guests, join())
	}
	published := 0
	publish := func() {
		w.publish("room", "e", fmt.Sprint(published), protocol.SocketID{})
		published++
	}
	publish()
	for range 20 {
		publish()
		if !w.loops[0].shard.Turn(time.Time{}) {
			t.Fatal("the room was idle")
		}
		for i, g := range guests {
			g.unsubscribe("room")
			if checkRun(g.got) != nil {
				t.Fatal(checkRun(g.got))
			}
			guests[i] = join()
		}
	}
	r := w.hub.shards[0].rooms[stay[0].session.(*session).subs.list[0].entry]
	if n := len(r.subs); n > 5*present {
		t.Errorf("%d places for %d subscribers", n, 2*present)
	}
	w.turn()
	for _, c := range stay {
		if err := checkRun(c.got); err != nil || len(c.got) != published {
			t.Fatalf("%d of %d events, %v", len(c.got), published, err)
		}
	}
	if left := w.hub.shards[0].box.Weight(); left != 0 {
		t.Errorf("weight %d left in the mailbox", left)
	}
}

// checkRun wants events without a gap.
func checkRun(got []string) error {
	if len(got) == 0 {
		return nil
	}
	first := 0
	for event(first) != got[0] {
		if first++; first > 1000 {
			return fmt.Errorf("no event: %s", got[0])
		}
	}
	for i := range got {
		if got[i] != event(first+i) {
			return fmt.Errorf("event %d after %d events is %s", i, first, strings.Join(got[i:], " "))
		}
	}
	return nil
}

// Who joins and leaves all the time is not read from while loops are behind with
// telling the others: or mailboxes would grow without bound, and publishers never
// find room.
func TestFlappingMemberIsHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, func(o *Options, _ *apps.App) { o.MailboxBytes = 2000 })
	flapper, other := w.open(0), w.open(1)
	other.subscribe("presence-r", member("other"))
	w.settle()
	flaps := 0
	for ; !flapper.paused && flaps < 1000; flaps++ {
		flapper.subscribe("presence-r", member("flapper"))
		flapper.unsubscribe("presence-r")
		w.told()
	}
	if !flapper.paused {
		t.Fatalf("still read from after %d flaps, %d bytes in the mailbox", flaps, w.hub.shards[1].box.Weight())
	}
	w.until("reading to go on", func() bool { return !flapper.paused })
}
