//go:build redis

package chaos

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dunlin/internal/client"
	"dunlin/internal/testkit"
)

// pair is two nodes with the times that nodes have unless told otherwise.
func pair(t *testing.T, settings string) (w *world, a, b *node) {
	t.Helper()
	w = newWorld(t, &history{start: time.Now()}, 2, settings)
	return w, w.nodes[0], w.nodes[1]
}

// enter connects a client and subscribes it; user is of a presence channel.
func (n *node) enter(channel, user string) *client.Conn {
	n.world.t.Helper()
	c := n.server.Dial()
	n.ask(c, channel, user)
	n.await(c, client.SubscriptionSucceeded, channel)
	return c
}

func (n *node) ask(c *client.Conn, channel, user string) {
	n.world.t.Helper()
	if err := c.Subscribe(testkit.Context(n.world.t), channel, authorization(c, channel, user)); err != nil {
		n.world.t.Fatal(err)
	}
}

func (n *node) await(c *client.Conn, name, channel string) client.Event {
	n.world.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*testkit.Patience)
	defer cancel()
	e, err := c.Await(ctx, name, channel)
	if err != nil {
		n.world.t.Fatal(err)
	}
	return e
}

// trigger publishes, and says how long the answer took.
func (n *node) trigger(channel, event string) (took time.Duration, err error) {
	from := time.Now()
	_, err = n.server.API.Trigger(testkit.Context(n.world.t), client.Publication{Name: event, Channel: channel, Data: `{}`})
	return time.Since(from), err
}

// isRefused waits until publishing is refused at once: the node knows.
func (n *node) isRefused(channel string) {
	n.world.t.Helper()
	testkit.Until(n.world.t, "the node knows that Redis is away", func() bool {
		took, err := n.trigger(channel, "e")
		return outcome(err) == refused && took < time.Second/2
	})
}

// flows waits until events through one node reach a client of another. The first may
// be missed: a node listens again a moment after it can publish again.
func flows(from, to *node, c *client.Conn, channel string) {
	t := from.world.t
	t.Helper()
	testkit.Until(t, fmt.Sprintf("events from node %d reach node %d", from.number, to.number), func() bool {
		if _, err := from.trigger(channel, "after"); err != nil {
			return false
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second/2)
		defer cancel()
		_, err := c.Await(ctx, "after", channel)
		if err != nil && ctx.Err() == nil {
			t.Fatal(err)
		}
		return err == nil
	})
}

func (n *node) health(path string) int {
	n.world.t.Helper()
	r, err := http.Get("http://" + n.addr + path)
	if err != nil {
		n.world.t.Fatal(err)
	}
	r.Body.Close()
	return r.StatusCode
}

// told lists the webhooks so far, each once.
func (w *world) told() (list []string) {
	for _, h := range newRecord(w.history.all()).hooks {
		list = append(list, strings.TrimSpace(h.name+" "+h.channel+" "+h.user))
	}
	return list
}

// TestNodeIsKilled: PITFALLS 15. Members are gone within 10 s and webhooks say so
// within 14 s, once; of a user who is back through another node nobody hears.
func TestNodeIsKilled(t *testing.T) {
	t.Parallel()
	w, a, b := pair(t, "")
	ann := a.enter("presence-a", "ann")
	b.enter("presence-a", "bob")
	b.enter("presence-a", "cy")
	for range 2 {
		a.await(ann, client.MemberAdded, "presence-a")
	}
	died := time.Now()
	b.kill()
	a.enter("presence-a", "cy")
	e := a.await(ann, client.MemberRemoved, "presence-a")
	if took := time.Since(died); took > 10*time.Second+slack || !strings.Contains(string(e.Data), "bob") {
		t.Errorf("%s after %s", e.Raw, took)
	}
	testkit.Until(t, "a webhook of bob", func() bool { return slices.Contains(w.told(), "member_removed presence-a bob") })
	if took := time.Since(died); took > 14*time.Second+slack {
		t.Errorf("the webhook came after %s", took)
	}
	want := []string{"channel_occupied presence-a", "member_added presence-a ann", "member_added presence-a bob", "member_added presence-a cy", "member_removed presence-a bob"}
	if got := w.told(); !slices.Equal(got, want) {
		t.Errorf("webhooks %q, want %q", got, want)
	}
}

// TestNodeIsFrozen: PITFALLS 17. It slows nobody on other nodes. Its members are taken
// away, and are back with it; what its clients know of the channel is true then.
func TestNodeIsFrozen(t *testing.T) {
	t.Parallel()
	w, a, b := pair(t, "lease: 2s")
	ann, bob := a.enter("presence-a", "ann"), b.enter("presence-a", "bob")
	a.await(ann, client.MemberAdded, "presence-a")
	w.strike(step{name: freeze, node: b.number})
	from := time.Now()
	cy := a.enter("presence-a", "cy")
	if _, err := a.trigger("presence-a", "e"); err != nil {
		t.Error(err)
	}
	var users struct{ Users []struct{ ID string } }
	if err := a.server.API.Get(testkit.Context(t), "/channels/presence-a/users", nil, &users); err != nil || len(users.Users) != 3 {
		t.Errorf("users %v, %v", users, err)
	}
	if took := time.Since(from); took > slack {
		t.Errorf("a frozen node held up another for %s", took)
	}
	a.await(cy, client.MemberRemoved, "presence-a")
	w.repair(step{name: freeze, node: b.number})
	a.await(cy, client.MemberAdded, "presence-a")
	flows(b, a, ann, "presence-a")
	flows(a, b, bob, "presence-a")
}

// TestNodeIsCutOff: its clients stay, and are told of nobody; the others take its
// members away. When it is back so are they.
func TestNodeIsCutOff(t *testing.T) {
	t.Parallel()
	for _, name := range []string{cut, stall} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _, _ := pair(t, "lease: 2s")
			cutOff(w, name)
		})
	}
}

// cutOff cuts the second of two nodes off, for longer than its lease.
func cutOff(w *world, name string) {
	a, b := w.nodes[0], w.nodes[1]
	ann, bob := a.enter("presence-a", "ann"), b.enter("presence-a", "bob")
	a.await(ann, client.MemberAdded, "presence-a")
	w.strike(step{name: name, node: b.number})
	b.isRefused("presence-a")
	if _, err := a.trigger("presence-a", "e"); err != nil {
		w.t.Errorf("the other node: %v", err)
	}
	a.await(ann, client.MemberRemoved, "presence-a")
	w.repair(step{name: name, node: b.number})
	a.await(ann, client.MemberAdded, "presence-a")
	flows(b, a, ann, "presence-a")
	flows(a, b, bob, "presence-a")
}

// TestNoGhosts: PITFALLS 10, 13. Whatever way a client ends, on whichever node, it is
// gone everywhere; a user with another connection is not.
func TestNoGhosts(t *testing.T) {
	t.Parallel()
	_, a, b := pair(t, "")
	ann := a.enter("presence-a", "ann")
	a.enter("presence-a", "bob") // stays
	for _, end := range []func(*client.Conn){
		func(c *client.Conn) { _ = c.Close(4200, "") },
		func(c *client.Conn) { c.Drop() },
		func(c *client.Conn) { _ = c.Unsubscribe(testkit.Context(t), "presence-a") },
	} {
		cy, bob := b.enter("presence-a", "cy"), b.enter("presence-a", "bob")
		end(bob)
		end(cy)
		if e := a.await(ann, client.MemberRemoved, "presence-a"); !strings.Contains(string(e.Data), "cy") {
			t.Errorf("removed %s", e.Data)
		}
	}
	testkit.Until(t, "two are left", func() bool {
		var is client.ChannelInfo
		err := a.server.API.Get(testkit.Context(t), "/channels/presence-a", map[string][]string{"info": {"user_count,subscription_count"}}, &is)
		return err == nil && *is.UserCount == 2 && (*is.SubscriptionCount == 2)
	})
}

// TestEdgesAtOnce: PITFALLS 14. Two nodes gain the first subscriber of a channel at
// once, and lose the last at once: one webhook each.
func TestEdgesAtOnce(t *testing.T) {
	t.Parallel()
	w, a, b := pair(t, "")
	const n = 20
	conns := map[*node]*client.Conn{a: a.server.Dial(), b: b.server.Dial()}
	both := func(do func(*node, *client.Conn, string)) {
		var all sync.WaitGroup
		for on, c := range conns {
			all.Go(func() {
				for i := range n {
					do(on, c, fmt.Sprint("private-", i))
				}
			})
		}
		all.Wait()
	}
	both(func(on *node, c *client.Conn, ch string) { on.ask(c, ch, "") })
	for on, c := range conns {
		on.await(c, client.SubscriptionSucceeded, fmt.Sprint("private-", n-1))
	}
	testkit.Until(t, "all are occupied", func() bool { return len(w.told()) >= n })
	both(func(_ *node, c *client.Conn, ch string) { _ = c.Unsubscribe(testkit.Context(t), ch) })
	testkit.Until(t, "all are vacated", func() bool { return len(w.told()) >= 2*n })
	times := map[string]int{}
	for _, text := range w.told() {
		times[text]++
	}
	for text, k := range times {
		if k != 1 {
			t.Errorf("%s was told %d times", text, k)
		}
	}
}

// TestEventsGoWhereTheyAreHeard: PITFALLS 18
func TestEventsGoWhereTheyAreHeard(t *testing.T) {
	t.Parallel()
	w, a, b := pair(t, "")
	a.enter("room-a", "")
	b.enter("room-b", "")
	for channel, want := range map[string]string{"room-a": ":1", "room-b": ":1", "room-c": ":0"} {
		// An empty message is of no kind, and ignored.
		if got, err := w.redis.Do("PUBLISH", "dunlin:{0}:c:app-id:"+channel, ""); err != nil || got != want {
			t.Errorf("what is published to %s goes to %s nodes, want %s (%v)", channel, got, want, err)
		}
	}
}

// TestSecretStaysAtHome: PITFALLS 24. It is in nothing that a node tells Redis, or logs.
func TestSecretStaysAtHome(t *testing.T) {
	t.Parallel()
	w, a, b := pair(t, "")
	var heard strings.Builder
	monitor := exec.Command("redis-cli", "-s", w.redis.Socket, "monitor")
	monitor.Stdout = &heard
	if err := monitor.Start(); err != nil {
		t.Fatal(err)
	}
	ann, bob := a.enter("presence-a", "ann"), b.enter("presence-a", "bob")
	flows(a, b, bob, "presence-a")
	flows(b, a, ann, "presence-a")
	ann.Drop()
	b.await(bob, client.MemberRemoved, "presence-a")
	testkit.Until(t, "webhooks are told", func() bool { return slices.Contains(w.told(), "member_removed presence-a ann") })
	_ = monitor.Process.Kill()
	_ = monitor.Wait() // that it was killed is known
	if text := heard.String(); !strings.Contains(text, "presence-a") {
		t.Errorf("nothing was heard of what Redis is told: %.200s", text)
	}
	for where, text := range map[string]string{"what Redis is told": heard.String(), "a log": a.server.Log() + b.server.Log()} {
		if strings.Contains(text, testkit.Secret) {
			t.Errorf("the secret is in %s", where)
		}
	}
}
