//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

// explain profiles dunlin under the loads of rows that are over their budget, or
// with -profile of all rows: what the profile has on top is why.
func (b *bench) explain(ctx context.Context, rows []row, sums []Sum) {
	done := map[string]bool{} // loads; some rows have the same
	for i, r := range rows {
		over := sums[i].verdict() == "over"
		if !over && !b.profile || done[r.ours.key()] || ctx.Err() != nil {
			continue
		}
		done[r.ours.key()] = true
		file, top, err := b.profileOf(ctx, r)
		name := strings.TrimSpace(r.name)
		if err != nil {
			fmt.Printf("\n%s: no profile: %v\n", name, err)
			continue
		}
		fmt.Printf("\n%s, %s: go tool pprof -http : %s\n%s", name, sums[i].verdict(), file, top)
	}
}

// profiled is what is read of a server under a load, and how long that takes.
type profiled struct {
	load string
	path string        // below /admin/pprof/
	wait time.Duration // for connections, which are no part of it
}

// profiled makes the load of a row last long enough.
func (r row) profiled() profiled {
	const longer = " --events 10000000 --duration 6s"
	switch load := r.ours.load; {
	case r.ours.field == residentField:
		return profiled{load + " --hold 6s", "heap?gc=1", 4 * time.Second}
	case strings.HasPrefix(load, "connect "):
		return profiled{load + " --connections 18000", "profile?seconds=1", 0}
	default:
		return profiled{load + longer, "profile?seconds=3", time.Second}
	}
}

func (b *bench) profileOf(ctx context.Context, r row) (file, top string, err error) {
	s, err := b.start(ctx, "dunlin")
	if err != nil {
		return "", "", err
	}
	defer s.stop()
	p := r.profiled()
	loaded := make(chan error, 1)
	go func() {
		_, err := b.load(ctx, s, p.load)
		loaded <- err
	}()
	time.Sleep(p.wait)
	file = strings.TrimSuffix(b.out, ".json") + "-" + fileName(r.name) + ".pprof"
	if err := fetch(ctx, "http://"+<-s.operators+"/admin/pprof/"+p.path, file); err != nil {
		return "", "", err
	}
	if err := <-loaded; err != nil {
		return "", "", err
	}
	out, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-nodecount", "12", file).Output()
	return file, string(out), err
}

// fileName is a row's name as the part of a file's.
func fileName(row string) string {
	words := strings.FieldsFunc(strings.ToLower(row), func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') })
	return strings.Join(words, "-")
}

// fetch stores what a URL of dunlin's admin interface answers.
func fetch(ctx context.Context, url, file string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, r.Status)
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(f, r.Body)
	return err
}
