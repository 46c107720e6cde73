//go:build redis

package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"dunlin/internal/client"
	"dunlin/internal/testkit"
	"dunlin/protocol"
)

// guest is a client that comes, subscribes, leaves and comes back, through whichever
// node takes it.
type guest struct {
	world *world
	name  string
	user  string
	stays bool // in all channels, for as long as it can
	rng   *rand.Rand
	lives int

	conn    *client.Conn // nil: it has none
	as      string       // its name
	subs    []string
	waiting string        // the channel whose answer has not come
	acked   chan string   // channels
	over    chan struct{} // closed when the connection has ended
}

// run acts until ctx ends, and then waits for what has not been answered. Its
// connection stays.
func (g *guest) run(ctx context.Context) {
	for ctx.Err() == nil {
		if g.conn == nil && !g.connect(ctx) {
			pause(ctx, 100*time.Millisecond)
			continue
		}
		g.act(ctx)
		pause(ctx, ms(g.rng, 20, 250))
	}
	g.settle()
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// connect tries one node, as a balancer would that knows nothing.
func (g *guest) connect(ctx context.Context) bool {
	node := 1 + g.rng.IntN(len(g.world.nodes))
	dialing, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	c, err := client.Dial(dialing, "http://"+g.world.nodes[node-1].addr, testkit.Key, client.Options{})
	if err != nil {
		return false
	}
	g.lives++
	g.conn, g.as, g.subs, g.waiting = c, fmt.Sprintf("%s.%d", g.name, g.lives), nil, ""
	g.acked, g.over = make(chan string, 16), make(chan struct{})
	g.world.history.add(entry{Kind: opened, Conn: g.as, Node: node})
	go g.listen(c, g.as, g.acked, g.over)
	return true
}

// listen notes everything that a connection hears.
func (g *guest) listen(c *client.Conn, as string, acked chan<- string, over chan<- struct{}) {
	defer close(over)
	for {
		e, err := c.Next(context.Background())
		if err != nil {
			var end *client.CloseError
			if errors.As(err, &end) {
				g.world.history.add(entry{Kind: closed, Conn: as, Code: end.Code})
			}
			return
		}
		n, ack := noted(as, e)
		g.world.history.add(n)
		if ack {
			acked <- e.Channel
		}
	}
}

// noted is an event of the server as an entry.
func noted(as string, e client.Event) (n entry, ack bool) {
	n = entry{Conn: as, Channel: e.Channel}
	var d struct {
		UserID   string `json:"user_id"`
		ID       string `json:"id"`
		Presence struct {
			IDs []string `json:"ids"`
		} `json:"presence"`
	}
	if err := e.Decode(&d); err != nil {
		n.Kind, n.Name = unexpected, e.Raw
		return n, false
	}
	switch e.Name {
	case client.SubscriptionSucceeded:
		n.Kind, n.Members = subscribed, d.Presence.IDs
		slices.Sort(n.Members)
		return n, true
	case client.MemberAdded:
		n.Kind, n.User = added, d.UserID
	case client.MemberRemoved:
		n.Kind, n.User = removed, d.UserID
	case "e":
		n.Kind, n.ID = heard, d.ID
	default:
		n.Kind, n.Name = unexpected, e.Raw
	}
	return n, false
}

// act does one thing.
func (g *guest) act(ctx context.Context) {
	g.hear()
	if g.conn == nil || g.waiting != "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	ch := channels[g.rng.IntN(len(channels))]
	switch i := slices.Index(g.subs, ch); {
	case g.stays && i >= 0:
	case !g.stays && g.rng.IntN(25) == 0:
		g.world.history.add(entry{Kind: left, Conn: g.as})
		g.drop()
	case i >= 0:
		g.world.history.add(entry{Kind: unsubscribe, Conn: g.as, Channel: ch})
		g.subs = slices.Delete(g.subs, i, i+1)
		_ = g.conn.Unsubscribe(ctx, ch) // that the connection has ended shows soon
	default:
		g.subscribe(ctx, ch)
	}
}

func (g *guest) subscribe(ctx context.Context, ch string) {
	n := entry{Kind: subscribe, Conn: g.as, Channel: ch}
	if strings.HasPrefix(ch, "presence-") {
		n.User = g.user
	}
	g.world.history.add(n)
	g.subs, g.waiting = append(g.subs, ch), ch
	_ = g.conn.Subscribe(ctx, ch, authorization(g.conn, ch, n.User))
}

// authorization is what a backend gives a client to subscribe with; user is of a
// presence channel.
func authorization(c *client.Conn, ch, user string) client.Authorization {
	if !strings.HasPrefix(ch, "p") {
		return client.Authorization{}
	}
	data := ""
	if user != "" {
		data = `{"user_id":"` + user + `"}`
	}
	return client.NewAPI("", testkit.AppID, testkit.Key, protocol.NewSecret(testkit.Secret)).Authorize(c.SocketID(), ch, data)
}

// hear takes what came meanwhile.
func (g *guest) hear() {
	for {
		select {
		case <-g.acked:
			g.waiting = ""
		case <-g.over:
			if g.conn != nil {
				g.drop()
			}
			return
		default:
			return
		}
	}
}

func (g *guest) drop() {
	g.conn.Drop()
	<-g.over
	g.conn = nil
}

// settle waits for the last answer, as long as patience lasts.
func (g *guest) settle() {
	patience := time.NewTimer(testkit.Patience)
	defer patience.Stop()
	for g.hear(); g.conn != nil && g.waiting != ""; {
		select {
		case <-g.acked:
			g.waiting = ""
		case <-g.over:
			g.drop()
		case <-patience.C:
			return
		}
	}
}
