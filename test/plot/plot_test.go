package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPictures draws what was once measured. Each picture is well-formed and has
// its title and every line's label.
func TestPictures(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := run("testdata/curve.json", "testdata/million.json", dir); err != nil {
		t.Fatal(err)
	}
	for name, texts := range map[string][]string{
		"throughput":       {"Deliveries a second", "go1.", "16 publishers", "one event at a time", "100", "10k"},
		"cost":             {"Server CPU per delivery", "16 publishers"},
		"latency":          {"to the last subscriber", "p50", "p99", "ms"},
		"million-memory":   {"Memory of a connection", "resident, a channel each", "1k"},
		"million-delivery": {"CPU per delivery", "always the same thousand", "all channels in turn"},
		"million-turns":    {"Turns of a loop", "p99 while the collector runs"},
	} {
		svg, err := os.ReadFile(filepath.Join(dir, name+".svg"))
		if err != nil {
			t.Error(err)
			continue
		}
		text, curves := read(t, svg)
		for _, want := range texts {
			if !strings.Contains(text, want) {
				t.Errorf("%s.svg does not say %q", name, want)
			}
		}
		if curves == 0 {
			t.Errorf("%s.svg has no line", name)
		}
	}
}

// read returns the words of a picture and counts its coloured lines.
func read(t *testing.T, svg []byte) (text string, curves int) {
	t.Helper()
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return text, curves
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e := token.(type) {
		case xml.CharData:
			text += string(e)
		case xml.StartElement:
			for _, a := range e.Attr {
				if a.Name.Local == "style" && strings.Contains(a.Value, "stroke:#0072B2") {
					curves++
				}
			}
		}
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty.json")
	if err := os.WriteFile(empty, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ curve, million, want string }{
		{"", "", "nothing to draw"},
		{"testdata/none.json", "", "no such file"},
		{"", "plot_test.go", "invalid character"},
		{empty, "", "no points"},
	} {
		if err := run(c.curve, c.million, t.TempDir()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q %q: %v, want %q", c.curve, c.million, err, c.want)
		}
	}
}
