package model

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dunlin/internal/testkit"
)

// failure is how an attempt failed, and after how many ops.
type failure struct {
	text string
	at   int
}

// attempt runs f and returns how it failed, nil if it did not.
func attempt(t testing.TB, f func(testing.TB, *progress)) *failure {
	in, at := testkit.NewTrial(t), &progress{}
	in.Run(func(tb testing.TB) { f(tb, at) })
	if !in.Failed() {
		return nil
	}
	return &failure{strings.Join(in.Problems(), "\n"), at.at}
}

// What a candidate for a shorter script must do, it must do within patience; chance
// has a part in bursts.
const (
	shrinkPatience = 3 * time.Second
	burstTries     = 15
)

// minimize returns the shortest script that it finds to fail, and how that fails.
func minimize(t *testing.T, transport string, s script, f *failure) (script, *failure) {
	t.Helper()
	if s.mode == "burst" {
		s.times = burstTries
	}
	var nodes []*testkit.Server
	host := testkit.NewTrial(t)
	fails := func(ops []op) bool {
		candidate := s
		candidate.ops = ops
		g := attempt(t, func(tb testing.TB, at *progress) {
			if nodes == nil {
				nodes = startNodes(host, transport, *nodesFlag)
			}
			for range s.times {
				candidate.play(tb, nodes, at, shrinkPatience)
			}
		})
		if g != nil { // then the servers may be broken
			f, nodes = g, nil
			host.Clean()
		}
		return g != nil
	}
	if cut := s.ops[:min(f.at+1, len(s.ops))]; fails(cut) {
		s.ops = cut
	}
	s.ops = shrink(s.ops, fails, time.Now().Add(*shrinkFlag))
	host.Clean()
	return s, f
}

// shrink removes from ops what is not needed to make fails true: parts of them, ever
// smaller ones, then single fields.
func shrink(ops []op, fails func([]op) bool, deadline time.Time) []op {
	for size := (len(ops) + 1) / 2; size > 0 && time.Now().Before(deadline); {
		before := len(ops)
		for i := 0; i < len(ops) && time.Now().Before(deadline); {
			if less := slices.Concat(ops[:i], ops[min(i+size, len(ops)):]); fails(less) {
				ops = less
			} else {
				i += size
			}
		}
		if size > 1 || len(ops) == before {
			size /= 2
		}
	}
	return simpler(ops, fails, deadline)
}

// extras are the fields that only make an op another variant of itself.
func (o *op) extras() []*string {
	return []*string{&o.how, &o.info, &o.watch, &o.ask, &o.skip, &o.node, &o.wait}
}

// variants are simpler forms of an op: without an extra, or with one channel less.
func (o op) variants() (list []op) {
	for i := range o.extras() {
		v := o
		if at := v.extras()[i]; *at != "" {
			*at = ""
			list = append(list, v)
		}
	}
	for i, chs := 0, o.targets(); len(chs) > 1 && i < len(chs); i++ {
		v := o
		v.ch = strings.Join(slices.Delete(slices.Clone(chs), i, i+1), ",")
		list = append(list, v)
	}
	return list
}

// simpler replaces ops by variants that make no difference.
func simpler(ops []op, fails func([]op) bool, deadline time.Time) []op {
	for i := 0; i < len(ops); {
		again := false
		for _, v := range ops[i].variants() {
			less := slices.Clone(ops)
			less[i] = v
			if time.Now().Before(deadline) && fails(less) {
				ops, again = less, true
				break
			}
		}
		if !again {
			i++
		}
	}
	return ops
}

func TestShrink(t *testing.T) {
	t.Parallel()
	var ops []op
	for i := range 100 {
		ops = append(ops, op{actor: "b0", verb: "publish", ch: "room,private-a", n: fmt.Sprint(i), how: "single"})
	}
	calls := 0
	fails := func(ops []op) bool { // needs 17 before 60, with its how
		calls++
		first := slices.IndexFunc(ops, func(o op) bool { return o.n == "17" && o.how != "" })
		return first >= 0 && slices.ContainsFunc(ops[first:], func(o op) bool { return o.n == "60" })
	}
	got := script{mode: "burst", app: "plain", ops: shrink(ops, fails, time.Now().Add(time.Minute))}
	if want := "burst plain\nb0 publish how=single ch=private-a n=17\nb0 publish ch=private-a n=60\n"; got.String() != want {
		t.Errorf("got %s", got)
	}
	if calls > 100 {
		t.Errorf("%d calls", calls)
	}
}

func TestTrial(t *testing.T) {
	t.Parallel()
	var order []string
	f := attempt(t, func(tb testing.TB, at *progress) {
		tb.Cleanup(func() { order = append(order, "first") })
		tb.Cleanup(func() { tb.Errorf("a cleanup failed"); order = append(order, "second") })
		at.at = 3
		tb.Fatalf("it %s", "failed")
	})
	if f == nil || f.text != "it failed\na cleanup failed" || f.at != 3 || fmt.Sprint(order) != "[second first]" {
		t.Errorf("got %+v, %v", f, order)
	}
	if f := attempt(t, func(testing.TB, *progress) {}); f != nil {
		t.Errorf("got %+v", f)
	}
}
