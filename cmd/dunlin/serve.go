package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
)

func (c *cli) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Example: "  dunlin serve --config apps.yaml\n" +
			"  dunlin serve --host 0.0.0.0 --port 6001\n" +
			"  dunlin serve --handover /run/dunlin/handover.sock   # again, to replace the first",
		Args: cobra.NoArgs,
		RunE: does(func(cmd *cobra.Command, _ []string) error {
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
	debugs := make(chan os.Signal, 1)
	signal.Notify(debugs, syscall.SIGUSR1)
	defer signal.Stop(debugs)
	start, read := src.recorded()
	cfg, err := c.load(start)
	if err != nil {
		return err
	}
	level := &slog.LevelVar{}
	log := newLogger(cfg.Log, c.stderr, level)
	for _, w := range cfg.Warnings {
		log.Warn(w)
	}
	in, err := inherit(cfg)
	if err != nil {
		return err
	}
	p, err := newProgram(cfg, in, level, log)
	if err == nil {
		err = p.Start()
	}
	if err != nil {
		in.abandon()
		return err
	}
	c.announce(cfg, p, log)
	r := newReloader(src, cfg, read.readings(), p, log)
	var beside sync.WaitGroup
	running, ended := context.WithCancel(ctx)
	beside.Go(func() { r.run(running, hangups) })
	beside.Go(func() { toggleDebug(running, debugs, level, cfg.Log.level(), log) })
	beside.Go(func() { tellManager(running, in, p.hub.Alive, log) })
	defer beside.Wait()
	defer ended()
	// Not when another process has taken over: the manager is to follow that one.
	defer context.AfterFunc(ctx, func() { notify(daemon.SdNotifyStopping, log) })()
	return p.Wait(ctx)
}

// announce says where the server listens, to people and in the log.
func (c *cli) announce(cfg *Config, p *Program, log *slog.Logger) {
	plain, secure := p.Addrs()
	if err := greet(c.stdout, cfg, plain, secure); err != nil {
		log.Warn("printing the addresses failed", "error", err)
	}
	for _, a := range plain {
		log.Info("listening", "address", a.String())
	}
	for _, a := range secure {
		log.Info("listening with TLS", "address", a.String())
	}
	warnExamples(log, cfg.Apps, append(plain, secure...))
}
