package main

import (
	"bufio"
	"bytes"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// memoryUse is the resident memory of this process, and how much it may have: the
// least of its cgroup's limit, GOMEMLIMIT and the machine's memory. A limit of 0 is
// one that nobody knows.
func memoryUse() (used, limit uint64) {
	return resident(), leastOf(uint64(debug.SetMemoryLimit(-1)), cgroupLimit("/sys/fs/cgroup", "/proc/self/cgroup"), machineMemory())
}

func leastOf(limits ...uint64) (least uint64) {
	for _, l := range limits {
		if l > 0 && l < math.MaxInt64 && (least == 0 || l < least) {
			least = l
		}
	}
	return least
}

// resident reads the second field of statm, which is in pages.
func resident() uint64 {
	text, _ := os.ReadFile("/proc/self/statm") // without it nothing is known, and 0 is below any limit
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseUint(fields[1], 10, 64)
	return pages * uint64(os.Getpagesize())
}

// cgroupLimit is the lowest memory.max from the process' own cgroup (version 2) up
// to root, 0 without any.
func cgroupLimit(root, self string) (least uint64) {
	text, _ := os.ReadFile(self)
	for line := range strings.Lines(string(text)) {
		path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !ok {
			continue
		}
		for dir := filepath.Clean("/" + path); ; dir = filepath.Dir(dir) {
			text, _ := os.ReadFile(filepath.Join(root, dir, "memory.max")) // "max", or not there: no limit
			n, _ := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
			least = leastOf(least, n)
			if dir == "/" {
				return least
			}
		}
	}
	return least
}

// machineMemory reads a line such as "MemTotal:  24683464 kB".
func machineMemory() uint64 {
	text, _ := os.ReadFile("/proc/meminfo")
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if f := strings.Fields(lines.Text()); len(f) >= 2 && f[0] == "MemTotal:" {
			n, _ := strconv.ParseUint(f[1], 10, 64)
			return n << 10
		}
	}
	return 0
}
