//go:build redis

package redis

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dunlin/cluster"
	"dunlin/cluster/memory"
	"dunlin/internal/testkit"
	"dunlin/protocol"
)

// meter reads what a benchmark costs Redis.
type meter struct {
	b      *testing.B
	e      *Engine
	before map[string]float64
}

// startMeter begins to measure, and the benchmark's time.
func startMeter(b *testing.B, e *Engine) *meter {
	m := &meter{b: b, e: e}
	m.before = m.read()
	b.ResetTimer()
	return m
}

// read takes figures of INFO. Those of connections are what went over the wire;
// commands are counted with those that scripts call.
func (m *meter) read() map[string]float64 {
	text, err := m.e.slices[0].client.Info(context.Background(), "stats", "cpu", "commandstats").Result()
	if err != nil {
		m.b.Fatal(err)
	}
	figures := make(map[string]float64)
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if calls, ok := strings.CutPrefix(value, "calls="); ok {
			value, _, _ = strings.Cut(calls, ",")
			n, _ := strconv.ParseFloat(value, 64)
			figures["commands"] += n
			continue
		}
		figures[name], _ = strconv.ParseFloat(value, 64)
	}
	return figures
}

// report reports it per operation; ops is how many there were.
func (m *meter) report(ops int) {
	m.b.StopTimer()
	now := m.read()
	per := func(name string) float64 { return (now[name] - m.before[name]) / float64(ops) }
	m.b.ReportMetric(per("total_net_input_bytes"), "B-in/op")
	m.b.ReportMetric(per("total_net_output_bytes"), "B-out/op")
	m.b.ReportMetric(per("commands"), "commands/op")
	m.b.ReportMetric(1e6*(per("used_cpu_user_main_thread")+per("used_cpu_sys_main_thread")), "redis-µs/op")
}

// payload is an event of 300 bytes.
var payload = strings.Repeat("x", 300)

// BenchmarkPublish is a publish of 300 bytes to a channel with subscribers on so many
// nodes, by many at once and by one; of a cache channel, and without Redis.
func BenchmarkPublish(b *testing.B) {
	for _, nodes := range []int{1, 3, 8} {
		b.Run(fmt.Sprint("Nodes=", nodes), func(b *testing.B) {
			e := audience(b, nodes)
			b.Run("Many", func(b *testing.B) { publishMany(b, e, event("a", payload)) })
			b.Run("One", func(b *testing.B) {
				m := startMeter(b, e)
				for b.Loop() {
					publishOne(b, e, event("a", payload))
				}
				m.report(b.N)
			})
		})
	}
	b.Run("Memory", func(b *testing.B) {
		e := memory.New(memory.Options{})
		if err := e.Start(quietObserver{newObserver()}); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = e.Close() })
		for b.Loop() {
			publishOne(b, e, event("a", payload))
		}
	})
	b.Run("Cache", func(b *testing.B) {
		p := event("a", payload)
		p.Keep = time.Minute
		publishMany(b, audience(b, 1), p)
	})
	b.Run("Counted", func(b *testing.B) {
		p := event("a", payload)
		p.Want = cluster.WantSubscriptions
		publishMany(b, audience(b, 1), p)
	})
}

// audience is so many nodes with subscribers, and one without, so that nobody is alone;
// the first is returned.
func audience(b *testing.B, nodes int) (first *Engine) {
	url := testkit.StartRedis(b).URL()
	beginQuietly(b, url)
	for range nodes {
		e, _ := beginQuietly(b, url)
		e.Occupy(ch("a"), 0, 1)
		live := make(chan error, 1)
		if !e.Attach(ch("a"), func(err error) { live <- err }) {
			soon(b, live)
		}
		if first == nil {
			first = e
		}
	}
	return first
}

// quietObserver does not keep events.
type quietObserver struct{ *observer }

func (quietObserver) Event(protocol.ChannelKey, cluster.Message) {}

func beginQuietly(b *testing.B, url string) (*Engine, *observer) {
	e, o := quick(b, url), newObserver()
	if err := e.Start(quietObserver{o}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = e.Close() })
	return e, o
}

func publishOne(b *testing.B, e cluster.Engine, p cluster.Publication) {
	if _, err := e.Publish(context.Background(), []cluster.Publication{p}); err != nil {
		b.Error(err)
	}
}

func publishMany(b *testing.B, e *Engine, p cluster.Publication) {
	m := startMeter(b, e)
	b.SetParallelism(128)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			publishOne(b, e, p)
		}
	})
	m.report(b.N)
}

// echo is a Handler that says when an event came.
type echo struct {
	*observer
	came chan struct{}
}

func (e echo) Event(protocol.ChannelKey, cluster.Message) { e.came <- struct{}{} }

// BenchmarkLatency is from Publish to the Handler, one event at a time: in memory, on a
// node that is alone, and by way of Redis on this node and on another.
func BenchmarkLatency(b *testing.B) {
	run := func(b *testing.B, from, to cluster.Engine, h echo) {
		to.Occupy(ch("a"), 0, 1)
		live := make(chan error, 1)
		if !to.Attach(ch("a"), func(err error) { live <- err }) {
			soon(b, live)
		}
		var took []time.Duration
		for b.Loop() {
			began := time.Now()
			go publishOne(b, from, event("a", payload))
			<-h.came
			took = append(took, time.Since(began))
		}
		percentiles(b, took)
	}
	start := func(b *testing.B, e cluster.Engine) (cluster.Engine, echo) {
		h := echo{newObserver(), make(chan struct{}, 1)}
		if err := e.Start(h); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = e.Close() })
		return e, h
	}
	b.Run("Memory", func(b *testing.B) {
		e, h := start(b, memory.New(memory.Options{}))
		run(b, e, e, h)
	})
	b.Run("Alone", func(b *testing.B) {
		e, h := start(b, quick(b, testkit.StartRedis(b).URL()))
		run(b, e, e, h)
	})
	b.Run("Redis", func(b *testing.B) {
		url := testkit.StartRedis(b).URL()
		start(b, quick(b, url))
		e, h := start(b, quick(b, url))
		run(b, e, e, h)
	})
	b.Run("OtherNode", func(b *testing.B) {
		url := testkit.StartRedis(b).URL()
		from, _ := start(b, quick(b, url))
		to, h := start(b, quick(b, url))
		run(b, from, to, h)
	})
}

func percentiles(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// BenchmarkSubscribe is a node's first subscription to a channel, plain and with
// webhooks, until Redis knows of it, and the last.
func BenchmarkSubscribe(b *testing.B) {
	for name, flags := range map[string]cluster.Flags{"Plain": 0, "Webhooks": cluster.TrackOccupancy} {
		b.Run(name, func(b *testing.B) {
			e, _ := beginQuietly(b, testkit.StartRedis(b).URL())
			m := startMeter(b, e)
			for i := range b.N {
				name := ch(fmt.Sprint("c", i))
				e.Occupy(name, flags, 1)
				e.Attach(name, func(error) {})
			}
			testkit.Until(b, "told", e.slices[0].idle)
			testkit.Until(b, "live", func() bool { return e.slices[0].listener.allLive() })
			m.report(b.N)
		})
		b.Run(name+"Unsubscribe", func(b *testing.B) {
			e, _ := beginQuietly(b, testkit.StartRedis(b).URL())
			for i := range b.N {
				e.Occupy(ch(fmt.Sprint("c", i)), flags, 1)
			}
			testkit.Until(b, "told", e.slices[0].idle)
			m := startMeter(b, e)
			for i := range b.N {
				e.Occupy(ch(fmt.Sprint("c", i)), flags, 0)
			}
			testkit.Until(b, "told", e.slices[0].idle)
			m.report(b.N)
		})
	}
}

func (l *listener) allLive() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.topics {
		if !t.live {
			return false
		}
	}
	return true
}

// BenchmarkJoin is a new member of one of 100 presence channels, until the answer: by
// many at once, and 5,000 a second.
func BenchmarkJoin(b *testing.B) {
	start := func(b *testing.B) *Engine {
		e, o := beginQuietly(b, testkit.StartRedis(b).URL())
		for i := range 100 {
			soon(b, enter(e, o, fmt.Sprint("presence-", i), "first"))
		}
		return e
	}
	join := func(e *Engine, n int64, done func()) {
		m := protocol.Member{ID: fmt.Sprint("u", n), Data: `{"user_id":1,"user_info":{}}`}
		e.Join(ch(fmt.Sprint("presence-", n%100)), presenceFlags, m, 0, func(cluster.Roster, error) { done() })
	}
	b.Run("Many", func(b *testing.B) {
		e := start(b)
		var n atomic.Int64
		m := startMeter(b, e)
		b.SetParallelism(256)
		b.RunParallel(func(pb *testing.PB) {
			done := make(chan struct{})
			for pb.Next() {
				join(e, n.Add(1), func() { done <- struct{}{} })
				<-done
			}
		})
		m.report(b.N)
	})
	b.Run("5000aSecond", func(b *testing.B) {
		e := start(b)
		took := make([]time.Duration, b.N)
		var all sync.WaitGroup
		m := startMeter(b, e)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		began := time.Now()
		for i := range b.N {
			due := began.Add(time.Duration(i) * time.Second / 5000)
			for time.Until(due) > 0 {
				<-tick.C
			}
			all.Add(1)
			join(e, int64(i), func() {
				took[i] = time.Since(due) // a server that was held up is not let off
				all.Done()
			})
		}
		all.Wait()
		m.report(b.N)
		percentiles(b, took)
	})
}
