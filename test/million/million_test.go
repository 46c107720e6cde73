//go:build linux

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestSmall runs the program with few connections, every frame looked at: it ends
// with an error when a connection is not greeted, not subscribed, gets an event
// twice, not at all or out of order, or is not gone in the end. So that what
// `make bench-million` measures stays what the server does.
func TestSmall(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program, out := filepath.Join(dir, "million"), filepath.Join(dir, "results.json")
	for _, command := range [][]string{
		{"go", "build", "-tags", "simulated", "-o", program, "dunlin/test/million"},
		{program, "-sizes", "2000", "-verify", "-publishes", "50", "-cycles", "1", "-quiet", "100ms", "-out", out},
	} {
		if text, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", command, err, text)
		}
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var results struct {
		Sizes []struct {
			Connections, Channels int
			Heap                  int     `json:"heap_bytes"`
			Delivery              float64 `json:"delivery_cpu_us"`
		}
	}
	if err := json.Unmarshal(text, &results); err != nil {
		t.Fatal(err)
	}
	if len(results.Sizes) != 2 {
		t.Fatalf("%d results: %s", len(results.Sizes), text)
	}
	for i, channels := range []int{2, 1001} {
		// An idle connection takes 300 bytes, with a channel of its own 800: the bound
		// is for goroutines and buffers, which have kilobytes.
		if r := results.Sizes[i]; r.Connections != 2000 || r.Channels != channels || r.Heap < 200 || r.Heap > 1500 || r.Delivery <= 0 {
			t.Errorf("%+v, want 2000 connections in %d channels", r, channels)
		}
	}
}
