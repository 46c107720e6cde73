package contract

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/transport"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// node is a server under test with handlers that do what messages say.
type node struct {
	t       *testing.T
	server  transport.Server
	metrics *metrics.Set
	opened  chan *peer // every session, once it is open
	config

	mu sync.Mutex
	// Guarded by mu
	shards  []*shard
	clients []*client
}

// config is what differs between tests.
type config struct {
	options   transport.Options
	addresses []transport.Address // none: one on the loopback
	refuse    func(transport.Handshake) *protocol.Error

	closeInOpen bool
}

func start(t *testing.T, listen Listen, cfg config) *node {
	t.Helper()
	n := &node{t: t, metrics: metrics.New(), opened: make(chan *peer, 10_000), config: cfg}
	cfg.options.Counters = n.metrics.Loop
	if cfg.options.Loops == 0 {
		cfg.options.Loops = 2
	}
	if cfg.addresses == nil {
		cfg.addresses = []transport.Address{{Network: "tcp", Address: "127.0.0.1:0"}}
	}
	s, err := listen(cfg.addresses, cfg.options, n.newHandler)
	if err != nil {
		t.Fatal(err)
	}
	n.server = s
	t.Cleanup(s.Close)
	return n
}

func (n *node) newHandler(l transport.Loop) transport.Handler {
	s := &shard{node: n, loop: l}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.shards = append(n.shards, s)
	return s
}

// drops waits until a reason was counted so often.
func (n *node) drops(d metrics.Drop, want uint64) {
	n.t.Helper()
	eventually(n.t, func() error {
		if got := n.metrics.Drops(d); got != want {
			return fmt.Errorf("%v was counted %d times, want %d", d, got, want)
		}
		return nil
	})
}

// shard is a handler that runs what do brings.
type shard struct {
	node *node
	loop transport.Loop

	turns   atomic.Int64
	moreFor atomic.Int64 // so many turns report that there is more to do

	mu sync.Mutex
	// Guarded by mu
	todo []func()
}

// do runs f on the loop, in a turn.
func (s *shard) do(f func()) {
	s.mu.Lock()
	s.todo = append(s.todo, f)
	s.mu.Unlock()
	s.loop.Wake()
}

func (s *shard) Turn(time.Time) bool {
	s.turns.Add(1)
	s.mu.Lock()
	todo := s.todo
	s.todo = nil
	s.mu.Unlock()
	for _, f := range todo {
		f()
	}
	return s.moreFor.Add(-1) > 0
}

func (s *shard) Open(c transport.Conn, h transport.Handshake) (transport.Session, *protocol.Error) {
	if s.node.refuse != nil {
		if bad := s.node.refuse(h); bad != nil {
			return nil, bad
		}
	}
	p := &peer{shard: s, conn: c, handshake: h, gone: make(chan error, 10)}
	c.Send(protocol.ConnectionEstablished(c.ID(), 120))
	if s.node.closeInOpen {
		c.Close(protocol.ErrReconnect)
	}
	s.node.opened <- p
	return p, nil
}

// peer is the server's side of a connection: it echoes, unless a message is a
// command.
type peer struct {
	shard     *shard
	conn      transport.Conn
	handshake transport.Handshake
	gone      chan error // what Closed was called with
	binaries  atomic.Int64
	heard     atomic.Int64

	// Owned by the loop
	inCall   bool
	onClosed func()
}

func (p *peer) Message(payload []byte) {
	p.inCall = true
	defer func() { p.inCall = false }()
	p.heard.Add(1)
	verb, rest, _ := strings.Cut(string(payload), " ")
	switch verb {
	case "close":
		p.conn.Send(protocol.NewFrame([]byte("before")))
		p.conn.Close(&protocol.Error{Code: protocol.CodeUnauthorized, Message: rest})
		p.conn.Send(protocol.NewFrame([]byte("after")))
		p.conn.Close(protocol.ErrReconnect)
	case "pause":
		p.conn.Pause()
	default:
		p.conn.Send(protocol.NewFrame(payload))
	}
}

func (p *peer) Binary() { p.binaries.Add(1) }

func (p *peer) Closed(err error) {
	if p.inCall {
		err = errors.New("Closed was called inside Message")
	}
	p.conn.Send(protocol.NewFrame([]byte("too late")))
	if p.onClosed != nil {
		p.onClosed()
	}
	p.gone <- err
}

// do runs f on the peer's loop.
func (p *peer) do(f func()) { p.shard.do(f) }

// ended waits for Closed and returns what it said.
func (p *peer) ended(t *testing.T) error {
	t.Helper()
	select {
	case err := <-p.gone:
		return err
	case <-time.After(patience):
		t.Fatal("Closed was not called")
		return nil
	}
}

// endedOnce also looks whether Closed was called again, a turn later.
func (p *peer) endedOnce(t *testing.T) error {
	t.Helper()
	err := p.ended(t)
	wait := make(chan struct{})
	p.do(func() { close(wait) })
	within(t, wait)
	if len(p.gone) > 0 {
		t.Error("Closed was called twice")
	}
	return err
}

func within(t *testing.T, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("it did not happen")
	}
}

// eventually polls until check is content.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
}

func (n *node) addr() net.Addr { return n.server.Addrs()[0] }

func (n *node) closeClients() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.clients {
		c.nc.Close()
	}
}
