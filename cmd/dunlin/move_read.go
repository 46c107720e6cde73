package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/subosito/gotenv"
	"go.yaml.in/yaml/v3"
)

// Servers whose configurations are read.
const (
	fromSoketi = "soketi"
	fromReverb = "reverb"
)

// otherServer says whose variables surround the process, if not only ours; "" when
// nobody's do. That Reverb's clients are told of a host means nothing.
func (e *environment) otherServer() (string, error) {
	theirs, reverbs := e.theirs(soketiPrefix), e.theirs(reverbPrefix)
	switch {
	case len(theirs) > 0 && len(reverbs) > 0:
		return "", fmt.Errorf("%s and %s are both set: unset those of the server whose place this one does not take", theirs[0], reverbs[0])
	case len(theirs) > 0:
		return fromSoketi, nil
	case len(reverbs) > 0:
		return fromReverb, nil
	}
	return "", nil
}

// theirs lists the variables that begin like that and are for a server.
func (e *environment) theirs(prefix string) (names []string) {
	for name := range e.vars {
		if _, set := e.lookup(name); set && strings.HasPrefix(name, prefix) && !contains(reverbClients, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// unread warns of variables of other servers beside a file of ours.
func (e *environment) unread(file string) (warnings []string) {
	for _, prefix := range []string{soketiPrefix, reverbPrefix} {
		if names := e.theirs(prefix); len(names) > 0 {
			warnings = append(warnings, fmt.Sprintf("%s: not read, because the configuration is %s", strings.Join(names, ", "), file))
		}
	}
	return warnings
}

// foreignVars makes values of variables; text is JSON where it can be.
func foreignVars(vars map[string]string, at func(name string) Spot) map[string]foreign {
	out := map[string]foreign{}
	e := &environment{vars: vars}
	for name := range vars {
		if text, ok := e.lookup(name); ok {
			out[name] = foreign{wordNode(text), at(name)}
		}
	}
	return out
}

func inEnvironment(name string) Spot { return Spot{Source: name} }

// translateSoketi reads a JSON file, nil for none, and variables, which go before
// it.
func translateSoketi(name string, data []byte, vars map[string]foreign, bad *mistakes) *translation {
	s := &soketi{translation: &translation{bad: bad}, values: map[string]foreign{}}
	if data != nil {
		r := &fileReader{name: name, lines: lineAt(data, len(data)), bad: bad}
		if line, err := notJSON(data); err != nil { // YAML has more: what contains itself, for one
			r.mistake(line, "", "not JSON: "+err.Error())
		} else if doc := r.parse(data); doc != nil {
			s.flatten(r, doc.Content[0], "")
		}
	}
	for _, name := range sortedNames(vars) {
		if rest, ok := strings.CutPrefix(name, soketiPrefix); ok {
			s.variable(rest, vars[name])
		}
	}
	s.translate()
	return s.translation
}

// notJSON says why a text is no JSON, and on which line.
func notJSON(data []byte) (line int, err error) {
	var wrong *json.SyntaxError
	if err = json.Unmarshal(data, new(any)); errors.As(err, &wrong) {
		return lineAt(data, int(min(wrong.Offset, int64(len(data))))), err
	}
	return 1, err
}

// flatten notes every value of the file under its whole path. Names may have dots.
func (s *soketi) flatten(r *fileReader, n *yaml.Node, above string) {
	if n.Kind != yaml.MappingNode {
		r.mistake(n.Line, above, given{node: n}.wrong("a mapping of settings").Error())
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		path, val := join(above, n.Content[i].Value), target(n.Content[i+1])
		if val.Kind == yaml.MappingNode && findSoketi(path) == nil {
			s.flatten(r, val, path)
			continue
		}
		s.values[path] = foreign{val, r.spot(n.Content[i].Line, path)}
	}
}

// variable notes what stands behind SOKETI_ in a variable's name.
func (s *soketi) variable(name string, v foreign) {
	if known, ok := soketiOld[name]; ok {
		name = known
	}
	v.node = parsedJSON(v.node.Value)
	var names []string
	for _, n := range soketiNames {
		if n.env == name {
			if n.path == "" {
				s.warn(v.at, "has no effect: %s", n.moot)
			} else {
				s.values[n.path] = v
			}
			return
		}
		names = append(names, n.env)
	}
	for _, f := range soketiFamilies {
		if strings.HasPrefix(name, f.env) {
			s.warn(v.at, "has no effect: %s", f.moot)
			return
		}
	}
	text := "no such setting of Soketi"
	if n := nearest(name, names); n != "" {
		text += "; did you mean " + soketiPrefix + n + "?"
	}
	s.warn(v.at, "%s", text)
}

// isSoketi reports whether a file is a configuration of Soketi: JSON with one of
// its names at the top, and none that only this server has.
func isSoketi(data []byte) bool {
	var doc yaml.Node
	if text := bytes.TrimSpace(data); len(text) == 0 || text[0] != '{' || yaml.Unmarshal(data, &doc) != nil || len(doc.Content) == 0 {
		return false
	}
	found := false
	for i, n := range doc.Content[0].Content {
		top, _, _ := strings.Cut(n.Value, ".")
		switch {
		case i%2 == 1:
		case contains([]string{"server", "ops", "engine", "log", "apps"}, top):
			return false
		case soketiTops[top]:
			found = true
		}
	}
	return found
}

// soketiTops are the names at the top of Soketi's file.
var soketiTops = func() map[string]bool {
	tops := map[string]bool{}
	for _, n := range slices.Concat(soketiNames, soketiFamilies) {
		top, _, _ := strings.Cut(n.path, ".")
		tops[top] = true
	}
	delete(tops, "")
	return tops
}()

var envLine = regexp.MustCompile(`(?m)^[ \t]*(?:export[ \t]+)?((?:SOKETI|REVERB)_[A-Z0-9_]+)[ \t]*=`)

// isEnvFile reports whether a file sets variables of another server.
func isEnvFile(data []byte) bool { return envLine.Match(data) }

// readEnvFile reads a file of variables. Those of the process go before it, as
// everywhere.
func readEnvFile(name string, data []byte, env *environment) (*environment, map[string]foreign, error) {
	file, err := gotenv.StrictParse(bytes.NewReader(data))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	lines := map[string]int{}
	for _, m := range envLine.FindAllSubmatchIndex(data, -1) {
		lines[string(data[m[2]:m[3]])] = lineAt(data, m[2])
	}
	vars := foreignVars(file, func(v string) Spot { return Spot{name, lines[v], v} })
	maps.Copy(vars, foreignVars(env.vars, inEnvironment))
	both := maps.Clone(map[string]string(file))
	maps.Copy(both, env.vars)
	return &environment{vars: both}, vars, nil
}

// translate reads whatever another server's configuration stands in: the file
// name, whose text is data, and the environment. With from "" what is found decides
// whose it is.
func (src sources) translate(from, name string, data []byte, bad *mistakes) (*translation, error) {
	env, vars := src.env, foreignVars(src.env.vars, inEnvironment)
	var file []byte
	switch {
	case name != "" && isEnvFile(data):
		var err error
		if env, vars, err = readEnvFile(name, data, src.env); err != nil {
			return nil, err
		}
	case name != "" && from == fromReverb:
		return nil, fmt.Errorf("%s: no REVERB_ variable is set in it; Reverb's settings stand in a file such as .env", name)
	case name != "":
		file, from = data, fromSoketi
	}
	if from == "" {
		var err error
		if from, err = env.otherServer(); err != nil {
			return nil, err
		}
	}
	if from == fromReverb {
		return translateReverb(vars, bad), nil
	}
	return translateSoketi(name, file, vars, bad), nil
}

func sortedNames(m map[string]foreign) []string { return slices.Sorted(maps.Keys(m)) }

func contains(list []string, s string) bool { return slices.Contains(list, s) }
