package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// step is a fault of a schedule: from at on, for so long.
type step struct {
	at   time.Duration
	name string
	node int // from 1; 0: Redis
	last time.Duration
}

// Faults of a node.
const (
	kill   = "kill"   // kill -9, and a start later
	freeze = "freeze" // SIGSTOP and SIGCONT
	cut    = "cut"    // its connections to Redis are closed
	stall  = "stall"  // they stay open and nothing passes
	slow   = "slow"   // what passes comes late
)

// Faults of Redis.
const (
	restart = "restart" // kill -9, and a start with its data
	wipe    = "wipe"    // the same, without
	stop    = "stop"    // SIGSTOP and SIGCONT
	drop    = "drop"    // CLIENT KILL of everybody
	full    = "full"    // maxmemory, noeviction
)

var (
	nodeFaults  = []string{kill, kill, freeze, freeze, cut, cut, stall, slow}
	redisFaults = []string{restart, stop, drop, drop, full}
)

// schedule is what breaks when.
type schedule []step

// generate makes a schedule of about so long. A node has one fault at a time, and so
// has Redis, but several of them may at once. Redis loses its data at most once, since
// what is known of webhooks is worth less after it.
func generate(seed uint64, length time.Duration, nodes int) (s schedule) {
	r := rand.New(rand.NewPCG(seed, 0))
	busy := make([]time.Duration, nodes+1)
	wiped := r.IntN(2) == 0
	for at := time.Second; at < length; at += ms(r, 300, 2000) {
		f := step{at: at, node: max(0, r.IntN(nodes+2)-1), last: ms(r, 200, 3000)}
		if f.at < busy[f.node] {
			continue
		}
		if f.node > 0 {
			f.name = nodeFaults[r.IntN(len(nodeFaults))]
		} else {
			f.name = redisFaults[r.IntN(len(redisFaults))]
			if !wiped && at > length/2 {
				f.name, wiped = wipe, true
			}
		}
		if r.IntN(4) == 0 { // long enough for the others to take it for dead
			f.last += 2 * lease
		}
		busy[f.node] = f.at + f.last + 200*time.Millisecond
		s = append(s, f)
	}
	return s
}

func ms(r *rand.Rand, least, most int) time.Duration {
	return time.Duration(least+r.IntN(most-least)) * time.Millisecond
}

func (f step) String() string {
	at := "redis"
	if f.node > 0 {
		at = fmt.Sprint("node", f.node)
	}
	return fmt.Sprintf("%s %s %s %s", f.at, f.name, at, f.last)
}

func (s schedule) String() string {
	var b strings.Builder
	for _, f := range s {
		b.WriteString(f.String() + "\n")
	}
	return b.String()
}

// parseSchedule reads what String writes.
func parseSchedule(text string) (s schedule, err error) {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		var f step
		if len(words) != 4 {
			return nil, fmt.Errorf("%q: expected AT FAULT redis|nodeN DURATION", line)
		}
		f.name = words[1]
		if f.at, err = time.ParseDuration(words[0]); err != nil {
			return nil, err
		}
		if f.last, err = time.ParseDuration(words[3]); err != nil {
			return nil, err
		}
		if words[2] != "redis" {
			if _, err = fmt.Sscanf(words[2], "node%d", &f.node); err != nil {
				return nil, fmt.Errorf("%q: %w", line, err)
			}
		}
		if list := append(slices.Clone(redisFaults), wipe); f.node == 0 && !slices.Contains(list, f.name) ||
			f.node > 0 && !slices.Contains(nodeFaults, f.name) {
			return nil, fmt.Errorf("%q: there is no such fault", line)
		}
		s = append(s, f)
	}
	return s, nil
}

// shrink leaves out of a failing schedule what it does not need to fail, parts of it
// and then ever smaller ones, until the deadline.
func shrink(s schedule, fails func(schedule) bool, deadline time.Time) schedule {
	for size := (len(s) + 1) / 2; size > 0; size /= 2 {
		for i := 0; i < len(s); {
			if time.Now().After(deadline) {
				return s
			}
			if less := slices.Concat(s[:i], s[min(i+size, len(s)):]); fails(less) {
				s = less
			} else {
				i += size
			}
		}
	}
	return s
}

func TestScheduleIsText(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		s := generate(seed, 40*time.Second, 3)
		again, err := parseSchedule(s.String())
		if err != nil || !slices.Equal(again, s) {
			t.Fatalf("seed %d: %v\n%s\n%s", seed, err, s, again)
		}
		if !slices.Equal(s, generate(seed, 40*time.Second, 3)) || len(s) < 5 {
			t.Fatalf("seed %d made %d faults", seed, len(s))
		}
	}
	for _, bad := range []string{"1s", "x kill node1 1s", "1s kill node1 x", "1s kill redis 1s", "1s drop node1 1s", "1s kill bode1 1s"} {
		if _, err := parseSchedule(bad); err == nil {
			t.Errorf("%q is a schedule", bad)
		}
	}
}

func TestShrink(t *testing.T) {
	t.Parallel()
	s := generate(1, 2*time.Minute, 3)
	a, b := s[len(s)/3], s[len(s)-2]
	runs := 0
	got := shrink(s, func(s schedule) bool {
		runs++
		return slices.Contains(s, a) && slices.Contains(s, b)
	}, time.Now().Add(time.Minute))
	if !slices.Equal(got, schedule{a, b}) || runs > 60 {
		t.Errorf("%d runs left\n%s", runs, got)
	}
}
