//go:build redis

package chaos

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"dunlin/internal/client"
	"dunlin/internal/testkit"
	"dunlin/protocol"
)

// What users see of each failure of Redis; of nodes see nodes_test.go. docs/scaling.md
// lists them.

// TestRedisIsAway: PITFALLS 2, 28. In whatever way it is away, publishing is refused
// with Retry-After, within a second while the node finds out and at once after that;
// who is connected stays, channels without members are subscribed to, who joins waits,
// and all goes on when it is back.
func TestRedisIsAway(t *testing.T) {
	t.Parallel()
	for _, name := range []string{restart, wipe, stop, full} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, a, b := pair(t, "")
			ann, bob := a.enter("presence-a", "ann"), b.enter("presence-a", "bob")
			a.await(ann, client.MemberAdded, "presence-a")
			w.strikeRedis(name)
			took, err := a.trigger("presence-cache-a", "e") // to be kept, which needs memory
			if o := outcome(err); o != refused && o != uncertain || took > time.Second+slack {
				t.Errorf("publishing while finding out: %v after %s", err, took)
			}
			a.isRefused("presence-a")
			plain := a.enter("room", "")
			cy := a.server.Dial()
			a.ask(cy, "presence-a", "cy")
			testkit.Until(t, "the node is not ready", func() bool { return a.health("/ready") == http.StatusServiceUnavailable })
			if a.health("/live") != http.StatusOK {
				t.Error("the node is not alive")
			}
			w.repair(step{name: name})
			a.await(cy, client.SubscriptionSucceeded, "presence-a")
			b.await(bob, client.MemberAdded, "presence-a")
			a.await(ann, client.MemberAdded, "presence-a")
			flows(b, a, plain, "room")
			flows(a, b, bob, "presence-a")
			testkit.Until(t, "the node is ready", func() bool { return a.health("/ready") == http.StatusOK })
		})
	}
}

// TestLongOutage: after detach_after clients are sent to other nodes, those who wait to
// join as well. Who comes back may stay.
func TestLongOutage(t *testing.T) {
	t.Parallel()
	w, a, _ := pair(t, "detach_after: 3s")
	ann, bob := a.enter("room", ""), a.server.Dial()
	w.strikeRedis(restart)
	a.isRefused("room")
	a.ask(bob, "presence-a", "bob")
	for name, c := range map[string]*client.Conn{"a subscriber": ann, "a joiner": bob} {
		_, err := c.Await(testkit.Context(t), "nothing", "")
		var end *protocol.Error
		if !errors.As(err, &end) || end.Code != protocol.CodeReconnect {
			t.Errorf("%s was told %v", name, err)
		}
	}
	if a.health("/ready") != http.StatusServiceUnavailable {
		t.Error("they would be sent here again")
	}
	again := a.enter("room", "")
	w.repair(step{name: restart})
	flows(a, a, again, "room")
}

// TestSlowNode: Redis gives up a node that does not read, which then finds out what it
// has missed of members.
func TestSlowNode(t *testing.T) {
	t.Parallel()
	w, a, b := pair(t, "")
	w.ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 1mb 1")
	ann, bob := a.enter("presence-a", "ann"), b.enter("presence-a", "bob")
	a.await(ann, client.MemberAdded, "presence-a")
	w.strike(step{name: freeze, node: b.number})
	text := strings.Repeat("x", 9000)
	given := func() bool { // an empty message is of no kind, and ignored
		nodes, err := w.redis.Do("PUBLISH", "dunlin:{0}:c:app-id:presence-a", "")
		return err == nil && nodes == ":1"
	}
	testkit.Until(t, "Redis gives the node up", func() bool {
		for range 100 {
			if _, err := a.server.API.Trigger(testkit.Context(t), client.Publication{Name: "big", Channel: "presence-a", Data: text}); err != nil {
				t.Fatal(err)
			}
		}
		return given()
	})
	a.enter("presence-a", "cy")
	w.repair(step{name: freeze, node: b.number})
	b.await(bob, client.MemberAdded, "presence-a")
	flows(a, b, bob, "presence-a")
}
