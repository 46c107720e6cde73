package testkit

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
)

// Trial is a test inside a test: that it fails is known, and fails nothing else.
type Trial struct {
	testing.TB

	mu sync.Mutex
	// Guarded by mu
	problems []string
	cleanups []func()
}

// NewTrial makes a trial inside t.
func NewTrial(t testing.TB) *Trial { return &Trial{TB: t} }

// Run runs f to its end, and then its cleanups.
func (t *Trial) Run(f func(testing.TB)) {
	returned := false
	t.do(func() { f(t); returned = true })
	t.Clean()
	if !returned && !t.Failed() {
		t.Error("the test around it has ended it")
	}
}

// Clean runs the cleanups so far, the last one first.
func (t *Trial) Clean() {
	for _, c := range slices.Backward(t.cleanups) {
		t.do(c)
	}
	t.cleanups = nil
}

// do runs f in a goroutine, which Fatal may end.
func (t *Trial) do(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

// Problems lists what was wrong.
func (t *Trial) Problems() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.problems)
}

// The methods of testing.TB that say how a test goes.

func (t *Trial) Helper() {}

func (t *Trial) Logf(string, ...any) {}

func (t *Trial) Failed() bool { return len(t.Problems()) > 0 }

func (t *Trial) Error(args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.problems = append(t.problems, fmt.Sprint(args...))
}

func (t *Trial) Errorf(format string, a ...any) { t.Error(fmt.Sprintf(format, a...)) }

func (t *Trial) Fatal(args ...any) {
	t.Error(args...)
	runtime.Goexit()
}

func (t *Trial) Fatalf(format string, a ...any) { t.Fatal(fmt.Sprintf(format, a...)) }

func (t *Trial) Cleanup(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cleanups = append(t.cleanups, f)
}
