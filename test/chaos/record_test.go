package chaos

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Times that the nodes are given, or have.
const (
	lease    = 2 * time.Second
	debounce = 3 * time.Second
	sweeping = 2 * time.Second // until a lease that ran out was noticed, at most
	slack    = 2 * time.Second // for a machine that does other things as well
	recovery = 4 * time.Second // after a fault, until everything flows again
)

// never is later than everything.
const never = math.MaxInt64

// record is a history, sorted by what it is about.
type record struct {
	faults    []breakage
	conns     []*conn
	byConn    map[string]*conn
	events    map[string]*event
	hooks     []hook // by when they happened
	hookTwice int
	calm      int64 // never: there was none
	state     *state
	odd       []string // entries that are problems by themselves
}

// breakage is a fault with its end. All times are µs since 1970.
type breakage struct {
	name     string
	node     int
	from, to int64
}

// conn is one connection of a client.
type conn struct {
	name     string
	node     int
	from, to int64
	code     int // it was closed by the other side; 0: it was not
	sessions []*session
	now      map[string]*session // by channel
}

// session is a subscription, from the asking to its end.
type session struct {
	conn         *conn
	channel      string
	user         string
	asked, began int64 // began is never when it was not answered
	to           int64
	snapshot     []string
	events       []sound // events
	changes      []sound // of members
}

// sound is something that was heard.
type sound struct {
	at   int64
	kind string
	what string
}

// event is one that was published, or not.
type event struct {
	id, channel string
	node        int
	from, to    int64
	outcome     string
	last        bool // published when all was well again
}

// hook is a webhook.
type hook struct {
	id, name, channel, user string
	happened                int64 // µs since 1970, by the clock of Redis
	place                   string
	heard                   int64
}

// key is what a webhook is about.
func (h hook) key() string { return h.channel + "|" + h.user }

func (h hook) came() bool { return h.name == "channel_occupied" || h.name == "member_added" }

func newRecord(list []entry) *record {
	r := &record{byConn: map[string]*conn{}, events: map[string]*event{}, calm: never}
	seen := map[string]bool{}
	for _, e := range list {
		switch e.Kind {
		case fault:
			r.faults = append(r.faults, breakage{e.Name, e.Node, e.At, never})
		case heal:
			r.healed(e)
		case publishing, lastWord:
			r.events[e.ID] = &event{id: e.ID, channel: e.Channel, node: e.Node, from: e.At, to: never, last: e.Kind == lastWord}
		case published, refused, uncertain, failed:
			r.answered(e)
		case webhook:
			if seen[e.ID] { // it is told at least once
				r.hookTwice++
				continue
			}
			seen[e.ID] = true
			r.hooks = append(r.hooks, newHook(e))
		case calm:
			r.calm = e.At
		case observed:
			r.state = e.State
		case unreachable:
			r.odd = append(r.odd, "node "+strconv.Itoa(e.Node)+" does not answer although all is well")
		default:
			r.connection(e)
		}
	}
	slices.SortFunc(r.hooks, func(a, b hook) int {
		return cmp.Or(cmp.Compare(a.happened, b.happened), cmp.Compare(number(a.place), number(b.place)))
	})
	return r
}

func number(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}

// newHook reads when a webhook happened from its id, which is "slice-ms-place".
func newHook(e entry) hook {
	h := hook{id: e.ID, name: e.Name, channel: e.Channel, user: e.User, heard: e.At}
	parts := strings.Split(e.ID, "-")
	if len(parts) == 3 {
		ms, _ := strconv.ParseInt(parts[1], 10, 64)
		h.happened, h.place = ms*1000, parts[2]
	}
	return h
}

func (r *record) healed(e entry) {
	for i := range r.faults {
		if b := &r.faults[i]; b.name == e.Name && b.node == e.Node && b.to == never {
			b.to = e.At
		}
	}
}

func (r *record) answered(e entry) {
	ev := r.events[e.ID]
	if ev == nil {
		r.odd = append(r.odd, "an answer to what was never published: "+e.ID)
		return
	}
	ev.to, ev.outcome = e.At, e.Kind
	if e.Kind == failed {
		r.odd = append(r.odd, "publishing "+e.ID+" ended with "+e.Name)
	}
}

// connection takes an entry of a connection.
func (r *record) connection(e entry) {
	if e.Kind == opened {
		c := &conn{name: e.Conn, node: e.Node, from: e.At, to: never, now: map[string]*session{}}
		r.conns = append(r.conns, c)
		r.byConn[e.Conn] = c
		return
	}
	c := r.byConn[e.Conn]
	if c == nil {
		return
	}
	x := c.now[e.Channel]
	switch e.Kind {
	case left, closed:
		c.end(e)
	case subscribe:
		x = &session{conn: c, channel: e.Channel, user: e.User, asked: e.At, began: never, to: never}
		c.sessions = append(c.sessions, x)
		c.now[e.Channel] = x
	case unsubscribe:
		if x != nil {
			x.to = e.At
			delete(c.now, e.Channel)
		}
	case unexpected:
		r.odd = append(r.odd, e.Conn+" heard "+e.Name)
	default:
		if x != nil { // what was on its way when it left is nothing
			x.take(e)
		}
	}
}

func (c *conn) end(e entry) {
	if c.to != never {
		return
	}
	c.to, c.code = e.At, e.Code
	for _, x := range c.now {
		x.to = e.At
	}
	c.now = nil
}

func (x *session) take(e entry) {
	switch e.Kind {
	case subscribed:
		x.began, x.snapshot = e.At, e.Members
	case heard:
		x.events = append(x.events, sound{e.At, e.Kind, e.ID})
	case added, removed:
		x.changes = append(x.changes, sound{e.At, e.Kind, e.User})
	}
}

// each calls f for every session.
func (r *record) each(f func(*session)) {
	for _, c := range r.conns {
		for _, x := range c.sessions {
			f(x)
		}
	}
}

// broken reports whether one of some faults of a node, or of Redis, lies between two
// times, with what comes after it; no names are all faults.
func (r *record) broken(node int, from, to int64, after time.Duration, names ...string) bool {
	return slices.ContainsFunc(r.faults, func(b breakage) bool {
		end := b.to
		if end != never {
			end += after.Microseconds()
		}
		return (b.node == 0 || b.node == node) && b.from <= to && end >= from &&
			(len(names) == 0 || slices.Contains(names, b.name))
	})
}

// nodeBroken reports whether something was broken of a node, or Redis lost its data.
func (r *record) nodeBroken(node int, from, to int64) bool {
	return slices.ContainsFunc(r.faults, func(b breakage) bool {
		end := b.to
		if end != never {
			end += (lease + recovery).Microseconds()
		}
		return (b.node == node || b.name == wipe) && b.from <= to && end >= from
	})
}

// lost is when Redis lost its data; never: it did not.
func (r *record) lost() (from, to int64) {
	for _, b := range r.faults {
		if b.name == wipe {
			return b.from, b.to
		}
	}
	return never, never
}
