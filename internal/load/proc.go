package load

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

// process is the loaded server, as /proc shows it.
type process struct {
	pid int
	dir string
}

// usage is what a process has used so far.
type usage struct {
	cpu      time.Duration // user and system, all threads, those that ended included
	resident int64         // bytes
}

func newProcess(pid int) (*process, error) {
	p := &process{pid, fmt.Sprintf("/proc/%d", pid)}
	if _, err := p.usage(); err != nil {
		return nil, fmt.Errorf("--pid %d: %w", pid, err)
	}
	return p, nil
}

func (p *process) usage() (u usage, err error) {
	stat, err := os.ReadFile(p.dir + "/stat")
	if err != nil {
		return u, err
	}
	status, err := os.ReadFile(p.dir + "/status")
	if err != nil {
		return u, err
	}
	if u.cpu, err = parseCPU(stat); err != nil {
		return u, err
	}
	if exact, ok := cpuClock(p.pid); ok {
		u.cpu = exact
	}
	u.resident, err = parseResident(status)
	return u, err
}

// tick is the unit of CPU time in /proc: USER_HZ is 100 wherever Go runs.
const tick = time.Second / 100

// parseCPU reads utime and stime, fields 14 and 15 of /proc/PID/stat (proc(5)).
// Field 2 is the command in parentheses and may hold anything, so counting begins
// behind the last of them.
func parseCPU(stat []byte) (time.Duration, error) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const utime, stime = 14 - 3, 15 - 3
	if len(fields) <= stime {
		return 0, errors.New("unreadable stat of the process")
	}
	user, err := strconv.ParseInt(string(fields[utime]), 10, 64)
	system, err2 := strconv.ParseInt(string(fields[stime]), 10, 64)
	if err := errors.Join(err, err2); err != nil {
		return 0, fmt.Errorf("unreadable stat of the process: %w", err)
	}
	return time.Duration(user+system) * tick, nil
}

// parseResident reads VmRSS of /proc/PID/status, which is in KiB.
func parseResident(status []byte) (int64, error) {
	_, rest, ok := bytes.Cut(status, []byte("\nVmRSS:"))
	fields := bytes.Fields(rest[:max(bytes.IndexByte(rest, '\n'), 0)])
	if !ok || len(fields) < 1 {
		return 0, errors.New("the process has no memory: it has ended")
	}
	kib, err := strconv.ParseInt(string(fields[0]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("unreadable status of the process: %w", err)
	}
	return kib << 10, nil
}

// files is how many files the process may open; 0 is any number, or unknown.
func (p *process) files() int {
	limits, err := os.ReadFile(p.dir + "/limits")
	if err != nil {
		return 0
	}
	return parseFileLimit(limits)
}

// parseFileLimit reads the soft limit of /proc/PID/limits (proc(5)).
func parseFileLimit(limits []byte) int {
	_, rest, _ := bytes.Cut(limits, []byte("\nMax open files"))
	fields := bytes.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(string(fields[0])) // "unlimited" is 0
	return n
}
