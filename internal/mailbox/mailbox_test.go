package mailbox

import (
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
