package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// contents is what a configuration file says, as far as it is right.
type contents struct {
	server layer
	spots  map[string]Spot // of server
	apps   []rawApp
	noApps *Spot // where apps should have been; nil when they stand there, or nobody can tell

	warnings []string
}

// fileReader reads one file as a tree, since only the tree knows lines.
type fileReader struct {
	name    string
	lines   int
	secrets func(string) (string, error)
	bad     *mistakes
}

// readConfigFile reads a file's text; what is wrong goes to bad.
func readConfigFile(name string, data []byte, env *environment, bad *mistakes) *contents {
	r := &fileReader{name: name, lines: lineAt(data, len(data)), secrets: env.secretsFrom(filepath.Dir(name)), bad: bad}
	out := &contents{server: layer{}, spots: map[string]Spot{}}
	if doc := r.parse(data); doc != nil {
		r.top(doc.Content[0], out)
	}
	return out
}

// parse returns the document node, or nil.
func (r *fileReader) parse(data []byte) *yaml.Node {
	var doc, next yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(data))
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		r.mistake(1, "", "the file is empty")
		return nil
	case err != nil:
		r.syntax(err, data)
		return nil
	}
	switch err := d.Decode(&next); {
	case err == nil:
		r.mistake(next.Line, "", "a second document begins here; the file must have only one")
	case !errors.Is(err, io.EOF):
		r.syntax(err, data)
	}
	return &doc
}

func (r *fileReader) syntax(err error, data []byte) {
	r.mistake(syntaxLine(err, data), "", "not YAML: "+yamlLine.ReplaceAllString(err.Error(), ""))
}

func (r *fileReader) top(root *yaml.Node, out *contents) {
	none := r.spot(root.Line, "apps")
	empty := true
	ok := r.fields(root, "", func(name string, key, val *yaml.Node) {
		if name == "apps" {
			none.Line = key.Line
			empty = r.apps(val, out)
			return
		}
		readField(r, serverTable, place{}, name, key, val, func(path string, at Spot, v any, err error) {
			if err == nil {
				out.server[path], out.spots[path] = v, at
			}
		})
	})
	if ok && empty {
		out.noApps = &none
	}
}

// apps reads the list of apps and reports whether it is empty.
func (r *fileReader) apps(list *yaml.Node, out *contents) bool {
	line := list.Line
	list = target(list)
	if g := (given{node: list}); g.empty() {
		return true
	} else if list.Kind != yaml.SequenceNode {
		r.mistake(line, "apps", g.wrong("a list of apps").Error())
		return false
	}
	for i, item := range list.Content {
		if raw, ok := r.app(fmt.Sprintf("apps[%d]", i), item); ok {
			out.apps = append(out.apps, raw)
		}
	}
	return false
}

func (r *fileReader) app(label string, item *yaml.Node) (raw rawApp, ok bool) {
	raw = rawApp{values: layer{}, spots: map[string]Spot{}}
	raw.absent = func(path string) Mistake {
		return Mistake{r.spot(item.Line, label), path + " is missing"}
	}
	ok = r.fields(item, label, func(name string, key, val *yaml.Node) {
		readField(r, appTable, place{label: label + "."}, name, key, val, func(path string, at Spot, v any, err error) {
			if first, twice := raw.spots[path]; twice {
				r.bad.add(at, "is the same setting as "+first.String())
			}
			raw.spots[path] = at
			if err == nil {
				raw.values[path] = v
			}
		})
	})
	return raw, ok
}

// place is where in a file a name stands: label says whose settings these are
// ("apps[0]."), section which of them ("limits").
type place struct{ label, section string }

// readField reads what stands under one name: a setting, which goes to found, or a
// section of settings.
func readField[T any](r *fileReader, t *table[T], in place, name string, key, val *yaml.Node,
	found func(path string, at Spot, v any, err error)) {
	path := join(in.section, name)
	if s := t.byPath[path]; s != nil {
		at := r.spot(key.Line, in.label+path)
		v, err := s.read(given{node: target(val), secrets: r.secrets})
		r.wrong(at, err)
		found(path, at, v, err)
		return
	}
	if t.sections[path] != nil {
		in.section = path
		r.fields(val, in.label+path, func(name string, key, val *yaml.Node) {
			readField(r, t, in, name, key, val, found)
		})
		return
	}
	if syn := findSynonym(t.synonyms, name); syn != nil && in.section == "" {
		readSynonym(r, t, syn, r.spot(key.Line, in.label+name), target(val), found)
		return
	}
	text := "no such setting"
	if s := t.suggest(in.section, name); s != "" {
		text += "; did you mean " + s + "?"
	}
	r.mistake(key.Line, in.label+shorten(path), text)
}

// readSynonym reads a setting that has another server's name.
func readSynonym[T any](r *fileReader, t *table[T], syn *synonym, at Spot, val *yaml.Node,
	found func(path string, at Spot, v any, err error)) {
	g, given, err := syn.convert(val)
	if !given && err == nil {
		return
	}
	var v any
	if err == nil {
		v, err = t.byPath[syn.path].read(g)
	}
	r.wrong(at, err)
	found(syn.path, at, v, err)
}

// fields calls each for every name of a mapping, and reports whether it is one.
// Nothing at all is an empty mapping: somebody commented its lines out.
func (r *fileReader) fields(n *yaml.Node, label string, each func(name string, key, val *yaml.Node)) bool {
	line := n.Line
	n = target(n)
	if g := (given{node: n}); n.Kind != yaml.MappingNode {
		if g.tag() == "!!null" && label != "" {
			return true
		}
		r.mistake(line, label, g.wrong("a mapping of settings").Error())
		return false
	}
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		name, ok := given{node: target(key)}.word()
		switch {
		case key.ShortTag() == "!!merge":
			r.mistake(key.Line, label, "merging with << is not supported; write the settings out")
		case !ok || name == "":
			r.mistake(key.Line, label, "the name of a setting must be plain text")
		case strings.Contains(name, "."):
			r.mistake(key.Line, label, fmt.Sprintf("%q is a name with a dot; write each part as a mapping of its own", shorten(name)))
		case first[name] > 0:
			r.mistake(key.Line, strings.TrimPrefix(label+"."+shorten(name), "."),
				fmt.Sprintf("given twice; first on line %d", first[name]))
		default:
			first[name] = key.Line
			each(name, key, val)
		}
	}
	return true
}

// wrong notes what is wrong with a value, if anything: in its place, or each thing
// inside of it in a place of its own.
func (r *fileReader) wrong(at Spot, err error) {
	var inside insideError
	switch {
	case errors.As(err, &inside):
		for _, m := range inside.list {
			r.mistake(m.Line, at.Setting+m.Setting, m.Text)
		}
	case err != nil:
		r.bad.add(at, err.Error())
	}
}

func (r *fileReader) mistake(line int, setting, text string) {
	r.bad.add(r.spot(line, setting), text)
}

// spot is a place in the file. The library counts on past the end at times.
func (r *fileReader) spot(line int, setting string) Spot {
	return Spot{r.name, min(line, r.lines), setting}
}
