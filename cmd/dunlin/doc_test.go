package main

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	docFile     = "../../docs/configuration.md"
	exampleFile = "../../apps.yaml"
	docBegin    = "<!-- settings: begin, made from the schema; go test ./cmd/dunlin -update -->\n"
	docEnd      = "<!-- settings: end -->\n"
)

// TestDocumentation compares the settings in docs/configuration.md with the schema.
func TestDocumentation(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(docFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(data), docBegin)
	_, after, ok2 := strings.Cut(rest, docEnd)
	if !ok1 || !ok2 {
		t.Fatalf("%s: no place for the settings", docFile)
	}
	golden(t, docFile, before+docBegin+document()+docEnd+after)
}

// document writes both tables as Markdown.
func document() string {
	var b strings.Builder
	section := ""
	for _, s := range serverTable.list {
		if name, _, _ := strings.Cut(s.path, "."); name != section {
			section = name
			heading(&b, "`"+section+"`")
		}
		row(&b, s)
	}
	heading(&b, "Each app in `apps`")
	for _, s := range appTable.list {
		row(&b, s)
	}
	heading(&b, "Each endpoint in an app's `webhooks`")
	for _, s := range endpointTable.list {
		row(&b, s)
	}
	b.WriteByte('\n')
	return b.String()
}

func heading(b *strings.Builder, title string) {
	fmt.Fprintf(b, "\n### %s\n\n| Setting | Default | Environment | Values | Meaning |\n| --- | --- | --- | --- | --- |\n", title)
}

func row[T any](b *strings.Builder, s setting[T]) {
	def, env := "`"+s.def+"`", ""
	if len(s.env) > 0 {
		env = "`" + strings.Join(s.env, "`, `") + "`"
	}
	switch {
	case s.needed:
		def = "*required*"
	case s.def == "":
		def = ""
	}
	if s.flag != "" {
		env += ", `--" + s.flag + "`"
	}
	fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", s.path, def, env, s.values, s.doc)
}

// TestExample holds apps.yaml to its promise: it is right, it shows every setting
// with a comment, and it shows the defaults.
func TestExample(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	env, bad := newEnvironment(nil), &mistakes{}
	file := readConfigFile("apps.yaml", data, env, bad)
	if len(bad.list) > 0 || len(file.apps) != 2 {
		t.Fatalf("%d apps; %v", len(file.apps), bad.list)
	}
	showsDefaults(t, serverTable, file.server, nil)
	shown := layer{}
	for _, a := range slices.Backward(file.apps) {
		for path, v := range a.values {
			shown[path] = v
		}
	}
	showsDefaults(t, appTable, shown, []string{"id", "key", "secret", "secrets", "client_events"})

	showsDefaults(t, endpointTable, shownEndpoint(t, data), []string{"url", "headers", "batching.enabled", "batching.window", "batching.max_events"})

	first := file.apps[0].app()
	if first.ID != "app-id" || first.Key != "app-key" || revealed(first.Secrets) != "app-secret" || !first.ClientEvents {
		t.Errorf("first app: %+v", first)
	}
	for _, a := range file.apps {
		for _, s := range a.app().Secrets {
			if !slices.Contains(exampleSecrets, s.Reveal()) {
				t.Errorf("nobody is warned of the secret %q", s.Reveal())
			}
		}
	}
}

// shownEndpoint reads the endpoint that apps.yaml shows in comments behind the
// line of webhooks, so that nobody is told anything before he wants it.
func shownEndpoint(t *testing.T, data []byte) layer {
	t.Helper()
	_, rest, _ := strings.Cut(string(data), "\n    webhooks: []")
	var lines []string
	for line := range strings.SplitSeq(rest, "\n") {
		if text, ok := strings.CutPrefix(line, "    # "); ok {
			lines = append(lines, text)
		} else if len(lines) > 0 {
			break
		}
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(strings.Join(lines, "\n")), &doc); err != nil || len(doc.Content) == 0 {
		t.Fatalf("no endpoint in %q: %v", lines, err)
	}
	bad := &mistakes{}
	r := &fileReader{lines: len(lines), bad: bad}
	shown := layer{}
	r.fields(doc.Content[0].Content[0], "webhooks", func(name string, key, val *yaml.Node) {
		readField(r, endpointTable, place{}, name, key, val, func(path string, _ Spot, v any, _ error) { shown[path] = v })
	})
	if len(bad.list) > 0 {
		t.Fatal(bad.list)
	}
	return shown
}

func showsDefaults[T any](t *testing.T, schema *table[T], shown layer, except []string) {
	t.Helper()
	for _, s := range schema.list {
		v, ok := shown[s.path]
		switch {
		case !ok:
			t.Errorf("%s is not shown", s.path)
		case !slices.Contains(except, s.path) && !s.same(v, s.start):
			t.Errorf("%s is shown as %v; its default is %v", s.path, v, s.start)
		}
	}
}

// TestExampleComments wants a word on every line that has a value.
func TestExampleComments(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	second := 0
	eachPair(doc.Content[0], func(key, val *yaml.Node) {
		if key.Value == "id" {
			second++
		}
		if val.Kind != yaml.MappingNode && key.Value != "apps" && second < 2 && val.LineComment == "" && key.LineComment == "" {
			t.Errorf("apps.yaml:%d: %s has no comment", key.Line, key.Value)
		}
	})
}

func eachPair(n *yaml.Node, visit func(key, val *yaml.Node)) {
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			visit(c, n.Content[i+1])
		}
		eachPair(c, visit)
	}
}

// TestSchemaIsWhole guards against a setting that writes where another does, and
// one that is declared but writes nowhere.
func TestSchemaIsWhole(t *testing.T) {
	t.Parallel()
	var cfg Config
	seen := map[string]bool{}
	for _, s := range serverTable.list {
		if s.doc == "" || seen[s.path] {
			t.Errorf("%s: no meaning, or twice", s.path)
		}
		seen[s.path] = true
		s.put(&cfg, s.start)
	}
	// Every field but these has a setting with a default other than its zero value,
	// or is meant to be zero.
	zero := []string{"File", "Apps", "Warnings", "settings"}
	v := reflect.ValueOf(cfg)
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; v.Field(i).IsZero() != slices.Contains(zero, name) {
			t.Errorf("%s: %+v", name, v.Field(i))
		}
	}
}
