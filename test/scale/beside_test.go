//go:build redis && linux

package scale

import (
	"context"
	"flag"
	"fmt"
	"testing"
	"time"

	"dunlin/internal/load"
	"dunlin/internal/testkit"
	"dunlin/protocol"
)

var roundsFlag = flag.Int("rounds", 4, "of BenchmarkBesideMemory")

// A node on Redis that is alone, one that is not, and one in memory, in turns, under the same load: as many events as
// they take, then so few that both are idle. For -benchtime 1x.
func BenchmarkBesideMemory(b *testing.B) {
	start := func(engine string) *testkit.Server {
		return testkit.Start(b, testkit.Options{Config: "server: {port: 0, drain: 100ms}\nops: {port: 0}\n" + engine +
			"apps:\n  - {id: app-id, key: app-key, secret: app-secret}\n"})
	}
	redis := func() string {
		return fmt.Sprintf("engine: {type: redis, redis: {url: %q}}\n", testkit.StartRedis(b).URL())
	}
	shared := redis()
	start(shared) // so that the other is not alone
	names := []string{"memory", "alone", "redis"}
	nodes := []*testkit.Server{start(""), start(redis()), start(shared)}
	run := func(b *testing.B, node *testkit.Server, rate float64, duration time.Duration) *load.Report {
		ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
		defer cancel()
		r, err := load.Run(ctx, load.Options{
			Scenario: load.Channels, URL: "http://" + node.Addr, AppID: testkit.AppID, Key: testkit.Key, Secret: protocol.NewSecret(testkit.Secret),
			PID: node.Pid(), Connections: 500, Channels: 100, PerConnection: 1, Events: 1_000_000, Publishers: 16, Rate: rate, Duration: duration,
		})
		if err != nil {
			b.Fatal(err)
		}
		if r.Deliveries.Lost > 0 || len(r.Errors) > 0 {
			b.Errorf("lost %d, errors %v", r.Deliveries.Lost, r.Errors)
		}
		return r
	}
	for round := range *roundsFlag {
		for i, node := range nodes {
			b.Run(fmt.Sprint("Round=", round+1, "/", names[i]), func(b *testing.B) {
				full := run(b, node, 0, 2*time.Second)
				calm := run(b, node, 200, 2*time.Second).Latency["delivery"]
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(full.Requests.PerSecond, "events/s")
				b.ReportMetric(full.Server.PerEvent, "cpu-µs/event")
				b.ReportMetric(calm.P50, "p50-ms")
				b.ReportMetric(calm.P99, "p99-ms")
			})
		}
	}
}
