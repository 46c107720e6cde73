//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"time"
)

// Scene is a paced fan-out to 1,000 under a disturbance. Events are timed from
// when they were due to when their last subscriber has them.
type Scene struct {
	Round       int     `json:"round"`
	Server      string  `json:"server"`
	Pace        string  `json:"load"`
	Rate        float64 `json:"events_per_second"`
	Disturbance string  `json:"disturbance"`
	P50         float64 `json:"p50_ms"`
	P99         float64 `json:"p99_ms"`
	Max         float64 `json:"max_ms"`
	Turn        float64 `json:"turn_ms,omitempty"` // CPU time of a turn of dunlin's loop
	Lost        int64   `json:"lost"`
	Others      float64 `json:"others"` // share of all cores that other programs used meanwhile
}

// pace is a rate, and who can keep it.
type pace struct {
	name       string
	publishers int
	servers    []string
	rate       float64 // events a second
}

const (
	idle      = "idle"
	single    = "half of what single events allow"
	coalesced = "half of the coalesced peak"
	idleRate  = 10

	audience = 1000 // subscribers
)

// bounded is how many times the p50 of the idle server the p99 may be.
const bounded = 3

// scenes measures all of them, dunlin and limit.c next to each other.
func (b *bench) scenes(ctx context.Context) error {
	paces, err := b.paces(ctx)
	if err != nil {
		return err
	}
	for round := 1; round <= b.rounds; round++ {
		for _, d := range disturbances {
			for _, p := range paces {
				if p.name == idle && d.load != "" {
					continue
				}
				for _, server := range p.servers {
					b.scene(ctx, round, server, p, d)
				}
			}
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	fmt.Println()
	return printScenes(os.Stdout, b.results.Latency)
}

// paces finds out what dunlin can do here. Half of it is what is measured, of the
// floor too. limit.c writes each event by itself: the coalesced peak is beyond it.
func (b *bench) paces(ctx context.Context) ([]pace, error) {
	one, err := b.probe(ctx, "--publishers 1 --window 1 --events 200")
	if err != nil {
		return nil, err
	}
	peak, err := b.probe(ctx, "--publishers 16 --window 16 --events 1500")
	if err != nil {
		return nil, err
	}
	alone := 1e6 / one.Server["cpu_us_per_event"]
	most := peak.Deliveries.PerSecond / audience
	fmt.Printf("\ndunlin to %d subscribers: %.0f single events a second take all of a core; %.0f were the peak of 16 publishers\n\n", audience, alone, most)
	both := []string{"dunlin", "limit"}
	return []pace{
		{idle, 1, both, idleRate},
		{single, 4, both, alone / 2},
		{coalesced, 16, both[:1], most / 2},
	}, nil
}

// probe loads a fresh dunlin in a closed loop.
func (b *bench) probe(ctx context.Context, how string) (r report, err error) {
	s, err := b.start(ctx, "dunlin")
	if err != nil {
		return r, err
	}
	defer s.stop()
	out, err := b.load(ctx, s, fmt.Sprintf("fanout --connections %d %s", audience, how))
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(out, &r)
}

// scene measures one and keeps it.
func (b *bench) scene(ctx context.Context, round int, server string, p pace, d disturbance) {
	if ctx.Err() != nil {
		return
	}
	got, err := b.play(ctx, server, p, d)
	what := fmt.Sprintf("%s, %s, %s", server, p.name, d.name)
	if err != nil {
		fmt.Printf("  %-70s failed: %v\n", what, err)
		return
	}
	got.Round, got.Server, got.Pace, got.Rate, got.Disturbance = round, server, p.name, p.rate, d.name
	b.results.Latency = append(b.results.Latency, got)
	fmt.Printf("  %-70s p50 %7.2f  p99 %7.2f ms  %s\n", what, got.P50, got.P99, Measurement{Others: got.Others, lost: got.Lost}.remarks())
}

// play has one fan-out disturbed on a server of its own.
func (b *bench) play(ctx context.Context, server string, p pace, d disturbance) (got Scene, err error) {
	s, err := b.start(ctx, server)
	if err != nil {
		return got, err
	}
	defer s.stop()
	end, err := b.disturb(ctx, s, d)
	if err != nil {
		return got, err
	}
	defer end()
	length := 6 * time.Second
	if b.quick {
		length = time.Second
	}
	turn := make(chan float64, 1)
	if server == "dunlin" {
		go func() { turn <- turnTime(ctx, s, time.Second, length) }()
	} else {
		turn <- 0
	}
	busy, began := busyTime(), time.Now()
	out, err := b.load(ctx, s, fmt.Sprintf("fanout --connections %d --publishers %d --rate %.1f --events 1000000 --duration %s",
		audience, p.publishers, p.rate, length))
	took := time.Since(began)
	if err != nil {
		return got, err
	}
	got, err = readScene(out)
	got.Others = others(busyTime()-busy, got.Others, took, runtime.NumCPU())
	got.Turn = <-turn
	return got, err
}

// readScene takes what counts out of a report. Others is, so far, what server and
// load maker used, in seconds.
func readScene(out []byte) (s Scene, err error) {
	var r report
	if err := json.Unmarshal(out, &r); err != nil {
		return s, fmt.Errorf("report of dunlin bench: %w", err)
	}
	last, ok := r.Latency["last_delivery"]
	if !ok {
		return s, fmt.Errorf("no event reached all: %d deliveries were lost", r.Deliveries.Lost)
	}
	s = Scene{P50: last.P50, P99: last.P99, Max: last.Max, Lost: r.Deliveries.Lost}
	for _, p := range r.Phases {
		s.Others += p.Server + p.Maker
	}
	return s, nil
}
