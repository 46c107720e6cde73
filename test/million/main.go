//go:build linux && simulated

// Command million shows what very many connections cost: the real transport, hub
// and engine, with real handshakes and subscribes, over simulated sockets (see
// transport/epoll/sys_simulated.go). No kernel has a part in what it measures but
// for memory, so it runs where a process may open a thousand files.
//
//	go run -tags simulated ./test/million              1k, 10k, 100k and 1M, and the table of them
//	go run -tags simulated ./test/million -n 100000    one size, as JSON
//
// Each size is measured in a process of its own, in two shapes: channels that a
// thousand share, and a channel for each connection. In both, a thousand
// connections, spread over all, subscribe to the channel that is published to.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	log.SetFlags(0)
	var o options
	var sizes, out string
	flag.IntVar(&o.n, "n", 0, "measure so many connections in this process and print JSON")
	flag.BoolVar(&o.own, "own", false, "with -n: a channel for each connection")
	flag.IntVar(&o.publishes, "publishes", 2000, "events to the channel of a thousand, for each figure")
	flag.IntVar(&o.cycles, "cycles", 5, "least garbage collections under load")
	flag.DurationVar(&o.quiet, "quiet", 3*time.Second, "how long latencies are measured, and at least while collections run")
	flag.BoolVar(&o.verify, "verify", false, "look at every frame that connections get; slows what is measured")
	flag.StringVar(&o.heap, "heap", "", "with -n: write a heap profile of all connections, idle, to this `FILE`")
	flag.StringVar(&sizes, "sizes", "1000,10000,100000,1000000", "numbers of connections, for the table")
	flag.StringVar(&out, "out", "", "write all results as JSON to this `FILE`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if o.n > 0 {
		err = one(ctx, o)
	} else {
		err = all(ctx, o, sizes, out)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// one measures one size.
func one(ctx context.Context, o options) error {
	r, err := measure(ctx, o)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// Results are what is written to a file.
type Results struct {
	Machine Machine  `json:"machine"`
	Sizes   []Result `json:"sizes"`
}

// Machine says where it was measured.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
}

// all measures every size in both shapes, each in a process of its own.
func all(ctx context.Context, o options, sizes, out string) error {
	results := Results{Machine: machine()}
	for size := range strings.SplitSeq(sizes, ",") {
		for _, own := range []string{"false", "true"} {
			fmt.Fprintf(os.Stderr, "%s connections, a channel each: %s\n", size, own)
			cmd := exec.CommandContext(ctx, os.Args[0], "-n", size, "-own="+own, "-verify="+strconv.FormatBool(o.verify),
				"-publishes", strconv.Itoa(o.publishes), "-cycles", strconv.Itoa(o.cycles), "-quiet", o.quiet.String())
			cmd.Stderr = os.Stderr
			text, err := cmd.Output()
			if err != nil {
				return fmt.Errorf("%s connections: %w", size, err)
			}
			var r Result
			if err := json.Unmarshal(text, &r); err != nil {
				return fmt.Errorf("%s connections: %w", size, err)
			}
			results.Sizes = append(results.Sizes, r)
		}
	}
	if err := printTable(os.Stdout, results); err != nil || out == "" {
		return err
	}
	text, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(out, append(text, '\n'), 0o644)
}

func machine() Machine {
	m := Machine{CPU: "unknown CPU", Cores: runtime.NumCPU(), Go: runtime.Version()}
	cpu, _ := os.ReadFile("/proc/cpuinfo")
	if _, rest, ok := strings.Cut(string(cpu), "model name\t: "); ok {
		m.CPU, _, _ = strings.Cut(rest, "\n")
	}
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	m.Kernel = strings.TrimSpace(string(release))
	return m
}
