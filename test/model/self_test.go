package model

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// tale is a story that is made up, to see that it is judged rightly.
type tale struct {
	story
	now time.Time
}

// The channels of tales, of round r1.
const (
	privateTale  = "private-r1-a"
	cacheTale    = "cache-r1-a"
	presenceTale = "presence-r1-a"
)

func (y *tale) tick() time.Time {
	y.now = y.now.Add(time.Second)
	return y.now
}

func (y *tale) life(client string) *told {
	for _, l := range y.lives {
		if l.client == client {
			return l
		}
	}
	l := &told{client: client, id: client, opened: y.tick()}
	y.lives = append(y.lives, l)
	return l
}

func (y *tale) said(client string, o op) {
	l := y.life(client)
	l.log = append(l.log, entry{at: y.tick(), sent: &o})
}

func (y *tale) heard(client string, frames ...frame) {
	l := y.life(client)
	for _, f := range frames {
		l.log = append(l.log, entry{at: y.tick(), frame: f, raw: f.String()})
	}
}

// joins subscribes a client, which hears success and whatever follows at once.
func (y *tale) joins(client, ch, user string, frames ...frame) {
	short := strings.Replace(ch, "r1-", "", 1)
	y.said(client, op{verb: "subscribe", ch: short, user: user})
	hash := "{}"
	if user != "" {
		hash = `{"` + user + `":{}}`
	}
	y.heard(client, append([]frame{succeededFrame(ch, hash)}, frames...)...)
}

// refused has a client be refused for the limit of members.
func (y *tale) refused(client string) {
	y.said(client, op{verb: "subscribe", ch: "presence-a", user: "ann"})
	y.heard(client, frame{event: evRefused, channel: presenceTale, code: tooMany, data: "full"})
}

// published is an event that somebody published, to all but one, as it is heard.
func (y *tale) published(ch, id, sender, skip string) frame {
	e := &event{id: id, channel: ch, sender: sender, skip: skip, from: y.tick()}
	if sender == "" {
		e.to = y.tick()
	}
	y.events[eventKey{ch, id}] = e
	return eventFrame(ch, id)
}

func eventFrame(ch, id string) frame {
	return frame{event: "e", channel: ch, data: `{"n":"` + id + `"}`}
}

func memberFrame(event, user string) frame {
	data := fmt.Sprintf(`{"user_id":%q,"user_info":{}}`, user)
	return frame{event: event, channel: presenceTale, data: data}
}

// told is a good tale so far: a witness everywhere, and a client on a channel that
// heard two events of three.
func goodTale() *tale {
	y := &tale{now: time.Unix(0, 0)}
	y.app, y.round, y.nodes, y.events = apps["plain"], "r1", 1, map[eventKey]*event{}
	y.app.memLimit = 100
	y.joins(witness, privateTale, "")
	y.joins(witness, cacheTale, "", missFrame)
	y.joins(witness, presenceTale, "witness")
	y.joins("c1", privateTale, "")
	y.heard(witness, y.published(privateTale, "1.0", "", ""), y.published(privateTale, "2.0", "", "c1"), y.published(privateTale, "3.0", "", ""))
	y.heard("c1", eventFrame(privateTale, "1.0"), eventFrame(privateTale, "3.0"))
	return y
}

var missFrame = frame{event: evMiss, channel: cacheTale, data: "{}"}

// TestJudge tells good and bad tales.
func TestJudge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want string // part of the judgement; "": it is good
		tell func(y *tale)
	}{
		{"", func(*tale) {}},
		{"heard twice", func(y *tale) { y.heard("c1", eventFrame(privateTale, "1.0")) }},
		{"not meant for it", func(y *tale) { y.heard("c1", eventFrame(privateTale, "2.0")) }},
		{"nobody published", func(y *tale) { y.heard("c1", eventFrame(privateTale, "9.0")) }},
		{"no piece of what the witness heard", func(y *tale) { y.heard(witness, y.published(privateTale, "4.0", "", "")) }},
		{"", func(y *tale) {
			y.said("c1", op{verb: "unsubscribe", ch: "private-a"})
			y.heard(witness, y.published(privateTale, "4.0", "", ""))
		}},
		{"no piece of what the witness heard", func(y *tale) {
			f, g := y.published(privateTale, "4.0", "", ""), y.published(privateTale, "5.0", "", "")
			y.heard(witness, f, g)
			y.heard("c1", g)
		}},
		{"not meant for it", func(y *tale) {
			y.said("c1", op{verb: "event", ch: "private-a"})
			f := y.published(privateTale, "4.0", "c1", "")
			y.heard(witness, f)
			y.heard("c1", f)
		}},
		{"1 client events to private-r1-a: 0 arrived", func(y *tale) { y.said("c1", op{verb: "event", ch: "private-a"}) }},
		{"heard before subscription_succeeded", func(y *tale) { y.heard("c2", eventFrame(privateTale, "1.0")) }},
		{"no piece of what the witness heard", func(y *tale) { y.joins("c2", privateTale, "", eventFrame(privateTale, "3.0")) }},
		{"it was not asked for", func(y *tale) { y.heard("c1", succeededFrame(privateTale, "{}")) }},
		{"was closed with 4200", func(y *tale) { y.life("c1").code = 4200 }},
		{"subscribed to private-r1-b: false, want true", func(y *tale) { y.said("c1", op{verb: "subscribe", ch: "private-b"}) }},
		{`heard 0 times "Existing subscription`, func(y *tale) { y.said("c1", op{verb: "subscribe", ch: "private-a"}) }},
	} {
		y := goodTale()
		c.tell(y)
		y.judged(t, c.want)
	}
}

// judged wants a tale to be judged in a way.
func (y *tale) judged(t *testing.T, want string) {
	t.Helper()
	y.read()
	got := append(y.judge(), y.judgeEnd()...)
	if want == "" && got != nil || want != "" && !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, want) }) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestJudgeKept tells tales of a cache channel.
func TestJudgeKept(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want   string
		cached frame
		after  []string
	}{
		{"", eventFrame(cacheTale, "5.0"), nil},
		{"", eventFrame(cacheTale, "5.0"), []string{"6.0"}},
		{"the cached event is older than 5.0", eventFrame(cacheTale, "4.0"), nil},
		{"the cached event is older than 4.0", missFrame, nil},
		{"heard twice", eventFrame(cacheTale, "5.0"), []string{"5.0", "6.0"}},
		{"no piece of what the witness heard", eventFrame(cacheTale, "5.0"), []string{"7.0"}},
		{"neither a cached event", countFrame(cacheTale, 1), nil},
	} {
		y := goodTale()
		y.heard(witness, y.published(cacheTale, "4.0", "", ""), y.published(cacheTale, "5.0", "", "c2"))
		y.joins("c2", cacheTale, "", c.cached)
		for _, id := range c.after {
			if y.events[eventKey{cacheTale, id}] == nil {
				y.heard(witness, y.published(cacheTale, "6.0", "", ""))
				if id == "7.0" {
					y.heard(witness, y.published(cacheTale, id, "", ""))
				}
			}
			y.heard("c2", eventFrame(cacheTale, id))
		}
		y.judged(t, c.want)
	}
}

// TestJudgeMembers tells tales of a presence channel, where ann joins and leaves.
func TestJudgeMembers(t *testing.T) {
	t.Parallel()
	added, removed := memberFrame(evAdded, "ann"), memberFrame(evRemoved, "ann")
	both := succeededFrame(presenceTale, `{"ann":{},"witness":{}}`)
	for _, c := range []struct {
		want string
		tell func(y *tale)
	}{
		{"", func(y *tale) { y.heard(witness, added, removed) }},
		{"is no change", func(y *tale) { y.heard(witness, added, added) }},
		{"c1 was refused in presence-r1-a while only [witness] can", func(y *tale) { y.refused("c1") }},
		{"", func(y *tale) {
			y.app.memLimit = 1
			y.refused("c1")
		}},
		{"is no change", func(y *tale) { y.heard(witness, removed) }},
		{"it knows the members [ann witness], want [witness]", func(y *tale) { y.heard(witness, added) }},
		{"the joiner is not in the snapshot", func(y *tale) { y.heard(witness, added); y.heard("c1", both) }},
		{"", func(y *tale) {
			y.heard(witness, added)
			y.said("c1", op{verb: "subscribe", ch: "presence-a", user: "ann"})
			y.heard("c1", both)
		}},
		{"its members do not add up", func(y *tale) {
			y.heard(witness, added, removed, added)
			y.said("c1", op{verb: "subscribe", ch: "presence-a", user: "ann"})
			y.heard("c1", both, memberFrame(evAdded, "bob"), memberFrame(evRemoved, "bob"))
		}},
	} {
		y := goodTale()
		c.tell(y)
		y.judged(t, c.want)
	}
}

// TestJudgeWithoutWitness tells tales of a channel whose order nobody knows.
func TestJudgeWithoutWitness(t *testing.T) {
	t.Parallel()
	const bare = "private-r1-b"
	for _, c := range []struct {
		want, heard string // by a second client, of three events that the first one heard
	}{
		{"", "1.0 2.0 3.0"},
		{"in which order private-r1-b had these", "1.0 3.0 2.0"},
		{"2.0 was published before 3.0", "1.0 3.0 2.0"},
		{"never heard 2.0", "1.0 3.0"},
	} {
		y := goodTale()
		y.joins("c1", bare, "")
		y.joins("c2", bare, "")
		for _, id := range []string{"1.0", "2.0", "3.0"} {
			y.heard("c1", y.published(bare, id, "", ""))
		}
		for id := range strings.FieldsSeq(c.heard) {
			y.heard("c2", eventFrame(bare, id))
		}
		y.judged(t, c.want)
	}
}

// TestJudgeUsers tells tales of counts, watchlists and ended users.
func TestJudgeUsers(t *testing.T) {
	t.Parallel()
	signin := op{verb: "signin", user: "ann", watch: "ann,bob"}
	first, success := watchFrame([]string{"ann"}, []string{"bob"}), frame{event: evSignedIn, data: "{}"}
	for _, c := range []struct {
		want string
		tell func(y *tale)
	}{
		{"", func(y *tale) { y.heard("c1", first) }},
		{"is no change", func(y *tale) { y.heard("c1", first, watchFrame([]string{"ann"}, nil)) }},
		{"is no change", func(y *tale) { y.heard("c1", first, watchFrame(nil, []string{"eve"})) }},
		{"knows of its watchlist", func(y *tale) { y.heard("c1", first, watchFrame([]string{"bob"}, nil)) }},
		{"knows of its watchlist", func(*tale) {}},
		{"lives on as ann", func(y *tale) {
			y.heard("c1", first)
			y.terminated = []termination{{"ann", y.tick(), y.tick()}}
		}},
		{"", func(y *tale) {
			y.terminated = []termination{{"ann", y.tick(), y.tick()}}
			y.life("c1").code = 4009
		}},
		{"the last count is", func(y *tale) {
			y.heard("c1", first, countFrame(privateTale, 3))
			y.app.counts = true
		}},
	} {
		y := goodTale()
		y.app.watchlists = true
		y.said("c1", signin)
		y.heard("c1", success)
		c.tell(y)
		y.judged(t, c.want)
	}
}

// TestMatcher plays frames against predictions.
func TestMatcher(t *testing.T) {
	t.Parallel()
	a, b, x := eventFrame("a", "1"), eventFrame("a", "2"), eventFrame("b", "1")
	any1 := errorFrame("*")
	for _, c := range []struct {
		want  string
		wants []want
		heard []frame
	}{
		{"", []want{{frame: a}, {frame: b}, {frame: x}}, []frame{x, a, b}},
		{"the turn of another", []want{{frame: a}, {frame: b}}, []frame{b}},
		{"", []want{{frame: a, group: 1}, {frame: b, group: 1}, {frame: a}}, []frame{b, a, a}},
		{"the turn of another", []want{{frame: a, group: 1}, {frame: b}}, []frame{b}},
		{"unexpected", []want{{frame: a}}, []frame{a, a}},
		{"unexpected", []want{{frame: a, group: 1}}, []frame{b}},
		{"should precede", []want{{frame: a}, {frame: x, after: true}}, []frame{x}},
		{"", []want{{frame: any1}}, []frame{errorFrame("whatever")}},
		{"the turn of another", []want{{frame: any1}}, []frame{{event: evError, code: "4301", data: "x"}}},
	} {
		m := matcher{wants: c.wants}
		got := ""
		for _, f := range c.heard {
			if err := m.take(entry{frame: f}); err != nil {
				got = err.Error()
			}
		}
		if c.want == "" && (got != "" || m.left() > 0) || !strings.Contains(got, c.want) {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// TestFrames reads good and bad messages.
func TestFrames(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		`{"event":"pusher:error","data":{"code":null,"message":"no"}}`:                                                                               "pusher:error null no",
		`{"event":"e","data":"{\"b\":1, \"a\":2}","channel":"c","user_id":"u"}`:                                                                      `e c {"b":1, "a":2} from u`,
		`{"event":"pusher_internal:member_added","data":"{\"user_info\":{}, \"user_id\":7}","channel":"c"}`:                                          evAdded + ` c {"user_id":7,"user_info":{}}`,
		`{"event":"pusher_internal:subscription_succeeded","data":"{\"presence\":{\"count\":1,\"ids\":[\"u\"],\"hash\":{\"u\":{}}}}","channel":"c"}`: evSucceeded + ` c {"u":{}}`,
		`{"event":"pusher_internal:watchlist_events","data":"{\"events\":[{\"name\":\"offline\",\"user_ids\":[\"b\",\"a\"]}]}"}`:                     evWatchlist + ` {"events":[{"name":"offline","user_ids":["a","b"]}]}`,
		`{"event":"pusher:error","data":"{}"}`:                                                                                                       "",
		`{"event":"pusher:error","data":{"code":null}}{}`:                                                                                            "",
		`{"event":"e","data":{"a":1}}`:     "",
		`{"event":"e"}`:                    "",
		`{"event":"e","data":"","more":1}`: "",
		`{"event":"pusher_internal:subscription_succeeded","data":"{\"presence\":{\"count\":2,\"ids\":[\"u\"],\"hash\":{\"u\":{}}}}","channel":"c"}`: "",
		`{"event":"pusher_internal:subscription_succeeded","data":"{\"presence\":{\"count\":1,\"ids\":[\"u\"],\"hash\":{}}}","channel":"c"}`:         "",
		`{"event":"pusher_internal:watchlist_events","data":"{\"events\":[]}"}`:                                                                      "",
	} {
		f, err := parseFrame(raw)
		if (err == nil) != (want != "") || err == nil && f.String() != want {
			t.Errorf("%s: got %q, %v, want %q", raw, f, err, want)
		}
	}
}
