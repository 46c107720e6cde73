//go:build linux

// Command budget measures dunlin beside the floors, round after round, and prints
// the ratios against the budgets of the design, or with -latency what events take
// to their last subscriber while something disturbs the server. It fails nothing: a
// ratio above its budget is a figure to explain, and its profile is made at once. It
// is started by run.sh, which builds what is measured.
//
// Every server runs alone, pinned to one core with GOMAXPROCS=1, and the load
// maker on another. What counts are medians of ratios of measurements that were
// made within a minute of each other: absolute figures move with the machine.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"
)

func main() {
	log.SetFlags(0)
	b := &bench{}
	flag.StringVar(&b.bin, "bin", "", "folder with dunlin, limit, bare and proto")
	flag.StringVar(&b.out, "out", "", "file for the results, as JSON")
	flag.IntVar(&b.rounds, "rounds", 3, "rounds")
	flag.StringVar(&b.serverCore, "server-core", "0", "core of the servers")
	flag.StringVar(&b.loadCore, "load-core", "1", "core of the load maker")
	flag.StringVar(&b.only, "only", "", "only rows whose name has this in it")
	flag.BoolVar(&b.latency, "latency", false, "latencies under disturbances instead of the budget table")
	flag.BoolVar(&b.profile, "profile", false, "profile dunlin under the load of every row, not only of those over their budget")
	flag.BoolVar(&b.quick, "quick", false, "a twentieth of the events: to try it, not to measure")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := b.run(ctx); err != nil {
		log.Fatal(err)
	}
}

// bench is what is measured, and how.
type bench struct {
	bin, out, only       string
	serverCore, loadCore string
	rounds               int

	quick, latency, profile bool

	config  string // file of dunlin's configuration
	results Results
}

// Results are what is written to a file.
type Results struct {
	Machine  Machine       `json:"machine"`
	Started  time.Time     `json:"started"`
	Measured []Measurement `json:"measurements,omitempty"`
	Rows     []Sum         `json:"rows,omitempty"`
	Latency  []Scene       `json:"latency,omitempty"`
}

// Machine says where it was measured.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	Commit string `json:"version"` // what dunlin says of itself
}

func (b *bench) run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "dunlin-budget-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b.config = filepath.Join(dir, "apps.yaml")
	if err := os.WriteFile(b.config, []byte(config), 0o600); err != nil {
		return err
	}
	b.results = Results{Machine: b.machine(ctx), Started: time.Now()}
	m := b.results.Machine
	fmt.Printf("%s, %d cores, Linux %s, %s, %s\n", m.CPU, runtime.NumCPU(), m.Kernel, m.Go, b.results.Started.Format(time.DateTime))
	if b.latency {
		err = b.scenes(ctx)
	} else {
		err = b.table(ctx)
	}
	if err != nil {
		return err
	}
	return b.write()
}

// table measures the budget table.
func (b *bench) table(ctx context.Context) error {
	for round := 1; round <= b.rounds && ctx.Err() == nil; round++ {
		b.round(ctx, round)
	}
	b.results.Rows = sums(b.rows(), b.results.Measured)
	fmt.Println()
	if err := printSums(os.Stdout, b.results.Rows, b.results.Measured); err != nil {
		return err
	}
	b.explain(ctx, b.rows(), b.results.Rows)
	return nil
}

// round makes every measurement once, every second round in reverse, so that what
// changes slowly does not always hit the same one.
func (b *bench) round(ctx context.Context, round int) {
	fmt.Printf("\nround %d of %d\n", round, b.rounds)
	list := needed(b.rows())
	if round%2 == 0 {
		slices.Reverse(list)
	}
	list = slices.DeleteFunc(list, func(l measured) bool { return l.once && round > 1 })
	for _, l := range list {
		if ctx.Err() != nil {
			return
		}
		m, err := b.measure(ctx, l)
		if err != nil {
			fmt.Printf("  %-30s failed: %v\n", l.key(), err)
			continue
		}
		m.Round = round
		b.results.Measured = append(b.results.Measured, m)
		fmt.Printf("  %-30s %10.2f %-18s %s\n", m.Key, m.Value, l.unit, m.remarks())
	}
}

func (b *bench) write() error {
	if b.out == "" {
		return nil
	}
	text, err := json.MarshalIndent(b.results, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(b.out, append(text, '\n'), 0o644); err != nil {
		return err
	}
	fmt.Println("\nresults:", b.out)
	return nil
}
