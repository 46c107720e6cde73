package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestQuiet(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	var q quiet
	for _, c := range []struct{ at, want time.Duration }{
		{0, quietFor}, {quietFor / 2, quietFor}, {quietMost - quietFor/4, quietFor / 4}, {quietMost, 0}, {2 * quietMost, 0},
	} {
		if got := q.after(start.Add(c.at)); got != c.want {
			t.Errorf("a change after %v is read after %v, want %v", c.at, got, c.want)
		}
	}
}

func TestTrail(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, d := range []string{"v1", "other"} {
		if err := os.Mkdir(at(d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(at("v1/apps.yaml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{
		"..data": "v1", "apps.yaml": "..data/apps.yaml", "abs": at("apps.yaml"), "loop": "loop", "nowhere": "none/x", "other/up": "../apps.yaml",
	} {
		if err := os.Symlink(target, at(name)); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string][]string{
		"v1/apps.yaml": {"v1/apps.yaml"},
		"apps.yaml":    {"apps.yaml", "..data", "v1/apps.yaml"},
		"abs":          {"abs", "apps.yaml", "..data", "v1/apps.yaml"},
		"other/up":     {"other/up", "apps.yaml", "..data", "v1/apps.yaml"},
		"nowhere":      {"nowhere", "none"},
		"none/x":       {"none"},
	} {
		for i := range want {
			want[i] = at(want[i])
		}
		if got := trail(at(path)); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	if got := trail(at("loop")); len(got) != mostLinks {
		t.Errorf("a link to itself: %d steps", len(got))
	}
}

func TestCompareApps(t *testing.T) {
	t.Parallel()
	load := func(text string) *Config { return mustLoad(t, "apps:\n"+text, nil) }
	before := load(`
  - {id: same, key: same, secret: s, webhooks: [{url: http://a.example/, headers: {X-A: one}}]}
  - {id: gone, key: gone, secret: s}
  - {id: secret, key: secret, secret: s}
  - {id: limit, key: limit, secret: s}
  - {id: header, key: header, secret: s, webhooks: [{url: http://a.example/, headers: {X-A: one}}]}`)
	after := load(`
  - {id: same, key: same, secret: s, webhooks: [{url: http://a.example/, headers: {X-A: one}}]}
  - {id: secret, key: secret, secrets: [t, s]}
  - {id: limit, key: limit, secret: s, limits: {connections: 1}}
  - {id: header, key: header, secret: s, webhooks: [{url: http://a.example/, headers: {X-A: two}}]}
  - {id: new, key: new, secret: s}`)
	added, removed, changed := compareApps(before.Apps, after.Apps)
	if !slices.Equal(added, []string{"new"}) || !slices.Equal(removed, []string{"gone"}) || !slices.Equal(changed, []string{"secret", "limit", "header"}) {
		t.Errorf("added %v, removed %v, changed %v", added, removed, changed)
	}
}
