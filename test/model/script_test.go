package model

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"dunlin/internal/testkit"
)

// op is one thing that somebody does. It is a value that stands for itself: a
// client that is not connected is connected first, and what makes no sense is
// answered with an error that the model knows too. So every part of a script is a
// script. All fields but the first two may be empty.
type op struct {
	actor string // "c0", "c1" … are clients, "b0" … backends
	verb  string
	how   string // a variant, most often what is wrong with it
	ch    string // a channel; of a backend several, separated by commas
	user  string
	info  string // of a member: "" none, "big" too much, else a number
	watch string // users to be watched, separated by commas
	ask   string // attributes wanted of the API, or a prefix of names before a colon
	skip  string // the client that is not to get what is published
	node  string // where a client connects
	n     string // makes an event one of its kind
	wait  string // bursts: "yes" waits until the server has read it
}

// field is an optional part of an op as it stands in a script.
type field struct {
	key string
	at  *string
}

func (o *op) fields() []field {
	return []field{
		{"how", &o.how}, {"ch", &o.ch}, {"user", &o.user}, {"info", &o.info}, {"watch", &o.watch}, {"ask", &o.ask},
		{"skip", &o.skip}, {"node", &o.node}, {"n", &o.n}, {"wait", &o.wait},
	}
}

func (o op) String() string {
	var b strings.Builder
	b.WriteString(o.actor + " " + o.verb)
	for _, f := range o.fields() {
		if *f.at != "" {
			b.WriteString(" " + f.key + "=" + *f.at)
		}
	}
	return b.String()
}

// pause is the op at which a burst waits for quiet and is judged.
var pause = op{actor: "all", verb: "settle"}

// script is a conversation with the app that it is for.
type script struct {
	mode  string // "conversation" or "burst"
	app   string
	times int // how often it is played, where chance has a part in it
	ops   []op
}

func (s script) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", s.mode, s.app)
	if s.times > 1 {
		fmt.Fprintf(&b, " times=%d", s.times)
	}
	b.WriteByte('\n')
	for _, o := range s.ops {
		b.WriteString(o.String() + "\n")
	}
	return b.String()
}

// parseScript reads the text of a script. Lines that begin with # are comments. The
// first line is
//
//	conversation|burst APP [times=N]
//
// with an app of the table in apps, and every other one is
//
//	ACTOR VERB [how=VARIANT] [ch=CHANNEL] [user=ID] …
//
// Verbs of clients are connect, close, subscribe, unsubscribe, event, signin and raw;
// those of backends publish, batch, list, look, users and terminate. The fields are
// those of op.
func parseScript(text string) (s script, err error) {
	s.times = 1
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if s.mode == "" {
			err = s.parseHead(strings.Fields(line))
		} else {
			var o op
			o, err = parseOp(strings.Fields(line))
			s.ops = append(s.ops, o)
		}
		if err != nil {
			return s, fmt.Errorf("%q: %w", line, err)
		}
	}
	return s, nil
}

func (s *script) parseHead(words []string) (err error) {
	if len(words) < 2 || words[0] != "conversation" && words[0] != "burst" {
		return fmt.Errorf("expected conversation or burst, and an app")
	}
	if s.mode, s.app = words[0], words[1]; apps[s.app].id == "" {
		return fmt.Errorf("there is no app %q", s.app)
	}
	if len(words) > 2 {
		s.times, err = strconv.Atoi(strings.TrimPrefix(words[2], "times="))
	}
	return err
}

func parseOp(words []string) (o op, err error) {
	if len(words) < 2 {
		return o, fmt.Errorf("expected an actor and a verb")
	}
	o.actor, o.verb = words[0], words[1]
	for _, w := range words[2:] {
		key, value, _ := strings.Cut(w, "=")
		known := false
		for _, f := range o.fields() {
			if f.key == key {
				*f.at, known = value, true
			}
		}
		if !known {
			return o, fmt.Errorf("unknown field %q", key)
		}
	}
	return o, nil
}

// progress says how far a script has come: ops before at are done.
type progress struct{ at int }

// play plays a script once; what must happen must do so within patience.
func (s script) play(t testing.TB, nodes []*testkit.Server, at *progress, patience time.Duration) {
	t.Helper()
	tab := sit(t, nodes, apps[s.app], patience)
	if s.mode == "burst" {
		tab.playBurst(s.ops, at)
	} else {
		tab.playConversation(s.ops, at)
	}
}

func TestScriptsAreText(t *testing.T) {
	t.Parallel()
	want := script{mode: "burst", app: "plain", times: 3, ops: []op{
		{actor: "c1", verb: "subscribe", how: "bad-key", ch: "presence-a", user: "ann", info: "1", watch: "ann,bob", wait: "yes"},
		{actor: "b0", verb: "list", ask: "presence-:user_count", skip: "c2", node: "1", n: "7"},
		pause,
	}}
	got, err := parseScript("# comment\n\n" + want.String())
	if err != nil || got.String() != want.String() || len(got.ops) != 3 || got.ops[0] != want.ops[0] || got.ops[1] != want.ops[1] {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"walk plain", "burst", "burst nowhere", "burst plain times=x", "burst plain\nc1", "burst plain\nc1 close x=y"} {
		if _, err := parseScript(bad); err == nil {
			t.Errorf("%q is a script", bad)
		}
	}
}
