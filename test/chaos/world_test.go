//go:build redis

package chaos

import (
	"context"
	_ "embed" // state.lua
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dunlin/internal/client"
	"dunlin/internal/testkit"
	"dunlin/protocol"
)

// channels are few, so that everybody meets everybody.
var channels = []string{"presence-a", "presence-b", "private-a", "room-a", "room-b"}

const (
	guests     = 18
	residents  = 6 // of these
	publishers = 3
)

// world is a Redis, nodes, clients, backends and a receiver of webhooks.
type world struct {
	t       testing.TB
	history *history
	redis   *testkit.Redis
	nodes   []*node
	serial  atomic.Int64 // of events
}

// node is a real process, at an address that it keeps when it is started again.
type node struct {
	host

	world  *world
	number int
	addr   string
	config string
	server *testkit.Server
	up     bool
}

// link is a node's way to Redis.
type link interface {
	URL() string
	Cut()
	Hold()
	Delay(time.Duration)
	Heal()
}

const config = `
server: {host: %q, port: %d, drain: 1s}
ops: {enabled: false}
engine: {type: redis, redis: {url: %q, %s}}
apps:
  - id: app-id
    key: app-key
    secret: app-secret
    webhooks: [{url: %q, filter: {channel_name_starts_with: p}}]
`

// newWorld starts a world; settings are of engine.redis, in flow style.
func newWorld(t testing.TB, h *history, nodes int, settings string) *world {
	t.Helper()
	w := &world{t: t, history: h, redis: testkit.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")}
	for i := range nodes {
		n := &node{world: w, number: i + 1, host: w.newHost()}
		n.config = fmt.Sprintf(config, n.listen, n.port, n.link.URL(), settings, n.hooks)
		w.nodes = append(w.nodes, n)
		n.start()
	}
	return w
}

func (n *node) kill() {
	if n.up {
		n.server.Signal(syscall.SIGKILL)
		_ = n.server.Wait() // that it was killed is known
		n.up = false
	}
}

func (n *node) start() {
	n.server = testkit.Start(n.world.t, testkit.Options{Config: n.config, Wrap: n.wrap})
	n.up = true
	n.world.t.Cleanup(n.kill) // to stop in good order has tests of its own, and takes its time
	if n.addr == "" {         // it stays the same
		n.addr = n.server.Addr
	}
}

// receiver starts a receiver of webhooks at an address and returns its URL.
func (w *world) receiver(addr string) string {
	s := httptest.NewUnstartedServer(http.HandlerFunc(w.receive))
	s.Listener.Close()
	var err error
	if s.Listener, err = net.Listen("tcp", net.JoinHostPort(addr, "0")); err != nil {
		w.t.Fatal(err)
	}
	s.Start()
	w.t.Cleanup(s.Close)
	return s.URL
}

// receive notes webhooks.
func (w *world) receive(rw http.ResponseWriter, r *http.Request) {
	var body struct {
		Events []struct {
			Name, Channel string
			UserID        string `json:"user_id"`
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	ids := strings.Split(r.Header.Get("X-Dunlin-Event-Ids"), ",")
	for i, e := range body.Events {
		w.history.add(entry{Kind: webhook, ID: ids[i], Name: e.Name, Channel: e.Channel, User: e.UserID})
	}
}

// backend publishes through all nodes until ctx ends.
func (w *world) backend(ctx context.Context, rng *rand.Rand) {
	for ctx.Err() == nil {
		w.publish(1+rng.IntN(len(w.nodes)), channels[rng.IntN(len(channels))], publishing)
		pause(ctx, ms(rng, 5, 60))
	}
}

// publish publishes one event and notes what became of it.
func (w *world) publish(node int, channel, kind string) (ok bool) {
	id := fmt.Sprint("e", w.serial.Add(1))
	api := client.NewAPI("http://"+w.nodes[node-1].addr, testkit.AppID, testkit.Key, protocol.NewSecret(testkit.Secret))
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	w.history.add(entry{Kind: kind, ID: id, Channel: channel, Node: node})
	_, err := api.Trigger(ctx, client.Publication{Name: "e", Channel: channel, Data: `{"id":"` + id + `"}`})
	n := entry{Kind: outcome(err), ID: id}
	if n.Kind == failed {
		n.Name = err.Error()
	}
	w.history.add(n)
	return err == nil
}

// outcome is what a backend knows after an answer.
func outcome(err error) string {
	var status *client.StatusError
	var network *net.OpError
	switch {
	case err == nil:
		return published
	case errors.As(err, &status) && status.Status == http.StatusServiceUnavailable && status.RetryAfter > 0:
		if strings.Contains(status.Text, "may have been published") {
			return uncertain
		}
		return refused
	case errors.As(err, &status):
		return failed
	case errors.As(err, &network) && network.Op == "dial":
		return refused
	}
	return uncertain // the node died
}

// play lets everybody act while a schedule is carried out.
func (w *world) play(seed uint64, s schedule) {
	w.t.Helper()
	ctx, end := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for i := range guests {
		g := &guest{world: w, name: fmt.Sprint("c", i), user: fmt.Sprint("u", i%(guests/2)), stays: i < residents, rng: rand.New(rand.NewPCG(seed, uint64(i+1)))}
		w.t.Cleanup(func() {
			if g.conn != nil {
				g.conn.Drop()
			}
		})
		all.Go(func() { g.run(ctx) })
	}
	for i := range publishers {
		all.Go(func() { w.backend(ctx, rand.New(rand.NewPCG(seed, uint64(1000+i)))) })
	}
	w.carryOut(s)
	end()
	all.Wait()
}

// quiet is how long everything may take to come to rest. What a node had been handed
// out when it died, another takes after half a minute.
const quiet = lease + sweeping + debounce + recovery + 60*time.Second

// settle waits until Redis has come to rest and says what there is to be said, then
// publishes to everybody a last time.
func (w *world) settle() {
	w.t.Helper()
	w.history.add(entry{Kind: calm})
	before := newRecord(w.history.all())
	deadline := time.Now().Add(quiet)
	for rest := false; !rest && time.Now().Before(deadline); <-time.After(50 * time.Millisecond) {
		before.state = w.look()
		rest = before.state != nil && len(checkState(before)) == 0
	}
	w.history.add(entry{Kind: observed, State: before.state})
	for i := range w.nodes {
		for _, ch := range channels {
			w.publishLast(i+1, ch)
		}
	}
	<-time.After(slack) // for the last of them to be heard: nothing tells that nothing comes
}

// publishLast publishes when all is well, which must succeed soon.
func (w *world) publishLast(node int, channel string) {
	for deadline := time.Now().Add(recovery); !w.publish(node, channel, lastWord); <-time.After(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.history.add(entry{Kind: unreachable, Node: node})
			return
		}
	}
}

//go:embed state.lua
var stateScript string

// look reads what Redis has, nil when it does not answer.
func (w *world) look() *state {
	text, err := w.redis.Do("EVAL", stateScript, "0")
	s := &state{}
	if err == nil {
		text = strings.ReplaceAll(text, ":{}", ":null") // empty lists and empty objects are the same to Lua
		err = json.Unmarshal([]byte(text), s)
	}
	if err != nil {
		w.t.Logf("reading Redis: %v: %.200s", err, text)
		return nil
	}
	return s
}
