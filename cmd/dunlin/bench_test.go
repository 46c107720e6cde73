package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dunlin/internal/load"
)

// TestBenchCommands: each scenario is a command with its flags.
func TestBenchCommands(t *testing.T) {
	t.Parallel()
	var names []string
	for _, s := range benchScenarios {
		names = append(names, s.name)
		code, stdout, stderr := runCLI(nil, nil, "bench", s.name, "--help")
		if code != exitOK || stderr != "" {
			t.Errorf("%s: %d %s", s.name, code, stderr)
		}
		for _, flag := range append([]string{"url", "app-id", "key", "secret", "pid", "duration", "json"}, s.flags...) {
			if !strings.Contains(stdout, "--"+flag+" ") {
				t.Errorf("%s has no --%s", s.name, flag)
			}
		}
	}
	if !slices.Equal(names, load.Scenarios()) {
		t.Errorf("commands %q, scenarios %q", names, load.Scenarios())
	}
	if code, stdout, _ := runCLI(nil, nil, "bench"); code != exitOK || !strings.Contains(stdout, "client-events") {
		t.Errorf("%d %s", code, stdout)
	}
}

func TestBenchMistakes(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"bench trigger --secret env:NONE":      "1 dunlin: --secret: the environment variable NONE is not set\n",
		"bench trigger --url nowhere":          "1 dunlin: --url must be like http://127.0.0.1:6001, not \"nowhere\"\n",
		"bench fanout --source x":              "1 dunlin: --source: ParseAddr(\"x\"): unable to parse IP\n",
		"bench nosuch":                         "2 dunlin: unknown command \"nosuch\" for \"dunlin bench\"\nTry dunlin --help\n",
		"bench fanout --connections 0":         "1 dunlin: --connections must be more than 0\n",
		"bench trigger --channels 0":           "1 dunlin: --channels must be more than 0\n",
		"bench connect --duration 0s":          "1 dunlin: --duration must be more than 0\n",
		"bench trigger --url http://a:b@c":     "1 dunlin: --url must be like http://127.0.0.1:6001, not \"http://a:b@c\"\n",
		"bench trigger --window 3":             "2 dunlin: unknown flag: --window\nTry dunlin --help\n",
		"bench fanout --duration soon":         "2 dunlin: invalid argument \"soon\" for \"--duration\" flag: time: invalid duration \"soon\"\nTry dunlin --help\n",
		"bench client-events --group 1 --json": "1 dunlin: --group must be at least 2: a client event goes to the others\n",
	} {
		code, stdout, stderr := runCLI(nil, nil, strings.Fields(line)...)
		if got := string(rune('0'+code)) + " " + stderr; got != want || stdout != "" {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
}

// TestProgressNeedsATerminal: nothing is drawn into a file.
func TestProgressNeedsATerminal(t *testing.T) {
	t.Parallel()
	f, err := os.Create(filepath.Join(t.TempDir(), "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	show, done := showProgress(f)
	if done(); show != nil {
		t.Error("progress is drawn into a file")
	}
}
