//go:build redis

package chaos

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"dunlin/internal/testkit"
)

var (
	seedFlag     = flag.Uint64("seed", 0, "of the first round; 0: another one each time")
	durationFlag = flag.Duration("duration", 30*time.Second, "how long things break, over all rounds")
	roundFlag    = flag.Duration("round", 30*time.Second, "how long they break in one round")
	nodesFlag    = flag.Int("nodes", 3, "nodes")
	shrinkFlag   = flag.Duration("shrink", 2*time.Minute, "how long a failing schedule is made shorter")
	scheduleFlag = flag.String("schedule", "", "a file with a schedule, as a failure prints it")
	hostsFlag    = flag.Bool("hosts", false, "each node on a host of its own: a network namespace, whose cable is pulled out")
	historyFlag  = flag.String("history", "", "a folder for the histories of all rounds; those of failures are kept in any case")
)

func TestMain(m *testing.M) {
	code := m.Run()
	testkit.RemoveBinary()
	os.Exit(code)
}

// TestChaos breaks things while clients come, subscribe, join, publish and go, and
// judges what everybody saw. PITFALLS 2, 13–18.
func TestChaos(t *testing.T) {
	t.Parallel()
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano()) % 1e9
	}
	for broken := time.Duration(0); broken < *durationFlag; broken += *roundFlag {
		s := generate(seed, min(*roundFlag, *durationFlag), *nodesFlag)
		if *scheduleFlag != "" {
			s = readSchedule(t, *scheduleFlag)
		}
		if problems := round(t, seed, s); len(problems) > 0 {
			report(t, seed, s, problems)
			return
		}
		seed++
	}
}

func readSchedule(t *testing.T, file string) schedule {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := parseSchedule(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// round plays one schedule in a world of its own and returns what was wrong.
func round(t *testing.T, seed uint64, s schedule) (problems []string) {
	t.Helper()
	h := &history{start: time.Now()}
	file, err := os.CreateTemp(*historyFlag, fmt.Sprintf("chaos-%d-*.jsonl", seed))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	h.out = file
	var list []entry
	trial := testkit.NewTrial(t)
	trial.Run(func(tb testing.TB) {
		w := newWorld(tb, h, *nodesFlag, "lease: "+lease.String())
		w.play(seed, s)
		w.settle()
		list = h.all() // what comes now is its end
	})
	problems = append(trial.Problems(), check(list)...)
	if h.err != nil {
		problems = append(problems, "writing the history: "+h.err.Error())
	}
	t.Logf("seed %d: %s", seed, summary(list))
	if len(problems) > 0 {
		t.Logf("history: %s", file.Name())
	} else if *historyFlag == "" {
		os.Remove(file.Name())
	}
	return problems
}

// summary counts what happened.
func summary(list []entry) string {
	n := map[string]int{}
	for _, e := range list {
		n[e.Kind]++
	}
	if len(list) == 0 {
		return "nothing happened"
	}
	r := newRecord(list)
	took := time.Duration(list[len(list)-1].At-list[0].At) * time.Microsecond
	return fmt.Sprintf("%d faults in %s; %d connections, %d subscriptions, %d answers; %d events published, %d refused, %d uncertain, %d heard; %d changes of members; %d webhooks, %d told twice",
		n[fault], took.Round(time.Second), n[opened], n[subscribe], n[subscribed], n[published], n[refused], n[uncertain], n[heard],
		n[added]+n[removed], len(r.hooks), r.hookTwice)
}

// report fails the test with a schedule that still fails, shorter if one is found.
func report(t *testing.T, seed uint64, s schedule, problems []string) {
	t.Helper()
	small := shrink(s, func(less schedule) bool {
		found := round(t, seed, less)
		if len(found) > 0 {
			problems = found
		}
		return len(found) > 0
	}, time.Now().Add(*shrinkFlag))
	const most = 12
	more := ""
	if n := len(problems) - most; n > 0 {
		more = fmt.Sprintf("\nand %d more", n)
	}
	t.Errorf("seed %d:\n%s%s\n\nthe schedule, for a file and -schedule FILE -seed %d:\n\n%s",
		seed, strings.Join(problems[:min(most, len(problems))], "\n"), more, seed, small)
}
