package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// tellManager tells the service manager, if there is one, that the server is ready;
// where the manager wants it, also in every beat that all loops turn, until ctx ends.
// Once one does not, nothing is said, and the manager starts the server again.
func tellManager(ctx context.Context, in *inheritance, alive func(context.Context) error, log *slog.Logger) {
	state := daemon.SdNotifyReady
	if in.from != nil { // the manager knows the process before this one
		state += fmt.Sprintf("\nMAINPID=%d", os.Getpid())
	}
	notify(state, log)
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("reading the service manager's watchdog", "error", err)
	}
	if every <= 0 {
		return
	}
	beat := every / 2
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for ctx.Err() == nil {
		within, cancel := context.WithTimeout(ctx, beat)
		err := alive(within)
		cancel()
		switch {
		case err == nil:
			notify(daemon.SdNotifyWatchdog, log)
		case ctx.Err() == nil:
			log.Error("the watchdog hears nothing", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func notify(state string, log *slog.Logger) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("telling the service manager", "state", state, "error", err)
	}
}
