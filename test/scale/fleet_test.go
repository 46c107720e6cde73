//go:build redis

package scale

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dunlin/internal/client"
	"dunlin/internal/testkit"
	"dunlin/protocol"
)

const (
	room    = "room"
	perRoom = 20 // members of a presence channel
)

// fleet is the nodes, as a load balancer knows them, and the clients.
type fleet struct {
	t       *testing.T
	clients []*member

	mu sync.Mutex
	// Guarded by mu
	nodes []*testkit.Server
	turn  int
}

func (f *fleet) add(s *testkit.Server) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nodes = append(f.nodes, s)
}

// remove takes the oldest node out of the balancer's list.
func (f *fleet) remove() *testkit.Server {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.nodes[0]
	f.nodes = append(f.nodes[:0:0], f.nodes[1:]...)
	return s
}

func (f *fleet) next() *testkit.Server {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.turn++
	return f.nodes[f.turn%len(f.nodes)]
}

func (f *fleet) await(what string, ok func() bool) {
	f.t.Helper()
	testkit.Until(f.t, what, ok)
}

// connect starts n clients, which stay until the test ends.
func (f *fleet) connect(n int) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	f.t.Cleanup(func() {
		cancel()
		all.Wait()
	})
	for i := range n {
		m := &member{fleet: f, user: fmt.Sprint("user-", i), presence: fmt.Sprint("presence-", i/perRoom)}
		f.clients = append(f.clients, m)
		all.Go(func() { m.live(ctx) })
	}
}

// channels is how many channels the clients have.
func (f *fleet) channels() int { return 1 + (len(f.clients)+perRoom-1)/perRoom }

func (f *fleet) whole() bool {
	for _, m := range f.clients {
		if m.subscribed.Load() < 2 {
			return false
		}
	}
	return true
}

func (f *fleet) allHave(n int) bool {
	for _, m := range f.clients {
		if int(m.last.Load()) < n {
			return false
		}
	}
	return true
}

// judge looks at what each client saw. Between two events of one connection none may
// be missing.
func (f *fleet) judge(published int) (reconnects, missed int) {
	for _, m := range f.clients {
		m.mu.Lock()
		if m.fault != "" {
			f.t.Errorf("%s: %s", m.user, m.fault)
		}
		reconnects += m.connections - 1
		missed += published - m.got
		m.mu.Unlock()
	}
	return reconnects, missed
}

// member is one client: a user in the room and in a presence channel, who connects
// again whenever the connection ends.
type member struct {
	fleet          *fleet
	user, presence string
	subscribed     atomic.Int32 // channels, on the present connection
	last           atomic.Int64 // event

	mu sync.Mutex
	// Guarded by mu
	connections, got int
	fault            string
}

func (m *member) live(ctx context.Context) {
	for ctx.Err() == nil {
		err := m.stay(ctx)
		m.subscribed.Store(0)
		var end *client.CloseError
		if ctx.Err() == nil && errors.As(err, &end) && end.Code != protocol.ErrReconnect.Code {
			m.blame(fmt.Sprint("was closed: ", err))
		}
	}
}

func (m *member) blame(fault string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = fault
}

// stay connects, and returns how that ended.
func (m *member) stay(ctx context.Context) error {
	node := m.fleet.next()
	c, err := client.Dial(ctx, "http://"+node.Addr, testkit.Key, client.Options{})
	if err != nil {
		return err
	}
	defer c.Drop()
	m.mu.Lock()
	m.connections++
	m.mu.Unlock()
	if err := c.Subscribe(ctx, room, client.Authorization{}); err != nil {
		return err
	}
	auth := node.API.Authorize(c.SocketID(), m.presence, fmt.Sprintf(`{"user_id":%q}`, m.user))
	if err := c.Subscribe(ctx, m.presence, auth); err != nil {
		return err
	}
	before := 0 // event of this connection
	for {
		e, err := c.Next(ctx)
		switch {
		case err != nil:
			return err
		case e.Name == "pusher_internal:subscription_succeeded":
			m.subscribed.Add(1)
		case e.Name == "n":
			n := 0
			if err := json.Unmarshal([]byte(e.Text()), &n); err != nil {
				return err
			}
			m.saw(before, n)
			before = n
		}
	}
}

// saw notes an event; before is the one before it on this connection, 0: none.
func (m *member) saw(before, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if last := int(m.last.Load()); n <= last || before > 0 && n != before+1 {
		m.fault = fmt.Sprintf("event %d after %d, and %d on the same connection", n, last, before)
	}
	m.got++
	m.last.Store(int64(n))
}

// publisher publishes numbers to the room.
type publisher struct {
	end  chan struct{}
	done chan int
}

func (f *fleet) publish(every time.Duration) *publisher {
	p := &publisher{end: make(chan struct{}), done: make(chan int)}
	go func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		n := 0
		for {
			select {
			case <-p.end:
				p.done <- n
				return
			case <-tick.C:
			}
			_, err := f.next().API.Trigger(testkit.Context(f.t), client.Publication{Name: "n", Channel: room, Data: fmt.Sprint(n + 1)})
			if err != nil {
				f.t.Errorf("publishing: %v", err)
				continue
			}
			n++
		}
	}()
	return p
}

func (p *publisher) stop() int {
	close(p.end)
	return <-p.done
}
