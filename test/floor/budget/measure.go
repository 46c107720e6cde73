//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Measurement is one run of a load on a server.
type Measurement struct {
	Round  int             `json:"round"`
	Key    string          `json:"what"`
	Value  float64         `json:"value"`
	Unit   string          `json:"unit"`
	Others float64         `json:"others"` // share of all cores that other programs used meanwhile
	Report json.RawMessage `json:"report"` // of dunlin bench

	lost, failed int64
}

// report is what is looked at of a report of dunlin bench.
type report struct {
	Connections struct{ Failed, Lost int64 }
	Deliveries  struct {
		Lost      int64
		PerSecond float64 `json:"per_second"`
	}
	FromClients struct{ Lost int64 } `json:"client_event_deliveries"`
	Requests    struct{ Refused int64 }
	Latency     map[string]struct{ P50, P99, Max float64 } `json:"latency_ms"`
	Server      map[string]float64
	Phases      []struct {
		Server float64 `json:"server_cpu_seconds"`
		Maker  float64 `json:"maker_cpu_seconds"`
	}
}

// measure starts the server, loads it and stops it.
func (b *bench) measure(ctx context.Context, l measured) (m Measurement, err error) {
	s, err := b.start(ctx, l.server)
	if err != nil {
		return m, err
	}
	defer s.stop()
	busy, began := busyTime(), time.Now()
	out, err := b.load(ctx, s, l.load)
	if err != nil {
		return m, err
	}
	m, err = read(l, out)
	m.Others = others(busyTime()-busy, m.Others, time.Since(began), runtime.NumCPU())
	return m, err
}

// load loads a server with what follows "dunlin bench" and returns the report.
func (b *bench) load(ctx context.Context, s *server, line string) ([]byte, error) {
	cmd := b.maker(ctx, s, line)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return out, nil
}

// maker is the load maker, pinned. Who stops it gets what it has so far.
func (b *bench) maker(ctx context.Context, s *server, line string) *exec.Cmd {
	args := append([]string{"-c", b.loadCore, filepath.Join(b.bin, "dunlin"), "bench"}, strings.Fields(line)...)
	args = append(args, "--json", "--url", "http://"+s.addr, "--pid", strconv.Itoa(s.cmd.Process.Pid))
	cmd := exec.CommandContext(ctx, "taskset", args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = patience
	return cmd
}

// read takes the value out of a report. Others is, so far, what server and load
// maker used, in seconds.
func read(l measured, out []byte) (m Measurement, err error) {
	var r report
	if err := json.Unmarshal(out, &r); err != nil {
		return m, fmt.Errorf("report of dunlin bench: %w", err)
	}
	value, ok := r.Server[l.field]
	if !ok {
		return m, fmt.Errorf("the report has no %s", l.field)
	}
	m = Measurement{Key: l.key(), Value: value, Unit: l.unit, Report: out}
	m.lost = r.Deliveries.Lost + r.FromClients.Lost + r.Connections.Lost
	m.failed = r.Connections.Failed + r.Requests.Refused
	for _, p := range r.Phases {
		m.Others += p.Server + p.Maker
	}
	return m, nil
}

// others is the share of all cores that neither server nor load maker used.
func others(busy time.Duration, own float64, took time.Duration, cores int) float64 {
	return max((busy.Seconds()-own)/(took.Seconds()*float64(cores)), 0)
}

func (m Measurement) remarks() string {
	remarks := fmt.Sprintf("others used %2.0f %%", 100*m.Others)
	if m.lost > 0 || m.failed > 0 {
		remarks += fmt.Sprintf("; %d lost, %d failed", m.lost, m.failed)
	}
	return remarks
}

// server is a server that was started here.
type server struct {
	cmd       *exec.Cmd
	addr      string
	operators <-chan string // where dunlin serves them, once it says so
}

var (
	listening = regexp.MustCompile(`listening on\s+(?:http://)?(127\.0\.0\.1:\d+)`)
	operating = regexp.MustCompile(`serving operators","address":"([^"]+)`)
)

// patience is how long a server may take to start, or to end.
const patience = 10 * time.Second

// start starts a server by what a row calls it, pinned, and waits until it listens.
func (b *bench) start(ctx context.Context, what string) (*server, error) {
	args := strings.Fields(what)
	if what == "dunlin" {
		args = append(args, "serve", "--config", b.config)
	}
	args[0] = filepath.Join(b.bin, args[0])
	s := &server{cmd: exec.CommandContext(ctx, "taskset", append([]string{"-c", b.serverCore}, args...)...)}
	s.cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	log, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	found := grep(out, listening)
	s.operators = grep(log, operating)
	select {
	case s.addr = <-found:
	case <-time.After(patience):
	}
	if s.addr == "" {
		s.stop()
		return nil, errors.New(what + " does not listen")
	}
	return s, nil
}

// grep returns what an expression finds first in a program's output, all of which
// it reads. The channel is closed when the program ends.
func grep(out io.Reader, what *regexp.Regexp) <-chan string {
	found := make(chan string, 1)
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if m := what.FindStringSubmatch(lines.Text()); m != nil {
				found <- m[1]
				break
			}
		}
		io.Copy(io.Discard, out)
		close(found)
	}()
	return found
}

// stop ends the server.
func (s *server) stop() {
	s.cmd.Process.Signal(syscall.SIGTERM) // fails when it has ended, which is meant
	hurry := time.AfterFunc(patience, func() { s.cmd.Process.Kill() })
	defer hurry.Stop()
	s.cmd.Wait() // says how it ended, which does not matter
}

// busyTime is what all programs on the machine have used, from /proc/stat.
func busyTime() time.Duration {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	return parseBusy(string(text))
}

// parseBusy adds up the first line but for idle and iowait: user, nice, system,
// idle, iowait, irq, softirq, steal, in hundredths of a second (proc(5)).
func parseBusy(text string) (busy time.Duration) {
	line, _, _ := strings.Cut(text, "\n")
	for i, f := range strings.Fields(line) {
		if n, err := strconv.ParseInt(f, 10, 64); err == nil && i != 4 && i != 5 && i <= 8 {
			busy += time.Duration(n) * time.Second / 100
		}
	}
	return busy
}

// machine says what it is measured on.
func (b *bench) machine(ctx context.Context) Machine {
	m := Machine{CPU: "unknown CPU", Cores: runtime.NumCPU(), Go: runtime.Version()}
	cpu, _ := os.ReadFile("/proc/cpuinfo")
	if _, rest, ok := strings.Cut(string(cpu), "model name\t: "); ok {
		m.CPU, _, _ = strings.Cut(rest, "\n")
	}
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	m.Kernel = strings.TrimSpace(string(release))
	out, _ := exec.CommandContext(ctx, filepath.Join(b.bin, "dunlin"), "version").Output()
	first, rest, _ := strings.Cut(string(out), "\n")
	commit, _, _ := strings.Cut(rest, "\n")
	m.Commit = first + ", " + commit
	return m
}
