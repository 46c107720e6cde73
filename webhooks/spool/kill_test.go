//go:build unix

package spool

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"dunlin/webhooks"
)

// spoolVariable has the test binary write into a spool until it is killed.
const spoolVariable = "WRITE_INTO_SPOOL"

func TestMain(m *testing.M) {
	if path := os.Getenv(spoolVariable); path != "" {
		writeForEver(path)
	}
	if path := os.Getenv(fullVariable); path != "" {
		fillDisk(path)
		return
	}
	os.Exit(m.Run())
}

// writeForEver appends from several goroutines, settles some of it, and prints
// what was accepted and what was settled, each after the call has returned, and
// before it what is being settled.
func writeForEver(path string) {
	q, err := Open(path, Options{})
	if err != nil {
		panic(err)
	}
	var mu sync.Mutex
	say := func(what string, ids ...string) {
		mu.Lock()
		defer mu.Unlock()
		for _, id := range ids {
			fmt.Println(what, id)
		}
	}
	for w := range 3 {
		go func() {
			for i := 0; ; i++ {
				a, b := occupied(fmt.Sprint(os.Getpid(), "-", w, "-", i)), occupied(fmt.Sprint(os.Getpid(), "-", w, "-", i, "b"))
				a.ID, b.ID = a.Channel, b.Channel
				if err := q.Append(context.Background(), a, b); err != nil {
					panic(err)
				}
				say("accepted", a.ID, b.ID)
			}
		}()
	}
	for n := 0; ; n++ {
		list, err := q.Take(context.Background(), 5)
		if err != nil {
			panic(err)
		}
		if n%3 > 0 {
			continue
		}
		say("settling", list[0].ID)
		if err := q.Settle(context.Background(), webhooks.Outcome{ID: list[0].ID}); err != nil {
			panic(err)
		}
		say("settled", list[0].ID)
	}
}

// Killed in the middle of its work, a spool has all that it accepted and has not
// settled, and nothing that it settled.
func TestKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "spool.db")
	waiting, settling, settled := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for round := range 4 {
		cmd := exec.CommandContext(t.Context(), exe)
		cmd.Env, cmd.Stderr = append(os.Environ(), spoolVariable+"="+path), os.Stderr
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			what, id, _ := strings.Cut(lines.Text(), " ")
			switch {
			case what == "settled":
				settled[id] = true
			case what == "settling":
				settling[id] = true
				delete(waiting, id)
			case !settling[id]:
				waiting[id] = true
			}
			if n == 100+37*round { // it writes on while this is read
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // it was killed
		if len(waiting) < 50 || len(settled) == 0 {
			t.Fatalf("%d events wait, %d are settled", len(waiting), len(settled))
		}
		check(t, path, waiting, settled)
	}
}

func check(t *testing.T, path string, waiting, settled map[string]bool) {
	t.Helper()
	q := open(t, path, Options{})
	there := map[string]bool{}
	for _, e := range take(t, q, 1_000_000) {
		there[e.ID] = true
		if settled[e.ID] {
			t.Errorf("%s was settled, and is there", e.ID)
		}
	}
	for id := range waiting {
		if !there[id] {
			t.Errorf("%s was accepted, and is not there", id)
		}
	}
	if err := q.Close(); err != nil {
		t.Error(err)
	}
}
