package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"time"

	"dunlin/apps"
	"dunlin/metrics"
)

// reloader reads the configuration again when it is asked to, or when a file of it
// was changed. What is wrong changes nothing.
type reloader struct {
	// Static after construction
	src     sources
	log     *slog.Logger
	running *Config       // that the program was started with
	apply   func(*Config) // puts a configuration in force, whole
	counts  *metrics.Reloads
	watcher *watcher // nil: only when asked

	// Owned by run
	apps []*apps.App // in force
	last readings    // of the last attempt
}

func newReloader(src sources, cfg *Config, read readings, p *Program, log *slog.Logger) *reloader {
	r := &reloader{src: src, log: log, running: cfg, apply: p.Reload, counts: p.reloads, apps: cfg.Apps, last: read}
	if !cfg.Server.Watch {
		return r
	}
	var err error
	if r.watcher, err = newWatcher(); err != nil {
		log.Warn("changes of the configuration go unseen until SIGHUP", "error", err)
	}
	return r
}

// run serves until ctx ends. A hangup asks for a reload.
func (r *reloader) run(ctx context.Context, hangups <-chan os.Signal) {
	var quiet quiet
	timer := time.NewTimer(0) // what changed since the start was not watched yet
	defer timer.Stop()
	defer r.watcher.close()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			r.reload()
			timer.Reset(0)
		case e, ok := <-r.watcher.events():
			if ok && r.watcher.concerns(e) {
				timer.Reset(quiet.after(time.Now()))
			}
		case err, ok := <-r.watcher.errors():
			if ok {
				r.log.Warn("watching the configuration", "error", err)
				timer.Reset(quiet.after(time.Now())) // something may have been missed
			}
		case <-timer.C:
			quiet = quietNone
			r.check()
			if r.rewatch() {
				timer.Reset(quiet.after(time.Now()))
			}
		}
	}
}

// rewatch watches the files that were read last. It reports whether one may have
// changed before it was watched.
func (r *reloader) rewatch() (again bool) {
	again, err := r.watcher.watch(r.last.names)
	if err != nil {
		r.log.Warn("a change of the configuration may go unseen until SIGHUP", "error", err)
	}
	return again
}

// reload puts in force what the files say now.
func (r *reloader) reload() {
	cfg, err := r.load()
	r.settle(cfg, err)
}

// check does the same if they say anything new.
func (r *reloader) check() {
	before := r.last.sum
	if cfg, err := r.load(); r.last.sum != before {
		r.settle(cfg, err)
	}
}

func (r *reloader) load() (*Config, error) {
	src, read := r.src.recorded()
	cfg, err := loadConfig(src)
	r.last = read.readings()
	return cfg, err
}

// settle applies a configuration, or says why not.
func (r *reloader) settle(cfg *Config, err error) {
	if err != nil {
		r.refuse(err)
		return
	}
	for _, w := range cfg.Warnings {
		r.log.Warn(w)
	}
	for _, path := range changedSettings(r.running, cfg) {
		r.log.Warn("a change of this setting takes effect at the next start", "setting", path)
	}
	r.apply(cfg)
	r.counts.Applied(time.Now())
	added, removed, changed := compareApps(r.apps, cfg.Apps)
	r.apps = cfg.Apps
	r.log.Info("configuration reloaded", "apps", len(cfg.Apps), "added", added, "removed", removed, "changed", changed)
}

// refuse names every mistake in a line of its own.
func (r *reloader) refuse(err error) {
	r.counts.Failed()
	var list Mistakes
	if !errors.As(err, &list) {
		r.log.Error("configuration not reloaded, the old one stays in force", "error", err)
		return
	}
	for _, m := range list {
		r.log.Error("mistake in the configuration", "at", m.Spot.String(), "error", m.Text)
	}
	r.log.Error("configuration not reloaded, the old one stays in force", "mistakes", len(list))
}

// changedSettings lists the server's settings that differ and can not be changed
// while it runs.
func changedSettings(before, after *Config) (paths []string) {
	for i := range serverTable.list {
		if s := &serverTable.list[i]; !s.live && !s.same(before.settings[s.path], after.settings[s.path]) {
			paths = append(paths, s.path)
		}
	}
	return paths
}

// compareApps lists the ids of apps that came, went, and are not what they were.
func compareApps(before, after []*apps.App) (added, removed, changed []string) {
	old := map[string]*apps.App{}
	for _, a := range before {
		old[a.ID] = a
	}
	for _, a := range after {
		switch b := old[a.ID]; {
		case b == nil:
			added = append(added, a.ID)
		case !reflect.DeepEqual(textOf(a), textOf(b)):
			changed = append(changed, a.ID)
		}
		delete(old, a.ID)
	}
	for id := range old {
		removed = append(removed, id)
	}
	slices.Sort(removed)
	return added, removed, changed
}

// appText is an app with its secrets as text: signers can not be compared.
type appText struct {
	app     apps.App
	secrets []string
}

func textOf(a *apps.App) appText {
	t := appText{app: *a}
	t.app.Secrets, t.app.Webhooks = nil, slices.Clone(a.Webhooks)
	for _, s := range a.Secrets {
		t.secrets = append(t.secrets, s.Reveal())
	}
	for i := range t.app.Webhooks {
		for _, h := range t.app.Webhooks[i].Headers {
			t.secrets = append(t.secrets, h.Name, h.Value.Reveal())
		}
		t.app.Webhooks[i].Headers = nil
	}
	return t
}

// quiet decides when a file that is being written is read: when it was left alone
// for a while, but not after too long.
type quiet struct{ first time.Time }

const (
	quietFor  = 200 * time.Millisecond
	quietMost = 2 * time.Second
)

var quietNone quiet

// after is how long to wait from a change at now on.
func (q *quiet) after(now time.Time) time.Duration {
	if q.first.IsZero() {
		q.first = now
	}
	return max(0, min(quietFor, q.first.Add(quietMost).Sub(now)))
}
