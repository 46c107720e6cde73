//go:build redis

package chaos

import (
	"slices"
	"syscall"
	"time"
)

// deed is the beginning or the end of a step.
type deed struct {
	at    time.Duration
	begin bool
	step
}

// carryOut does what a schedule says, one deed after the other. At its end everything
// is healed.
func (w *world) carryOut(s schedule) {
	var deeds []deed
	for _, f := range s {
		deeds = append(deeds, deed{f.at, true, f}, deed{f.at + f.last, false, f})
	}
	slices.SortStableFunc(deeds, func(a, b deed) int { return int(a.at - b.at) })
	start := time.Now()
	for _, d := range deeds {
		<-time.After(time.Until(start.Add(d.at)))
		e := entry{Kind: fault, Name: d.name, Node: d.node}
		switch {
		case d.begin:
			w.history.add(e)
			w.strike(d.step)
		default:
			w.repair(d.step)
			e.Kind = heal
			w.history.add(e)
		}
	}
	<-time.After(time.Second) // everybody acts a little longer
}

func (w *world) strike(f step) {
	if f.node == 0 {
		w.strikeRedis(f.name)
		return
	}
	switch n := w.nodes[f.node-1]; f.name {
	case kill:
		n.kill()
	case freeze:
		n.server.Signal(syscall.SIGSTOP)
	case cut:
		n.link.Cut()
	case stall:
		n.link.Hold()
	case slow:
		n.link.Delay(150 * time.Millisecond)
	}
}

func (w *world) strikeRedis(name string) {
	switch name {
	case restart:
		w.redis.Kill()
	case wipe:
		w.redis.Kill()
		w.redis.Wipe()
	case stop:
		w.redis.Signal(syscall.SIGSTOP)
	case drop:
		w.ask("CLIENT", "KILL", "TYPE", "pubsub")
		w.ask("CLIENT", "KILL", "TYPE", "normal")
	case full:
		w.ask("CONFIG", "SET", "maxmemory", "1")
	}
}

func (w *world) repair(f step) {
	switch {
	case f.node > 0 && f.name == kill:
		w.nodes[f.node-1].start()
	case f.node > 0 && f.name == freeze:
		w.nodes[f.node-1].server.Signal(syscall.SIGCONT)
	case f.node > 0:
		w.nodes[f.node-1].link.Heal()
	case f.name == restart || f.name == wipe:
		w.redis.Start()
	case f.name == stop:
		w.redis.Signal(syscall.SIGCONT)
	case f.name == full:
		w.ask("CONFIG", "SET", "maxmemory", "0")
	}
}

func (w *world) ask(command ...string) {
	w.t.Helper()
	if _, err := w.redis.Do(command...); err != nil {
		w.t.Errorf("%v: %v", command, err)
	}
}
