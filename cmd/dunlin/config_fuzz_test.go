package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzConfig reads anything as a configuration: it never panics, a mistake always
// has a line of the file, nothing that a secret refers to is ever shown, and what
// is accepted can be used.
func FuzzConfig(f *testing.F) {
	seeds, err := filepath.Glob("testdata/mistakes/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range append(seeds, exampleFile) {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	const hidden = "do-not-show-what-is-elsewhere"
	f.Fuzz(func(t *testing.T, data []byte) {
		env := surroundings(map[string]string{"c.yaml": string(data), "token": hidden + "\n"}, "TOKEN="+hidden)
		cfg, err := loadConfig(sources{file: "c.yaml", env: env})
		if err == nil {
			checkUsable(t, cfg)
			return
		}
		var list Mistakes
		if !errors.As(err, &list) || len(list) == 0 || cfg != nil {
			t.Fatalf("got %v, %v", cfg, err)
		}
		lines := lineAt(data, len(data))
		for _, m := range list {
			if m.Source != "c.yaml" || m.Line < 1 || m.Line > lines || m.Text == "" || strings.Contains(m.Text, hidden) {
				t.Errorf("mistake %q in %d lines", m, lines)
			}
		}
	})
}

func checkUsable(t *testing.T, cfg *Config) {
	t.Helper()
	if len(cfg.Apps) == 0 || len(cfg.Server.Addresses()) == 0 {
		t.Error("nothing to serve")
	}
	ids, keys := map[string]bool{}, map[string]bool{}
	for _, a := range cfg.Apps {
		if a.ID == "" || a.Key == "" || ids[a.ID] || keys[a.Key] || len(a.Secrets) == 0 {
			t.Errorf("app %+v", a)
		}
		ids[a.ID], keys[a.Key] = true, true
		for _, s := range a.Secrets {
			if s == nil || s.Reveal() == "" {
				t.Errorf("app %s has an empty secret", a.ID)
			}
		}
	}
}
