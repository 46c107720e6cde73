package spool

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever happened to the file: it is opened, or there is an error that says what
// to do.
func TestDamagedFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "spool.db")
	q := open(t, path, Options{})
	for i := range 20 {
		for j := range 10 {
			appendTo(t, q, occupied(fmt.Sprint(strings.Repeat("x", 300), i, "-", j)))
		}
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	refused := 0
	for i := range 90 {
		path := filepath.Join(t.TempDir(), "spool.db") // a file that was given up may be locked until the process ends
		bad := append([]byte(nil), good...)
		if at := random.IntN(len(bad)); i%3 == 0 {
			bad = bad[:at]
		} else {
			for j := range bad[at:min(at+1+random.IntN(40), len(bad))] {
				bad[at+j] = byte(random.Uint32())
			}
		}
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		q, err := Open(path, Options{})
		if err == nil {
			if err := q.Close(); err != nil {
				t.Error(err)
			}
			continue
		}
		refused++
		if !strings.Contains(err.Error(), path+" is damaged or no spool (") || !strings.Contains(err.Error(), "move it away") {
			t.Fatalf("damage %d: %v", i, err)
		}
	}
	if refused < 10 {
		t.Errorf("%d of 90 files were refused", refused)
	}
}
