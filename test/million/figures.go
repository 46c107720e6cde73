//go:build linux && simulated

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// turnTimes is how long the turns of a loop took.
type turnTimes struct {
	mu   sync.Mutex
	list []time.Duration // guarded by mu
}

func (t *turnTimes) add(d time.Duration) {
	t.mu.Lock()
	t.list = append(t.list, d)
	t.mu.Unlock()
}

func (t *turnTimes) take() []time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.list
}

func spread(list []time.Duration) Spread {
	n := len(list)
	if n == 0 {
		return Spread{}
	}
	slices.Sort(list)
	return Spread{Count: n, P50: micros(list[n/2]), P99: micros(list[n*99/100]), Max: micros(list[n-1])}
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

// cpuTime is what the process has used, of all its threads.
func cpuTime() time.Duration {
	var t unix.Timespec
	unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t) // of one's own process: cannot fail
	return time.Duration(t.Nano())
}

// residentBytes is the process's resident memory, the second number of
// /proc/self/statm in pages (proc(5)).
func residentBytes() int {
	text, _ := os.ReadFile("/proc/self/statm")
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.Atoi(string(fields[1]))
	return pages * os.Getpagesize()
}

func heapBytes() int {
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int(s.HeapAlloc)
}

// printTable prints the results for people.
func printTable(w io.Writer, results Results) error {
	m := results.Machine
	fmt.Fprintf(w, "%s, %d cores, Linux %s, %s\n\n", m.CPU, m.Cores, m.Kernel, m.Go)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	header := []string{"connections", "channels", "heap B", "resident B", "settled B", "open µs", "delivery µs", "cold µs", "single µs",
		"turn p50", "p99", "max", "collecting p50", "p99", "max", "close s"}
	for _, h := range header {
		fmt.Fprintf(t, "%s\t", h)
	}
	fmt.Fprintln(t)
	for _, r := range results.Sizes {
		q, c := r.Quiet.Turns, r.Marking.Turns
		fmt.Fprintf(t, "%d\t%d\t%d\t%d\t%d\t%.2f\t%.3f\t%s\t%s\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%.2f\t\n", r.Connections, r.Channels, r.Heap, r.Resident, r.Settled,
			r.OpenCPU, r.Delivery, given(r.Cold), given(r.Single), q.P50, q.P99, q.Max, c.P50, c.P99, c.Max, r.CloseSecs)
	}
	return t.Flush()
}

func given(v float64) string {
	if v == 0 {
		return "–"
	}
	return fmt.Sprintf("%.3f", v)
}
