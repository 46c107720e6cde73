package main

import (
	"context"
	"io"
	"log/slog"
	"os"
)

// newLogger logs to w, from level on. Format auto is text on a terminal and JSON
// elsewhere.
func newLogger(cfg LogConfig, w io.Writer, level *slog.LevelVar) *slog.Logger {
	level.Set(cfg.level())
	o := &slog.HandlerOptions{Level: level}
	if cfg.Format == "text" || cfg.Format == "auto" && isTerminal(w) {
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}

func (c LogConfig) level() (l slog.Level) {
	if err := l.UnmarshalText([]byte(c.Level)); err != nil {
		return slog.LevelInfo
	}
	return l
}

// toggleDebug changes between the level that is configured and debug, for each
// signal, until ctx ends.
func toggleDebug(ctx context.Context, signals <-chan os.Signal, level *slog.LevelVar, configured slog.Level, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-signals:
		}
		next := slog.LevelDebug
		if level.Level() == slog.LevelDebug {
			next = configured
		}
		level.Set(next)
		log.Warn("the log's level was changed", "to", next.String())
	}
}

// isTerminal also takes /dev/null for one, where it makes no difference.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
