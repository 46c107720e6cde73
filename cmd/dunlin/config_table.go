package main

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// setting is one line of the schema. T is what it is a setting of.
type setting[T any] struct {
	path   string // "server.port"
	values string // what it takes, for the documentation
	def    string // default, as it is written in YAML
	doc    string // meaning, one line
	env    []string
	flag   string // "": it has none
	needed bool   // has no default
	live   bool   // a reload changes it in a running server

	start any // default; the zero value when def is ""
	read  func(given) (any, error)
	same  func(a, b any) bool
	put   func(*T, any)
}

// set declares a setting: its path, what it takes, its default, its meaning and
// where its value goes.
func set[T, V any](path string, k kind[V], def, doc string, at func(*T) *V) setting[T] {
	return setting[T]{
		path: path, values: k.values, def: def, doc: doc,
		start: *new(V),
		read:  func(g given) (any, error) { return k.read(g) },
		same:  func(a, b any) bool { return k.same(a.(V), b.(V)) },
		put:   func(dst *T, v any) { *at(dst) = v.(V) },
	}
}

// required marks a setting that must be given.
func (s setting[T]) required() setting[T] {
	s.needed = true
	return s
}

// reloaded marks a setting that a running server follows.
func (s setting[T]) reloaded() setting[T] {
	s.live = true
	return s
}

// short gives a setting a second environment variable and a flag.
func (s setting[T]) short(env, flag string) setting[T] {
	s.env, s.flag = append(s.env, env), flag
	return s
}

// parseDefault sets start to what def says; the table itself is wrong otherwise.
func (s *setting[T]) parseDefault() {
	if s.def == "" {
		return
	}
	var doc yaml.Node
	err := yaml.Unmarshal([]byte(s.def), &doc)
	if err == nil {
		s.start, err = s.read(given{node: doc.Content[0]})
	}
	if err != nil {
		panic(fmt.Sprintf("the default of %s: %v", s.path, err))
	}
}

// table is a schema: all settings of something.
type table[T any] struct {
	list     []setting[T]
	byPath   map[string]*setting[T]
	sections map[string][]string // section's path → names in it; "" is the top
	synonyms []synonym           // other names, at the top
}

// newTable makes a schema. extra are names at the top that are read elsewhere. With
// an empty envPrefix its settings have no variables.
func newTable[T any](envPrefix string, extra []string, list ...setting[T]) *table[T] {
	t := &table[T]{list: list, byPath: map[string]*setting[T]{}, sections: map[string][]string{"": extra}}
	for i := range list {
		s := &list[i]
		if envPrefix != "" {
			s.env = append([]string{envPrefix + strings.ToUpper(strings.ReplaceAll(s.path, ".", "_"))}, s.env...)
		}
		s.parseDefault()
		t.byPath[s.path] = s
		t.enter(s.path)
	}
	return t
}

// known gives the table's settings other names.
func (t *table[T]) known(list []synonym) *table[T] {
	t.synonyms = list
	return t
}

func (t *table[T]) enter(path string) {
	parent, name := "", path
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		parent, name = path[:i], path[i+1:]
		if t.sections[parent] == nil {
			t.enter(parent)
		}
	}
	if !slices.Contains(t.sections[parent], name) {
		t.sections[parent] = append(t.sections[parent], name)
	}
}

// suggest returns what may have been meant by a name that is none, or "": a name
// like it in the same section, else the same name in another.
func (t *table[T]) suggest(section, name string) string {
	if n := nearest(name, t.sections[section]); n != "" {
		return join(section, n)
	}
	for i := range t.list {
		if strings.HasSuffix(t.list[i].path, "."+name) {
			return t.list[i].path
		}
	}
	return ""
}

// apply writes every setting: what get has of it, else its default.
func (t *table[T]) apply(dst *T, get func(path string) (any, bool)) {
	for i := range t.list {
		s := &t.list[i]
		v, ok := get(s.path)
		if !ok {
			v = s.start
		}
		s.put(dst, v)
	}
}

func join(section, name string) string {
	if section == "" {
		return name
	}
	return section + "." + name
}
