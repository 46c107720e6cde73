package main

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

func TestMemoryUse(t *testing.T) {
	t.Parallel()
	used, limit := memoryUse()
	if used < 1<<20 || limit < used {
		t.Errorf("uses %d of %d bytes", used, limit)
	}
	for _, c := range []struct {
		limits []uint64
		want   uint64
	}{{nil, 0}, {[]uint64{0, math.MaxInt64}, 0}, {[]uint64{math.MaxInt64, 7, 0, 5, 6}, 5}} {
		if got := leastOf(c.limits...); got != c.want {
			t.Errorf("least of %d: %d", c.limits, got)
		}
	}
}

// TestCgroupLimit: a limit further up counts too, and one that is "max" does not.
func TestCgroupLimit(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a/memory.max", "2000\n")
	write("a/b/memory.max", "max\n")
	write("c/memory.max", "1000\n")
	for self, want := range map[string]uint64{"0::/a/b\n": 2000, "0::/c\n": 1000, "0::/\n": 0, "3:cpu:/a\n0::/a\n": 2000, "": 0} {
		write("self", self)
		if got := cgroupLimit(root, filepath.Join(root, "self")); got != want {
			t.Errorf("%q: %d, want %d", self, got, want)
		}
	}
}
