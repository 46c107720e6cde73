//go:build redis

package redis

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"dunlin/cluster"
	"dunlin/internal/testkit"
	"dunlin/protocol"
)

// BenchmarkPublish is a publish of 300 bytes to a channel with subscribers on one
// node, by many at once and by one.
func BenchmarkPublish(b *testing.B) {
	e, _ := begin(b, testkit.StartRedis(b).URL())
	e.Occupy(ch("a"), 0, 1)
	e.Attach(ch("a"), func(error) {})
	p := []cluster.Publication{event("a", strings.Repeat("x", 300))}
	one := func() {
		if _, err := e.Publish(context.Background(), p); err != nil {
			b.Error(err)
		}
	}
	b.Run("Many", func(b *testing.B) {
		b.SetParallelism(128)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				one()
			}
		})
	})
	b.Run("One", func(b *testing.B) {
		for b.Loop() {
			one()
		}
	})
}

// BenchmarkSubscribe is a first subscription to a channel and the end of it.
func BenchmarkSubscribe(b *testing.B) {
	e, _ := begin(b, testkit.StartRedis(b).URL())
	for i := range b.N {
		name := ch(fmt.Sprint("c", i))
		e.Occupy(name, 0, 1)
		e.Attach(name, func(error) {})
	}
	testkit.Until(b, "told", e.slices[0].idle)
}

// BenchmarkJoin is a new member of one of 100 presence channels, until the answer.
func BenchmarkJoin(b *testing.B) {
	e, o := begin(b, testkit.StartRedis(b).URL())
	for i := range 100 {
		soon(b, enter(e, o, fmt.Sprint("presence-", i), "first"))
	}
	var n atomic.Int64
	b.ResetTimer()
	b.SetParallelism(256)
	b.RunParallel(func(pb *testing.PB) {
		done := make(chan struct{})
		for pb.Next() {
			i := n.Add(1)
			m := protocol.Member{ID: fmt.Sprint("u", i), Data: `{"user_id":1,"user_info":{}}`}
			e.Join(ch(fmt.Sprint("presence-", i%100)), presenceFlags, m, 0, func(cluster.Roster, error) { done <- struct{}{} })
			<-done
		}
	})
}
