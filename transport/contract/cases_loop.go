package contract

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"dunlin/protocol"
	"dunlin/transport"
)

var loopCases = []testCase{
	{"wake", wake},
	{"more", more},
	{"loops", loops},
	{"fan-out", fanOut},
}

// wake is called by many goroutines at once; no call may be lost.
func wake(t *testing.T, listen Listen) {
	n := start(t, listen, config{})
	const callers, calls = 8, 500
	var ran atomic.Int64
	var all sync.WaitGroup
	for i := range callers {
		s := n.shards[i%len(n.shards)]
		all.Go(func() {
			for range calls {
				done := make(chan struct{})
				s.do(func() { ran.Add(1); close(done) })
				within(t, done)
			}
		})
	}
	all.Wait()
	if got := ran.Load(); got != callers*calls {
		t.Errorf("%d calls ran, want %d", got, callers*calls)
	}
}

// more makes a loop go on without being woken, and serve its sockets meanwhile.
func more(t *testing.T, listen Listen) {
	n := start(t, listen, config{options: transport.Options{Loops: 1}})
	c, p := n.connect()
	s := p.shard
	s.moreFor.Store(1 << 40)
	s.loop.Wake()
	for i := range 20 {
		c.say(fmt.Sprint(i))
		c.hears(fmt.Sprint(i))
	}
	before := s.turns.Load()
	eventually(t, func() error {
		if s.turns.Load() < before+1000 {
			return errNotYet
		}
		return nil
	})
	s.moreFor.Store(0)
	eventually(t, func() error { // it comes to rest
		before := s.turns.Load()
		c.say("x")
		c.hears("x")
		if got := s.turns.Load() - before; got > 10 {
			return fmt.Errorf("%d turns for one message", got)
		}
		return nil
	})
}

func loops(t *testing.T, listen Listen) {
	n := start(t, listen, config{options: transport.Options{Loops: 3}})
	if len(n.shards) != 3 {
		t.Fatalf("%d loops", len(n.shards))
	}
	for i, s := range n.shards {
		if s.loop.Index() != i {
			t.Errorf("loop %d has index %d", i, s.loop.Index())
		}
	}
	used := map[int]bool{}
	for range 60 {
		c, p := n.connect()
		used[p.shard.loop.Index()] = true
		c.say("hello")
		c.hears("hello")
	}
	if len(used) != 3 {
		t.Errorf("60 connections are on loops %v", used)
	}
}

// fanOut sends shared frames of several sizes to many, in one turn and in many.
func fanOut(t *testing.T, listen Listen) {
	n := start(t, listen, config{options: transport.Options{Loops: 1}})
	const many, rounds = 50, 30
	clients, peers := make([]*client, many), make([]*peer, many)
	for i := range many {
		clients[i], peers[i] = n.connect()
	}
	var want []string
	var frames []*protocol.Frame
	for i := range 3 * rounds {
		size := []int{10, 10, 300, 3000, 40_000}[i%5]
		want = append(want, fmt.Sprint(i, " ", repeat("f", size)))
		frames = append(frames, protocol.NewFrame([]byte(want[i])))
	}
	for r := range rounds {
		peers[0].do(func() {
			for i, p := range peers {
				for k, f := range frames[3*r : 3*r+3] {
					if k != i%4 { // lists differ between some neighbours
						p.conn.Send(f)
					}
				}
			}
		})
	}
	var all sync.WaitGroup
	for i, c := range clients {
		all.Go(func() {
			for k, w := range want {
				if k%3 == i%4 {
					continue
				}
				if got := c.text(); got != w {
					t.Errorf("client %d got %.40q, want %.40q", i, got, w)
					return
				}
			}
		})
	}
	all.Wait()
}
