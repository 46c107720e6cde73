package memory

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"dunlin/cluster"
	"dunlin/cluster/contract"
	"dunlin/protocol"
	"dunlin/webhooks"
	queues "dunlin/webhooks/memory"
)

// withQueue makes an outbox and the queue behind it.
func withQueue(t *testing.T) (*webhooks.Outbox, *queues.Queue) {
	q := queues.New(queues.Options{})
	b := webhooks.NewOutbox(webhooks.OutboxOptions{Queue: q, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
		q.Close()
	})
	return b, q
}

func TestTransitionsContract(t *testing.T) {
	t.Parallel()
	contract.RunTransitions(t, func(t *testing.T) (cluster.Engine, webhooks.Queue) {
		b, q := withQueue(t)
		return New(Options{Webhooks: b, Debounce: 250 * time.Millisecond}), q
	})
}

// told closes an outbox and lists what it was given.
func told(t *testing.T, b *webhooks.Outbox, q *queues.Queue) (out []string) {
	t.Helper()
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	left, _ := q.Left()
	for _, e := range left {
		out = append(out, strings.TrimSpace(fmt.Sprint(e.Name, " ", e.Channel, " ", e.User)))
	}
	return out
}

// PROTOCOL 6.7, 6.8, by the clock of the test: what is due when
func TestDebounce(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	at := func(seconds float64) time.Time { return time.Unix(1000, int64(seconds*1e9)) }
	b, q := withQueue(t)
	tr := newTransitions(Options{Webhooks: b, Debounce: 3 * time.Second, Now: func() time.Time { return now }})
	room := place{channel: protocol.ChannelKey{App: "1", Name: "room"}}
	ann, bob := room, room
	ann.user, bob.user = "ann", "bob"
	due := func(seconds, next float64) {
		t.Helper()
		got, more := tr.tell(at(seconds))
		if more != (next > 0) || more && !got.Equal(at(next)) {
			t.Errorf("at %v: next %v, %v; want %v", seconds, got.Sub(time.Unix(1000, 0)), more, next)
		}
	}
	tr.came(room)
	tr.came(ann)
	tr.came(bob)
	due(0, 0)
	tr.went(bob) // due at 3
	now = at(1)
	tr.went(ann) // due at 4
	now = at(1.5)
	tr.went(room) // due at 4.5
	due(2.9, 3)
	due(3, 4) // bob is gone
	now = at(3.5)
	tr.came(room)
	tr.came(bob) // anew
	due(3.9, 4)
	due(10, 0) // ann is gone, the room is occupied
	now = at(10)
	tr.went(bob)
	tr.went(room)
	now = at(12.9)
	tr.came(room)
	tr.came(bob)
	tr.went(room)
	due(13, 15.9) // it left anew at 12.9
	due(15.9, 0)
	want := []string{"channel_occupied room", "member_added room ann", "member_added room bob", "member_removed room bob",
		"member_added room bob", "member_removed room ann", "channel_vacated room"}
	if got := told(t, b, q); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if len(tr.leaving) != 0 || tr.order.Len() != 0 {
		t.Error("something is kept for ever")
	}
}

// A node that stops tells at once who was about to be gone.
func TestCloseTellsDepartures(t *testing.T) {
	t.Parallel()
	b, q := withQueue(t)
	e := New(Options{Webhooks: b, Debounce: time.Hour})
	if err := e.Start(nobody{}); err != nil {
		t.Fatal(err)
	}
	ch := protocol.ChannelKey{App: "1", Name: "room"}
	e.Occupy(ch, cluster.TrackOccupancy, 1)
	e.Occupy(ch, cluster.TrackOccupancy, 0)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if got := told(t, b, q); !slices.Equal(got, []string{"channel_occupied room", "channel_vacated room"}) {
		t.Errorf("got %q", got)
	}
}

// nobody is a Handler that is not called.
type nobody struct{ cluster.Handler }
