//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"time"
)

// disturbance is a second load beside the one that is timed, from a load maker of
// its own on the same core.
type disturbance struct {
	name  string
	load  string        // what follows "dunlin bench"; "": none
	files int           // it has begun when the server has so many files open …
	rest  time.Duration // … for so long
}

// disturbances last longer than what they disturb.
var disturbances = []disturbance{
	{name: "undisturbed"},
	{"1,000 connects a second", "connect --channels 0 --connections 15000 --rate 1000 --hold 1m", 100, 0},
	{"500 joins a second, presence", "presence --channel storm --connections 6000 --channels 60 --rate 500 --patience 1m", 6000, 0},
	{"50 slow readers, full sockets", "fanout --channel slow --connections 10 --slow-readers 50 --size 8000 --rate 100 --events 1000000 --duration 1m", 60, 1500 * time.Millisecond},
	{"fan-out to 10,000, one a second", "fanout --channel big --connections 10000 --rate 1 --duration 1m", 10_000, 500 * time.Millisecond},
}

// disturb begins a disturbance. It returns when it is under way, and what ends it.
func (b *bench) disturb(ctx context.Context, s *server, d disturbance) (end func(), err error) {
	if d.load == "" {
		return func() {}, nil
	}
	cmd := b.maker(ctx, s, d.load)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	end = func() {
		cmd.Process.Signal(os.Interrupt) // fails when it has ended
		cmd.Wait()                       // what it measured does not matter
	}
	deadline := time.Now().Add(patience)
	for s.files() < d.files {
		if time.Now().After(deadline) || ctx.Err() != nil {
			end()
			return nil, fmt.Errorf("%s: did not begin", d.name)
		}
		time.Sleep(20 * time.Millisecond)
	}
	time.Sleep(d.rest)
	return end, nil
}

// files is how many files the server has open.
func (s *server) files() int {
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	return len(list)
}

var (
	turnsTotal = regexp.MustCompile(`(?m)^dunlin_turns_total (\S+)$`)
	cpuTotal   = regexp.MustCompile(`(?m)^process_cpu_seconds_total (\S+)$`)
)

// usage is what a server says that it has done.
type usage struct{ turns, cpu float64 } // cpu in seconds

// usageOf reads dunlin's metrics at address ops.
func usageOf(ctx context.Context, ops string) (u usage, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+ops+"/metrics", nil)
	if err != nil {
		return u, err
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return u, err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return u, err
	}
	return parseUsage(string(text))
}

func parseUsage(text string) (u usage, err error) {
	for what, to := range map[*regexp.Regexp]*float64{turnsTotal: &u.turns, cpuTotal: &u.cpu} {
		m := what.FindStringSubmatch(text)
		if m == nil {
			return u, fmt.Errorf("metrics without %s", what)
		}
		if *to, err = strconv.ParseFloat(m[1], 64); err != nil {
			return u, err
		}
	}
	return u, nil
}

// turnTime is what a turn took of the CPU between two looks at the server, in
// milliseconds: from the middle of a phase that takes so long, behind what comes
// before it.
func turnTime(ctx context.Context, s *server, before, phase time.Duration) (ms float64) {
	ops := <-s.operators
	time.Sleep(before + phase/4)
	from, err := usageOf(ctx, ops)
	if err != nil {
		return 0
	}
	time.Sleep(phase / 2)
	to, err := usageOf(ctx, ops)
	if err != nil || to.turns == from.turns {
		return 0
	}
	return 1000 * (to.cpu - from.cpu) / (to.turns - from.turns)
}
