//go:build unix

package spool

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"dunlin/webhooks"
)

// fullVariable has the test binary fill a disk.
const fullVariable = "FILL_SPOOL"

// fillDisk appends until a file of 1 MiB is full, then makes room and goes on. It
// prints how many events are left.
func fillDisk(path string) {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	must(syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1 << 20, Max: 1 << 20}))
	q, err := Open(path, Options{})
	must(err)
	left := 0
	for n := 0; ; n++ {
		if err := q.Append(context.Background(), occupied(fmt.Sprint("c-", n)), occupied(strings.Repeat("x", 2000))); err != nil {
			break
		}
		left += 2
	}
	list, err := q.Take(context.Background(), 50)
	must(err)
	for _, e := range list {
		must(q.Settle(context.Background(), webhooks.Outcome{ID: e.ID}))
	}
	must(q.Append(context.Background(), occupied("room again")))
	must(q.Close())
	fmt.Print(left - len(list) + 1)
}

// A full disk refuses events and keeps what it has; with room it goes on.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "spool.db")
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env, cmd.Stderr = append(os.Environ(), fullVariable+"="+path), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	left := take(t, open(t, path, Options{}), 1_000_000)
	if fmt.Sprint(len(left)) != string(out) || len(left) < 100 || left[len(left)-1].Channel != "room again" {
		t.Errorf("%d events are left, want %s", len(left), out)
	}
}
