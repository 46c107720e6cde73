//go:build !linux

package load

import "time"

// nap sleeps as finely as the scheduler's timers do.
func nap(d time.Duration) { time.Sleep(d) }

// ownCPU is not known here.
func ownCPU() (process, thread time.Duration) { return 0, 0 }

// cpuClock is not known here.
func cpuClock(int) (time.Duration, bool) { return 0, false }

// reserveFiles leaves the limit to the system: without connections few are open.
func reserveFiles(int) error { return nil }
