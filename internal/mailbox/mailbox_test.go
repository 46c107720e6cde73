package mailbox

import (
	"fmt"
	"sync"
	"testing"
)

func TestPostSaysWhenToWake(t *testing.T) {
	t.Parallel()
	b := New[int](100)
	if !b.Post(1, 0) || b.Post(2, 0) {
		t.Fatal("only the first post into an empty box asks for a wake-up")
	}
	if got := b.Swap(nil); len(got) != 2 || got[0] != 1 || got[1] != 2 {
		t.Fatalf("Swap = %v", got)
	}
	if !b.Post(3, 0) {
		t.Fatal("the box was empty again")
	}
}

func TestFullAndDrained(t *testing.T) {
	t.Parallel()
	b := New[int](100)
	b.Post(1, 60)
	if b.Full() {
		t.Fatal("full at 60 of 100")
	}
	b.Post(2, 60)
	if !b.Full() {
		t.Fatal("not full at 120 of 100")
	}
	c := b.Drained()
	b.Release(60)
	select {
	case <-c:
		t.Fatal("drained at 60 of 100")
	default:
	}
	b.Release(60)
	<-c
	<-b.Drained()
	if b.Weight() != 0 {
		t.Fatalf("weight %d", b.Weight())
	}
}

// Every waiter wakes however posts, releases and waits interleave.
func TestDrainedIsNeverMissed(t *testing.T) {
	t.Parallel()
	b := New[int](10)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				b.Post(0, 7)
				go b.Release(7)
				<-b.Drained()
			}
		})
	}
	wg.Wait()
}

// BenchmarkBox is a command on its way: posted by any goroutine, taken with those
// that came with it, given back.
func BenchmarkBox(b *testing.B) {
	for _, batch := range []int{1, 16} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			box := New[[6]uint64](1 << 20) // as long as a shard's commands
			var items [][6]uint64
			b.ReportAllocs()
			for b.Loop() {
				for range batch {
					box.Post([6]uint64{}, 100)
				}
				items = box.Swap(items)
				box.Release(100 * len(items))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/item")
		})
	}
}
