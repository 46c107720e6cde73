package memory

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/webhooks"
	"dunlin/webhooks/contract"
)

func TestContract(t *testing.T) {
	t.Parallel()
	contract.Run(t, func(*testing.T) webhooks.Queue { return New(Options{}) })
}

func event(channel string) webhooks.Event {
	return webhooks.Event{App: "1", Name: protocol.HookOccupied, Channel: channel, At: time.Now()}
}

func appendTo(t testing.TB, q *Queue, list ...webhooks.Event) {
	t.Helper()
	if err := q.Append(context.Background(), list...); err != nil {
		t.Fatal(err)
	}
}

// Beyond its bounds the queue drops its oldest events and counts them.
func TestBounds(t *testing.T) {
	t.Parallel()
	small := event("x")
	for name, o := range map[string]Options{"events": {MaxEvents: 3}, "bytes": {MaxBytes: 3*(small.Size()+12) + 8}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o.Counters = metrics.NewWebhooks()
			q := New(o)
			for i := range 5 {
				appendTo(t, q, event(fmt.Sprint(i)))
			}
			left, _ := q.Left()
			if len(left) != 3 || left[0].Channel != "2" || o.Counters.Dropped("1", metrics.DropOldest) != 2 {
				t.Errorf("left %v, dropped %d", left, o.Counters.Dropped("1", metrics.DropOldest))
			}
			if list, err := q.Take(context.Background(), 9); err != nil || len(list) != 3 {
				t.Errorf("Take = %v, %v", list, err)
			}
		})
	}
}

func TestOneEventThatIsTooBigIsKept(t *testing.T) {
	t.Parallel()
	q := New(Options{MaxBytes: 1})
	appendTo(t, q, event("a"))
	appendTo(t, q, event("b"))
	if left, _ := q.Left(); len(left) != 1 || left[0].Channel != "b" {
		t.Errorf("left %v", left)
	}
}

func TestLettersAreBounded(t *testing.T) {
	t.Parallel()
	c := metrics.NewWebhooks()
	q := New(Options{MaxDead: 2, Counters: c})
	for i := range 4 {
		appendTo(t, q, event(fmt.Sprint(i)))
		list, err := q.Take(context.Background(), 1)
		if err == nil {
			err = q.Settle(context.Background(), webhooks.Outcome{ID: list[0].ID, Reason: "x"})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	list, err := q.Dead(context.Background(), "", 9)
	if err != nil || len(list) != 2 || list[0].Channel != "3" || c.Dropped("1", metrics.DropLetters) != 2 {
		t.Errorf("letters %v, %v", list, err)
	}
}

// BenchmarkQueued100k reports what 100,000 events take that wait.
func BenchmarkQueued100k(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		q := New(Options{})
		for i := range 100_000 {
			e := event(fmt.Sprintf("presence-room-%d", i))
			e.Name, e.User = protocol.HookMemberAdded, fmt.Sprintf("user-%d", i)
			appendTo(b, q, e)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB")
		runtime.KeepAlive(q)
	}
}

func BenchmarkAppendTakeSettle(b *testing.B) {
	q := New(Options{})
	ctx := context.Background()
	for b.Loop() {
		appendTo(b, q, event("presence-room"))
		list, err := q.Take(ctx, 1)
		if err == nil {
			err = q.Settle(ctx, webhooks.Outcome{ID: list[0].ID})
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
