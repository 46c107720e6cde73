//go:build linux && simulated

package main

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/tidwall/gjson"
	"golang.org/x/sys/unix"

	"dunlin/transport/epoll"
	"dunlin/transport/wire"
)

// members is how many share a channel.
const members = 1000

// peers are the clients: each asks for an upgrade, subscribes to one channel once
// it is greeted, and counts what it gets.
type peers struct {
	// Static after construction
	n        int
	channels int  // of members
	own      bool // but those of channel 0 have one each
	verify   bool
	upgrade  []byte
	frame    int // bytes of an event's frame, all alike
	node     *node
	sim      *epoll.Simulation
	loops    []progress
	list     []peer // not Go's memory, which is measured

	ready, delivered, gone atomic.Int64
	moved                  chan struct{} // one token: one of the three has changed
	fault                  atomic.Pointer[string]
}

// peer is one client. Its loop owns it, until it is told to close.
type peer struct {
	stage  stage
	serial int32 // of the last event, where frames are verified
}

type stage int32

const (
	requesting stage = iota
	subscribing
	joined
	closing
)

// progress is what a loop did in a turn.
type progress struct {
	ready, delivered, gone int64
	scratch                []byte
	_                      [64]byte
}

func newPeers(node *node, o options) (*peers, error) {
	p := &peers{
		n: o.n, channels: max(o.n/members, 1), own: o.own, verify: o.verify, node: node,
		upgrade: wire.AppendUpgrade(nil, "127.0.0.1:6001", "/app/"+appKey+"?protocol=7&client=js&version=8.4.0&flash=false"),
		frame:   event(0, 0).Size(), loops: make([]progress, len(node.loops)), moved: make(chan struct{}, 1),
	}
	size := o.n * int(unsafe.Sizeof(peer{}))
	memory, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_POPULATE)
	if err != nil {
		return nil, err
	}
	p.list = unsafe.Slice((*peer)(unsafe.Pointer(unsafe.SliceData(memory))), o.n)
	p.sim, err = node.server.Simulate(o.n, epoll.Peers{Read: p.read, Wrote: p.wrote, Turned: p.turned})
	return p, err
}

// channelOf is the channel that a client subscribes to. Neighbours have different
// ones, so that those of a channel lie far apart in memory.
func (p *peers) channelOf(i int) int {
	if c := i % p.channels; !p.own || c == 0 {
		return c
	}
	return p.channels + i
}

// channelName has one length, so that all events have.
func channelName(channel int) string { return fmt.Sprintf("channel-%07d", channel) }

// subscribers is how many subscribe to channel 0.
func (p *peers) subscribers() int { return (p.n + p.channels - 1) / p.channels }

// read is what a client sends.
func (p *peers) read(loop, i int, b []byte) int {
	switch p.list[i].stage {
	case requesting:
		return copy(b, p.upgrade)
	case subscribing:
		l := &p.loops[loop]
		l.scratch = fmt.Appendf(l.scratch[:0], `{"event":"pusher:subscribe","data":{"auth":"","channel":"channel-%07d"}}`, p.channelOf(i))
		return len(wire.AppendMasked(b[:0], wire.Text, l.scratch))
	}
	p.loops[loop].gone++
	return 0
}

// wrote takes what a client gets.
func (p *peers) wrote(loop, i int, b []byte) {
	c, l := &p.list[i], &p.loops[loop]
	switch c.stage {
	case requesting:
		if !bytes.HasPrefix(b, []byte("HTTP/1.1 101 ")) || !bytes.Contains(b, []byte("pusher:connection_established")) {
			p.fail("client %d was greeted with %q", i, b)
		}
		c.stage = subscribing
		p.sim.Ready(i)
	case subscribing:
		if !bytes.Contains(b, []byte("pusher_internal:subscription_succeeded")) {
			p.fail("client %d subscribed and got %q", i, b)
		}
		c.stage = joined
		l.ready++
	case joined:
		if len(b)%p.frame != 0 {
			p.fail("client %d got %d bytes, events have %d", i, len(b), p.frame)
		}
		if p.verify {
			p.check(i, b)
		}
		l.delivered += int64(len(b) / p.frame)
	default:
		p.fail("client %d has closed and got %q", i, b)
	}
}

// check looks at every frame: of the client's channel, and in the order of their
// publishing.
func (p *peers) check(i int, b []byte) {
	for len(b) > 0 {
		e, rest, bad := wire.ServerFrame(b)
		if bad != nil || e.Kind != wire.Text {
			p.fail("client %d got a broken frame: %q", i, b)
			return
		}
		m := gjson.ParseBytes(e.Payload)
		serial := int32(m.Get("data").Int())
		if m.Get("event").Str != eventName || m.Get("channel").Str != channelName(p.channelOf(i)) || serial <= p.list[i].serial {
			p.fail("client %d of channel %d got %s after event %d", i, p.channelOf(i), e.Payload, p.list[i].serial)
		}
		p.list[i].serial, b = serial, rest
	}
}

// turned is called by a loop after each turn.
func (p *peers) turned(loop int) {
	p.node.loops[loop].stop()
	l := &p.loops[loop]
	if l.ready == 0 && l.delivered == 0 && l.gone == 0 {
		return
	}
	p.ready.Add(l.ready)
	p.delivered.Add(l.delivered)
	p.gone.Add(l.gone)
	l.ready, l.delivered, l.gone = 0, 0, 0
	p.tell()
}

func (p *peers) tell() {
	select {
	case p.moved <- struct{}{}:
	default: // a token is there already
	}
}

// fail notes the first thing that was wrong.
func (p *peers) fail(format string, a ...any) {
	text := fmt.Sprintf(format, a...)
	p.fault.CompareAndSwap(nil, &text)
	p.tell()
}
