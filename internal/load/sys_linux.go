package load

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// nap sleeps in the system, whose timers are finer than the scheduler's.
func nap(d time.Duration) {
	left := unix.NsecToTimespec(int64(d))
	for errors.Is(unix.Nanosleep(&left, &left), unix.EINTR) {
	}
}

// ownCPU is what this process, and what the calling thread has used.
func ownCPU() (process, thread time.Duration) {
	return usedBy(unix.RUSAGE_SELF), usedBy(unix.RUSAGE_THREAD)
}

// cpuClock is what any process has used, to the nanosecond: /proc counts in
// hundredths of a second. The clock's id is made as clock_getcpuclockid(3) does.
func cpuClock(pid int) (time.Duration, bool) {
	const scheduled = 2 // CPUCLOCK_SCHED, of a whole process
	var t unix.Timespec
	if unix.ClockGettime(int32(^pid<<3|scheduled), &t) != nil {
		return 0, false
	}
	return time.Duration(t.Nano()), true
}

func usedBy(who int) time.Duration {
	var u unix.Rusage
	if unix.Getrusage(who, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// reserveFiles raises the limit of open files to n, or says why it cannot.
func reserveFiles(n int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("asking for the limit of open files: %w", err)
	}
	if uint64(n) > limit.Max {
		return tooManyFiles(n, limit.Max)
	}
	if uint64(n) <= limit.Cur {
		return nil
	}
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raising the limit of open files: %w", err)
	}
	return nil
}

func tooManyFiles(n int, limit uint64) error {
	return fmt.Errorf("this needs %d open files, and the limit is %d (ulimit -Hn): raise it, or lower --connections", n, limit)
}
