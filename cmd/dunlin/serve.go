package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
)

func (c *cli) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Example: "  dunlin serve --config apps.yaml\n" +
			"  dunlin serve --host 0.0.0.0 --port 6001",
		Args: cobra.NoArgs,
		RunE: does(func(cmd *cobra.Command) error {
			ctx, stop := untilSignal()
			defer stop()
			return c.serve(ctx, c.sources(cmd))
		}),
	}
	configFlag(cmd)
	for _, s := range serverTable.list {
		if s.flag != "" {
			cmd.Flags().String(s.flag, "", fmt.Sprintf("`VALUE` of %s (default: $%s, else the file's, else %s)", s.path, s.env[1], s.def))
		}
	}
	return cmd
}

// serve runs the server until ctx ends.
func (c *cli) serve(ctx context.Context, src sources) error {
	hangups := make(chan os.Signal, 1) // before anything else: it must not end the process
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	start := src
	var read *recorder
	start.env, read = src.env.recorded()
	cfg, err := c.load(start)
	if err != nil {
		return err
	}
	log := newLogger(cfg.Log, c.stderr)
	for _, w := range cfg.Warnings {
		log.Warn(w)
	}
	p, err := newProgram(cfg, log)
	if err != nil {
		return err
	}
	if err := p.Start(); err != nil {
		return err
	}
	addrs := p.Addrs()
	if err := greet(c.stdout, cfg, addrs); err != nil {
		log.Warn("printing the addresses failed", "error", err)
	}
	for _, a := range addrs {
		log.Info("listening", "address", a.String())
	}
	warnExamples(log, cfg.Apps, addrs)
	r := newReloader(src, cfg, read.readings(), p, log)
	var reloading sync.WaitGroup
	reloading.Go(func() { r.run(ctx, hangups) })
	defer reloading.Wait()
	return p.Wait(ctx)
}
