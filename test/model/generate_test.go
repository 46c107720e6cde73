package model

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// dice makes the choices of one round. A round uses some of the clients, channels
// and verbs only, so that more happens among fewer.
type dice struct {
	*rand.Rand
	clients, backends int
	channels, users   []string
	n                 int // numbers the events
}

// users are those of all rounds; 7's id is a number in channel_data.
var users = []string{"ann", "bob", "7", "dan", "eve"}

// channels are one of each kind and more, with names that only look like a kind.
var channels = []string{
	"room", "my-private-x", "private-a", "private-b", "private-encrypted-a", "presence-a", "presence-b",
	"cache-a", "private-cache-a", "private-encrypted-cache-a", "presence-cache-a", toUser + "ann", toUser + "bob",
}

func newDice(seed int64) *dice {
	d := &dice{Rand: rand.New(rand.NewPCG(uint64(seed), 0))}
	d.clients, d.backends = 2+d.IntN(5), 1
	d.channels = unique(append(d.some(channels, 2+d.IntN(4)), d.one("presence-a", "presence-b", "presence-cache-a")))
	d.users = d.some(users, 2+d.IntN(len(users)-1))
	return d
}

// some returns n of the items, in any order.
func (d *dice) some(items []string, n int) []string {
	items = slices.Clone(items)
	d.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
	return items[:min(n, len(items))]
}

func (d *dice) one(items ...string) string { return items[d.IntN(len(items))] }

// rarely returns one of the items, but most often "".
func (d *dice) rarely(times int, items ...string) string {
	if d.IntN(times) > 0 {
		return ""
	}
	return d.one(items...)
}

func (d *dice) client() string { return "c" + strconv.Itoa(d.IntN(d.clients)) }

func (d *dice) number() string {
	d.n++
	return strconv.Itoa(d.n)
}

// maker makes an op and has a weight among the others.
type maker struct {
	weight int
	make   func(*dice) op
}

// pick makes one op.
func (d *dice) pick(makers []maker) op {
	sum := 0
	for _, m := range makers {
		sum += m.weight
	}
	at := d.IntN(sum)
	for _, m := range makers {
		if at -= m.weight; at < 0 {
			return m.make(d)
		}
	}
	panic("unreachable")
}

// swarm gives each maker of a round another weight; some get none, but for those that
// no round is to be without.
func (d *dice) swarm(makers []maker, always ...maker) []maker {
	makers = slices.Clone(makers)
	for i := range makers {
		makers[i].weight *= d.IntN(4)
	}
	return append(makers, always...)
}

// conversation makes a conversation out of a seed.
func conversation(seed int64, ops int) script {
	d := newDice(seed)
	makers := d.swarm([]maker{
		{10, subscribeOp}, {10, unsubscribeOp}, {4, closeOp}, {2, connectOp}, {12, clientEventOp}, {8, signinOp}, {1, rawOp},
		{14, publishOp}, {4, batchOp}, {3, listOp}, {4, lookOp}, {2, usersOp}, {2, badSubscribeOp}, {2, badSigninOp},
		{2, terminateOp},
	}, maker{30, subscribeOp})
	s := script{mode: "conversation", app: d.one("plain", "talk", "talk", "tight", "wide"), times: 1}
	m := newModel(apps[s.app], "r0")
	for range ops {
		s.ops = append(s.ops, d.useful(m, makers))
	}
	return s
}

// useful makes an op that does something, most of the time, and makes it true.
func (d *dice) useful(m *model, makers []maker) op {
	o := d.pick(makers)
	for m.dull(o) && d.IntN(5) > 0 {
		o = d.pick(makers)
	}
	if o.actor[0] != 'b' && m.seats[o.actor] == nil {
		if m.full() {
			return o
		}
		m.sit(o.actor, "1."+o.actor)
	}
	m.apply(o)
	return o
}

// dull reports that an op only leads to a refusal, or to nothing.
func (m *model) dull(o op) bool {
	s := m.seats[o.actor]
	if s == nil && o.actor[0] != 'b' {
		s = &seat{client: o.actor}
		if m.full() || o.verb == "close" {
			return true
		}
	}
	ch, k := fullName(m.round, o.ch), kindOf(o.ch)
	switch o.verb {
	case "subscribe":
		r := m.refusal(s, o)
		return o.how == "" && r != nil && r.kind != tooMany
	case "unsubscribe":
		_, ok := s.subs[ch]
		return !ok
	case "event":
		_, ok := s.subs[ch]
		return !ok || !k.private || !m.app.clientEvents
	case "signin":
		return s.user != "" && s.user != o.user
	case "connect":
		return s.id != ""
	case "publish":
		return o.lonely() || !slices.ContainsFunc(o.targets(), func(ch string) bool { return len(m.in(fullName(m.round, ch))) > 0 })
	case "users":
		return !k.presence
	case "terminate":
		return !m.online(o.user)
	}
	return false
}

func (d *dice) info() string { return d.rarely(2, "1", "2") }

func subscribeOp(d *dice) op {
	return op{
		actor: d.client(), verb: "subscribe", ch: d.one(d.channels...), user: d.one(d.users...), info: d.info(),
		how: d.rarely(10, "own-data", "own-data", "extra-data", "string"),
	}
}

func badSubscribeOp(d *dice) op {
	o := subscribeOp(d)
	switch o.how = d.one("no-auth", "bad-format", "bad-key", "bad-signature", "unsigned-data", "no-user", "no-json", "big", "name"); o.how {
	case "big":
		o.how, o.info = "", "big"
	case "name":
		o.how, o.ch = "", d.one("room!", "#other", toUser, "private-a#")
	}
	return o
}

func unsubscribeOp(d *dice) op {
	return op{actor: d.client(), verb: "unsubscribe", ch: d.one(d.channels...)}
}

func closeOp(d *dice) op {
	return op{actor: d.client(), verb: "close", how: d.one("", "drop", "drop", "4200")}
}

func connectOp(d *dice) op { return op{actor: d.client(), verb: "connect"} }

func clientEventOp(d *dice) op {
	return op{
		actor: d.client(), verb: "event", ch: d.one(d.channels...), n: d.number(),
		how: d.rarely(6, "string", "string", "bad-name", "no-data"),
	}
}

func signinOp(d *dice) op {
	o := op{actor: d.client(), verb: "signin", user: d.one(d.users...), info: d.info()}
	if d.IntN(2) == 0 {
		o.watch = strings.Join(d.some(append(d.users, "stranger"), 1+d.IntN(3)), ",")
	}
	if d.IntN(30) == 0 {
		o.how = "long"
	}
	return o
}

func badSigninOp(d *dice) op {
	o := signinOp(d)
	o.how = d.one("bad-format", "bad-key", "bad-signature", "no-json", "no-user", "number")
	return o
}

func rawOp(d *dice) op {
	return op{actor: d.client(), verb: "raw", how: d.one("no-json", "no-event", "unknown", "no-data", "five", "signin", "binary", "pong")}
}

func (d *dice) backend() string { return fmt.Sprintf("b%d", d.IntN(d.backends)) }

// targets are channels to publish to, repeats among them.
func (d *dice) targets() string {
	n := 1
	if d.IntN(3) == 0 {
		n += d.IntN(3)
	}
	var chs []string
	for range n {
		chs = append(chs, d.one(d.channels...))
	}
	return strings.Join(chs, ",")
}

func publishOp(d *dice) op {
	return op{
		actor: d.backend(), verb: "publish", ch: d.targets(), n: d.number(), skip: d.rarely(3, d.client()),
		how: d.rarely(4, "single", "single", "single", "reserved"), ask: d.rarely(3, "subscription_count", "user_count,subscription_count"),
	}
}

func batchOp(d *dice) op {
	o := publishOp(d)
	o.verb, o.how = "batch", ""
	o.ch += "," + d.targets()
	return o
}

func listOp(d *dice) op {
	return op{actor: d.backend(), verb: "list", ask: d.one("", "presence-", "private-", "cache-") +
		d.one("", ":subscription_count", ":user_count,subscription_count")}
}

func lookOp(d *dice) op {
	return op{actor: d.backend(), verb: "look", ch: d.one(d.channels...),
		ask: d.one("", "subscription_count", "user_count", "cache", "cache,subscription_count", "user_count,subscription_count")}
}

func usersOp(d *dice) op {
	return op{actor: d.backend(), verb: "users", ch: d.one(d.channels...)}
}

func terminateOp(d *dice) op {
	return op{actor: d.backend(), verb: "terminate", user: d.one(d.users...)}
}
