package model

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dunlin/internal/client"
	"dunlin/internal/testkit"
)

// table is where clients and servers meet: one round of one script.
type table struct {
	t        testing.TB
	app      app
	round    string
	nodes    []*testkit.Server
	apis     []*client.API // of the app, by node
	fences   []*life       // one a node, in an app of its own
	patience time.Duration

	mu sync.Mutex
	// Guarded by mu
	lives map[string]*life // open connections, by client
	all   []*life          // the closed ones too
}

// rounds numbers the rounds of this process, so that no two have a channel in
// common.
var rounds atomic.Int64

func sit(t testing.TB, nodes []*testkit.Server, a app, patience time.Duration) *table {
	t.Helper()
	tab := &table{
		t: t, app: a, round: "r" + strconv.FormatInt(rounds.Add(1), 10),
		nodes: nodes, lives: map[string]*life{}, patience: patience,
	}
	t.Cleanup(tab.clear)
	for i, s := range nodes {
		tab.apis = append(tab.apis, client.NewAPI("http://"+s.Addr, a.id, a.key, signer))
		l, err := tab.dial("fence", i, testkit.Key)
		if err != nil {
			t.Fatal(err)
		}
		tab.fences = append(tab.fences, l)
	}
	return tab
}

func (tab *table) context() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), tab.patience)
}

func (tab *table) dial(name string, node int, key string) (*life, error) {
	ctx, cancel := tab.context()
	defer cancel()
	l, err := dial(ctx, name, node, tab.nodes[node].Addr, key)
	if err != nil {
		return nil, fmt.Errorf("%s cannot connect: %w", name, err)
	}
	return l, nil
}

// clear ends what is left of a round that failed.
func (tab *table) clear() {
	for _, l := range append(tab.fences, tab.all...) {
		l.conn.Drop()
		<-l.done
	}
}

// seat connects the client that an op is of.
func (tab *table) seat(o op) (*life, error) {
	l, err := tab.dial(o.actor, tab.nodeOf(o), tab.app.key)
	if err != nil {
		return nil, err
	}
	tab.mu.Lock()
	defer tab.mu.Unlock()
	tab.lives[o.actor] = l
	tab.all = append(tab.all, l)
	return l, nil
}

// life is a client's open connection, or nil.
func (tab *table) life(client string) *life {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	return tab.lives[client]
}

func (tab *table) forget(client string) {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	delete(tab.lives, client)
}

// nodeOf is where an actor is, unless an op says so: spread over the nodes.
func (tab *table) nodeOf(o op) int {
	if n, err := strconv.Atoi(o.node); err == nil {
		return n % len(tab.nodes)
	}
	n, _ := strconv.Atoi(o.actor[1:])
	return n % len(tab.nodes)
}

// idOf is the socket id of a client, or one that nobody has.
func (tab *table) idOf(client string) string {
	if l := tab.life(client); l != nil {
		return l.id
	}
	return "1.1"
}

// hangUp closes a client's connection in the way that an op says.
func (tab *table) hangUp(l *life, how string) {
	l.left.Store(true)
	if how == "drop" {
		l.conn.Drop()
	} else {
		code, err := strconv.Atoi(how)
		if err != nil {
			code = 1000
		}
		_ = l.conn.Close(code, "") // the other side may have been faster
	}
	<-l.done
}

// ask sends an op to the API and returns its answer.
func (tab *table) ask(ctx context.Context, o op, skip string) (client.Response, error) {
	r := o.request(tab.round, skip)
	return tab.apis[tab.nodeOf(o)].Do(ctx, r.method, r.path, r.params, r.body)
}

// answers compares an answer of the API with a prediction.
func answers(r client.Response, p *prediction) error {
	if r.Status != p.status {
		return fmt.Errorf("status %d (%.200q), want %d", r.Status, r.Body, p.status)
	}
	switch {
	case p.status != 200:
		if p.text != "" && p.text != string(r.Body) || !strings.HasSuffix(string(r.Body), "\n") {
			return fmt.Errorf("text %q, want %q", r.Body, p.text)
		}
	case p.body != nil:
		got := simplify(rawJSON(string(r.Body)))
		if !reflect.DeepEqual(got, p.body) {
			return fmt.Errorf("body %s, want %s", plainJSON(got), plainJSON(p.body))
		}
	}
	return nil
}

// simplify makes a set of a list of users, and one word of a ttl as it must be soon
// after the event.
func simplify(v any) any {
	body, _ := v.(map[string]any)
	if users, ok := body["users"].([]any); ok && len(body) == 1 {
		ids := map[string]bool{}
		for _, u := range users {
			o, _ := u.(map[string]any)
			id, _ := o["id"].(string)
			if ids[id] || len(o) != 1 {
				return v
			}
			ids[id] = true
		}
		return ids
	}
	if cache, ok := body["cache"].(map[string]any); ok {
		const most, least = 30 * 60, 25 * 60
		if ttl, ok := cache["ttl"].(float64); ok && ttl <= most && ttl > least {
			cache["ttl"] = freshTTL
		}
	}
	return v
}

// fence returns when every node has told its handlers all that was to be told
// before: joins are answered in their order.
func (tab *table) fence() {
	tab.t.Helper()
	ctx, cancel := tab.context()
	defer cancel()
	for _, l := range tab.fences {
		log, _ := l.since(0)
		n := len(log)
		auth := tab.nodes[l.node].API.Authorize(l.id, "presence-fence", `{"user_id":"fence"}`)
		if err := l.conn.Subscribe(ctx, "presence-fence", auth); err != nil {
			tab.t.Fatalf("fence: %v", err)
		}
		ok := l.heard(ctx, n, func(log []entry, _ error) bool { return len(log) > 0 && log[0].event == evSucceeded })
		if !ok {
			log, end := l.since(n)
			tab.t.Fatalf("fence: a presence channel is not joined: %v, %v", log, end)
		}
		if err := l.conn.Unsubscribe(ctx, "presence-fence"); err != nil {
			tab.t.Fatalf("fence: %v", err)
		}
	}
}

// gauges waits until the nodes count as many connections and subscriptions as there
// are (PITFALLS 26). Only then has a closed connection left everything.
func (tab *table) gauges(connections, subscriptions int) {
	tab.t.Helper()
	var err error
	tab.until(func() bool { err = tab.counted(connections, subscriptions); return err == nil })
	if err != nil {
		tab.t.Fatal(err)
	}
}

// counted compares the gauges with what they should be, once.
func (tab *table) counted(connections, subscriptions int) error {
	tab.t.Helper()
	want := [2]float64{float64(connections + len(tab.fences)), float64(subscriptions)}
	got := [2]float64{}
	for _, s := range tab.nodes {
		page := tab.metrics(s)
		got[0] += figure(page, "dunlin_connections")
		got[1] += figure(page, "dunlin_subscriptions")
	}
	if got != want {
		return fmt.Errorf("the gauges of connections and subscriptions are %v, want %v", got, want)
	}
	return nil
}

func (tab *table) metrics(s *testkit.Server) string {
	tab.t.Helper()
	r, err := http.Get("http://" + s.Ops + "/metrics")
	if err != nil {
		tab.t.Fatal(err)
	}
	defer r.Body.Close()
	page, err := io.ReadAll(r.Body)
	if err != nil {
		tab.t.Fatal(err)
	}
	return string(page)
}

// figure is a metric without labels.
func figure(page, name string) float64 {
	_, rest, _ := strings.Cut(page, "\n"+name+" ")
	text, _, _ := strings.Cut(rest, "\n")
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return -1
	}
	return v
}

// until polls ok as long as patience lasts.
func (tab *table) until(ok func() bool) bool {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(tab.patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// leave has everybody go, and waits until the nodes know nothing of them any more
// (PITFALLS 10, 26).
func (tab *table) leave() {
	tab.t.Helper()
	for name, l := range tab.lives {
		tab.hangUp(l, "")
		delete(tab.lives, name)
	}
	tab.gauges(0, 0)
	tab.settled(op{actor: "b0", verb: "list"}, map[string]any{"channels": map[string]any{}})
	for _, l := range tab.fences {
		tab.hangUp(l, "")
	}
	tab.fences = nil
	tab.gauges(0, 0)
}

// settled waits until every node gives an answer.
func (tab *table) settled(o op, want any) {
	tab.t.Helper()
	for i := range tab.nodes {
		o.node = strconv.Itoa(i)
		var err error
		tab.until(func() bool {
			err = tab.check(o, &prediction{status: 200, body: want})
			return err == nil
		})
		if err != nil {
			tab.t.Fatalf("%s at node %d: %v", o, i, err)
		}
	}
}

// check asks the API once and compares.
func (tab *table) check(o op, p *prediction) error {
	ctx, cancel := tab.context()
	defer cancel()
	r, err := tab.ask(ctx, o, tab.idOf(o.skip))
	if err != nil {
		return err
	}
	return answers(r, p)
}
