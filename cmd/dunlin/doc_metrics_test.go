package main

import (
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"dunlin/cluster/redis"
	"dunlin/metrics"
)

const (
	operationsFile = "../../docs/operations.md"
	figuresBegin   = "<!-- figures: begin, made from the code; go test ./cmd/dunlin -update -->\n"
	figuresEnd     = "<!-- figures: end -->\n"
)

// descText is what a prometheus.Desc prints.
var descText = regexp.MustCompile(`fqName: "([^"]*)", help: "((?:[^"\\]|\\.)*)", unit: "[^"]*", constLabels: {([^}]*)}, variableLabels: {([^}]*)}`)

// TestFiguresAreDocumented compares the table of docs/operations.md with what a node
// shows, whichever engine it has; and the reasons for drops there with those that
// are counted.
func TestFiguresAreDocumented(t *testing.T) {
	t.Parallel()
	p, err := newProgram(mustLoad(t, oneApp, nil), &inheritance{}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.hooks.stop() })
	e, err := redis.New(redis.Options{URL: "redis://127.0.0.1:1/0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	list := append(append(p.figures(), redisFigures(e)...), p.counters, p.hooks.counters, p.reloads)

	text, err := os.ReadFile(operationsFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), figuresBegin)
	_, after, ok2 := strings.Cut(rest, figuresEnd)
	if !ok1 || !ok2 {
		t.Fatalf("%s: no place for the figures", operationsFile)
	}
	golden(t, operationsFile, before+figuresBegin+figureTable(t, list)+figuresEnd+after)
	for _, reason := range metrics.DropReasons() {
		if !strings.Contains(string(text), "\n| `"+reason+"` |") {
			t.Errorf("%s does not tell what the reason %s is", operationsFile, reason)
		}
	}
}

func figureTable(t *testing.T, list []prometheus.Collector) string {
	t.Helper()
	rows := map[string]string{}
	var names []string
	for _, c := range list {
		descs := make(chan *prometheus.Desc, 200)
		c.Describe(descs)
		close(descs)
		for d := range descs {
			m := descText.FindStringSubmatch(d.String())
			if m == nil {
				t.Fatalf("unreadable: %s", d)
			}
			if rows[m[1]] == "" {
				names = append(names, m[1])
			}
			rows[m[1]] = fmt.Sprintf("| `%s` | %s | %s |\n", m[1], labelNames(m[3], m[4]), strings.ReplaceAll(m[2], `\"`, `"`))
		}
	}
	slices.Sort(names)
	var b strings.Builder
	b.WriteString("\n| Figure | Labels | Meaning |\n| --- | --- | --- |\n")
	for _, n := range names {
		b.WriteString(rows[n])
	}
	return b.String() + "\n"
}

// labelNames lists the names of `a="1",b="2"` and `c,d`.
func labelNames(constant, variable string) string {
	var names []string
	for _, pair := range strings.Split(constant+","+variable, ",") {
		if name, _, _ := strings.Cut(pair, "="); name != "" {
			names = append(names, "`"+name+"`")
		}
	}
	return strings.Join(names, ", ")
}
