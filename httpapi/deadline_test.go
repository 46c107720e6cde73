package httpapi

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		d := within(time.Minute)
		if until, ok := d.Deadline(); !ok || until.Sub(began) != time.Minute {
			t.Errorf("deadline %v %v", until, ok)
		}
		shorter, cancel := context.WithTimeout(d, time.Second)
		defer cancel()
		if <-shorter.Done(); d.Err() != nil {
			t.Errorf("a shorter one ended it: %v", d.Err())
		}
		longer, cancel := context.WithTimeout(d, time.Hour)
		defer cancel()
		<-longer.Done()
		if took := time.Since(began); took != time.Minute || !errors.Is(d.Err(), context.DeadlineExceeded) {
			t.Errorf("ended after %v: %v", took, d.Err())
		}
		d.stop()
	})
}

// Who keeps the context of a request that is over finds it over.
func TestDeadlineStopped(t *testing.T) {
	t.Parallel()
	for name, use := range map[string]func(*deadline){
		"nobody asked": func(*deadline) {},
		"somebody did": func(d *deadline) { d.Done() },
	} {
		d := within(time.Hour)
		use(d)
		d.stop()
		select {
		case <-d.Done():
		default:
			t.Errorf("%s: not over", name)
		}
		if !errors.Is(d.Err(), context.Canceled) || d.Value("any") != nil {
			t.Errorf("%s: %v", name, d.Err())
		}
	}
}

// A request that nobody waits for starts no timer.
func TestDeadlineAllocations(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { within(time.Hour).stop() }); n > 1 {
		t.Errorf("%v allocations", n)
	}
}
