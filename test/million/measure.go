//go:build linux && simulated

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"sync/atomic"
	"time"

	"dunlin/cluster"
	"dunlin/metrics"
	"dunlin/protocol"
)

type options struct {
	n         int
	own       bool
	publishes int
	cycles    int
	quiet     time.Duration
	verify    bool
	heap      string
}

// Result is one size in one shape. Times are in microseconds.
type Result struct {
	Connections int  `json:"connections"`
	Channels    int  `json:"channels"`
	Own         bool `json:"channel_each"`
	Loops       int  `json:"loops"`

	OpenCPU     float64 `json:"open_cpu_us"`     // per connection: accept, upgrade, subscribe
	OpenSeconds float64 `json:"open_seconds"`    // all of them
	Resident    int     `json:"resident_bytes"`  // per connection, when the last has subscribed
	Settled     int     `json:"settled_bytes"`   // per connection, resident, what is free given back to the system
	Heap        int     `json:"heap_bytes"`      // per connection, reachable
	Delivery    float64 `json:"delivery_cpu_us"` // CPU per delivery, always the same thousand
	Cold        float64 `json:"cold_cpu_us"`     // CPU per delivery, a thousand that were not touched for long; 0: a channel each
	Single      float64 `json:"single_cpu_us"`   // CPU per event to a channel of one; 0: shared channels

	Quiet     Latency `json:"quiet"`      // paced events, no collection
	Marking   Latency `json:"collecting"` // the same while the collector runs
	Collect   float64 `json:"collection_seconds"`
	CloseSecs float64 `json:"close_seconds"` // all at once, until the last has left its channel
	CloseCPU  float64 `json:"close_cpu_us"`  // per connection
	CloseTurn float64 `json:"close_longest_turn_us"`
}

// Latency is of paced events to a thousand.
type Latency struct {
	Turns  Spread `json:"turns"`
	Events Spread `json:"events"` // from Publish until the last subscriber is written to
}

// Spread is in microseconds.
type Spread struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// measurement is one run.
type measurement struct {
	o      options
	ctx    context.Context
	node   *node
	p      *peers
	serial int
	r      Result
}

func measure(ctx context.Context, o options) (Result, error) {
	n, err := newNode()
	if err != nil {
		return Result{}, err
	}
	p, err := newPeers(n, o)
	if err != nil {
		return Result{}, errors.Join(err, n.close())
	}
	m := &measurement{o: o, ctx: ctx, node: n, p: p}
	m.r = Result{Connections: o.n, Own: o.own, Loops: len(n.loops), Channels: p.channels}
	if o.own {
		m.r.Channels = 1 + o.n - p.subscribers()
	}
	for _, step := range []func() error{m.open, m.publish, m.latency, m.close} {
		if err := step(); err != nil {
			return m.r, errors.Join(err, n.close())
		}
	}
	return m.r, n.close()
}

// open connects and subscribes all.
func (m *measurement) open() error {
	debug.FreeOSMemory()
	resident, heap := residentBytes(), heapBytes()
	began, cpu := time.Now(), cpuTime()
	for first, loop, each := 0, 0, (m.o.n+m.r.Loops-1)/m.r.Loops; first < m.o.n; first, loop = first+each, loop+1 {
		m.p.sim.Connect(loop, first, min(each, m.o.n-first))
	}
	if err := m.until(&m.p.ready, int64(m.o.n), "subscriptions"); err != nil {
		return err
	}
	m.r.OpenSeconds, m.r.OpenCPU = time.Since(began).Seconds(), micros(cpuTime()-cpu)/float64(m.o.n)
	m.r.Resident = (residentBytes() - resident) / m.o.n
	debug.FreeOSMemory()
	m.r.Settled = (residentBytes() - resident) / m.o.n
	m.r.Heap = (heapBytes() - heap) / m.o.n
	if m.node.counters.Connections() != int64(m.o.n) {
		return fmt.Errorf("%d connections, want %d", m.node.counters.Connections(), m.o.n)
	}
	return m.profile()
}

func (m *measurement) profile() error {
	if m.o.heap == "" {
		return nil
	}
	f, err := os.Create(m.o.heap)
	if err != nil {
		return err
	}
	return errors.Join(pprof.Lookup("heap").WriteTo(f, 0), f.Close())
}

const eventName = "bench"

// event is an event of a channel, its serial number in its data.
func event(serial, channel int) *protocol.Frame {
	data := protocol.StringLiteral(fmt.Sprintf(`"%0100d"`, serial))
	return protocol.ChannelEvent(eventName, data, channelName(channel), "")
}

// send publishes one event.
func (m *measurement) send(channel int) error {
	m.serial++
	key := protocol.ChannelKey{App: appID, Name: channelName(channel)}
	_, err := m.node.hub.Publish(m.ctx, []cluster.Publication{{Channel: key, Message: cluster.Message{Frame: event(m.serial, channel)}}})
	return err
}

// rounds of a figure, of which the median counts.
const rounds = 5

// publish measures what a delivery costs.
func (m *measurement) publish() (err error) {
	per := max(m.o.publishes/rounds, 1)
	m.r.Delivery, err = m.cost(per, m.p.subscribers(), func(int) int { return 0 })
	if err != nil || m.o.own && m.p.channels == 1 {
		return err
	}
	if !m.o.own {
		m.r.Cold, err = m.cost(max(per, m.p.channels), m.p.subscribers(), func(i int) int { return i % m.p.channels })
		return err
	}
	m.r.Single, err = m.cost(per*10, 1, func(i int) int {
		const stride = 7919 // prime: all channels, and none again soon
		client := i * stride % m.o.n
		if client%m.p.channels == 0 {
			client++
		}
		return m.p.channelOf(client)
	})
	return err
}

// cost publishes count events, each to as many subscribers, one after the other. It
// returns the CPU time per delivery in microseconds, the median of some rounds.
func (m *measurement) cost(count, subscribers int, channel func(i int) int) (float64, error) {
	var costs []float64
	for range rounds {
		cpu := cpuTime()
		for i := range count {
			want := m.p.delivered.Load() + int64(subscribers)
			if err := m.send(channel(i)); err != nil {
				return 0, err
			}
			if err := m.until(&m.p.delivered, want, "deliveries"); err != nil {
				return 0, err
			}
		}
		costs = append(costs, micros(cpuTime()-cpu)/float64(count*subscribers))
	}
	slices.Sort(costs)
	return costs[rounds/2], nil
}

// pace is between two events when latencies are measured.
const pace = 2 * time.Millisecond

// latency measures turns and paced events, first by themselves, then while the
// collector runs again and again.
func (m *measurement) latency() (err error) {
	runtime.GC()
	began := time.Now()
	var stop atomic.Bool
	if m.r.Quiet, err = m.paced(func() bool { return time.Since(began) > m.o.quiet }); err != nil {
		return err
	}
	collected := make(chan time.Duration, 1)
	go func() {
		began := time.Now()
		n := 0
		for ; n < m.o.cycles || time.Since(began) < m.o.quiet; n++ {
			runtime.GC()
		}
		collected <- time.Since(began) / time.Duration(max(n, 1))
		stop.Store(true)
	}()
	m.r.Marking, err = m.paced(stop.Load)
	m.r.Collect = (<-collected).Seconds()
	return err
}

// paced publishes to channel 0 until over.
func (m *measurement) paced(over func() bool) (l Latency, err error) {
	m.timeTurns(true)
	var events []time.Duration
	beat := time.NewTicker(pace)
	defer beat.Stop()
	for !over() && err == nil {
		<-beat.C
		began, want := time.Now(), m.p.delivered.Load()+int64(m.p.subscribers())
		if err = m.send(0); err == nil {
			err = m.until(&m.p.delivered, want, "deliveries")
		}
		events = append(events, time.Since(began))
	}
	return Latency{Turns: spread(m.timeTurns(false)), Events: spread(events)}, err
}

// timeTurns begins to note how long turns take, or returns what was noted.
func (m *measurement) timeTurns(on bool) (all []time.Duration) {
	for _, w := range m.node.loops {
		var times *turnTimes
		if on {
			times = &turnTimes{}
		}
		if old := w.times.Swap(times); old != nil {
			all = append(all, old.take()...)
		}
	}
	return all
}

// close has all clients close at once.
func (m *measurement) close() error {
	m.timeTurns(true)
	began, cpu := time.Now(), cpuTime()
	for i := range m.p.list {
		m.p.list[i].stage = closing
		m.p.sim.Ready(i)
	}
	if err := m.until(&m.p.gone, int64(m.o.n), "ends"); err != nil {
		return err
	}
	m.r.CloseSecs, m.r.CloseCPU = time.Since(began).Seconds(), micros(cpuTime()-cpu)/float64(m.o.n)
	m.r.CloseTurn = spread(m.timeTurns(false)).Max
	open := m.node.counters.Connections()
	subscribed := m.node.counters.Sum(func(l *metrics.Loop) int64 { return l.Subscriptions.Load() })
	occupied, err := m.node.hub.Channels(m.ctx, appID, "", 0)
	if err == nil && (open != 0 || subscribed != 0 || len(occupied) != 0) {
		err = fmt.Errorf("all have closed: %d connections, %d subscriptions, %d channels are left", open, subscribed, len(occupied))
	}
	return err
}

// stalled is when nothing has moved for so long.
const stalled = time.Minute

// until waits for a count.
func (m *measurement) until(count *atomic.Int64, want int64, what string) error {
	for count.Load() != want {
		if fault := m.p.fault.Load(); fault != nil {
			return errors.New(*fault)
		}
		select {
		case <-m.p.moved:
		case <-m.ctx.Done():
			return m.ctx.Err()
		case <-time.After(stalled):
			return fmt.Errorf("%d %s, want %d", count.Load(), what, want)
		}
	}
	return nil
}
