package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// defaultApp is what Soketi serves when it is told of no app.
var defaultApp = map[string]string{"id": "app-id", "key": "app-key", "secret": "app-secret"}

// makeApps makes the apps: those of the file, of which variables change the first,
// or the one of the variables.
func (s *soketi) makeApps() {
	list := s.value(appsPath)
	if node := unpacked(list.node); node.Kind == yaml.SequenceNode && len(node.Content) > 0 {
		for i, item := range node.Content {
			label := fmt.Sprintf("%s[%d]", appsPath, i)
			if list.at.Line == 0 {
				label = ""
			}
			s.makeApp(i, list.at, label, target(item))
		}
		return
	}
	s.makeApp(0, Spot{Source: "Soketi's default"}, "", &yaml.Node{Kind: yaml.MappingNode})
	for _, name := range []string{"id", "key", "secret"} {
		if _, given := s.values[firstApp+name]; !given {
			at := Spot{Source: "Soketi's default"}
			s.apps[0] = replace(s.apps[0], line{name, at, typed(defaultApp[name], nil)})
		}
	}
}

// roomForEvents has a client's message be large enough for the largest event, whose
// data may grow to several times its size in JSON.
func (s *soketi) roomForEvents() {
	most := 0
	for _, lines := range s.apps {
		for _, l := range lines {
			if n, err := parseSize(l.g, nil); err == nil && l.path == "limits.event_bytes" {
				most = max(most, n)
			}
		}
	}
	s.set("server.max_message_bytes", foreign{wordNode(spellSize(max(100*kib, 4*most))), Spot{Source: "the size of events"}}, same)
}

// makeApp adds an app: what all have, what item says, and of the first what
// variables say.
func (s *soketi) makeApp(i int, at Spot, label string, item *yaml.Node) {
	if at.Line > 0 {
		at = Spot{at.Source, item.Line, label}
	}
	lines := append([]line(nil), s.allApps...)
	add := func(name string, v foreign) {
		if l, ok := s.appLine(name, v); ok {
			lines = replace(lines, l)
		}
	}
	if item.Kind != yaml.MappingNode {
		s.bad.add(at, given{node: item}.wrong("a mapping of settings").Error())
	}
	eachField(item, func(name string, val *yaml.Node) {
		where := at
		if at.Line > 0 {
			where = Spot{at.Source, val.Line, label + "." + name}
		}
		add(name, foreign{val, where})
	})
	if i == 0 {
		for _, n := range soketiNames {
			if v, given := s.values[n.path]; given && len(n.path) > len(firstApp) && n.path[:len(firstApp)] == firstApp {
				add(n.path[len(firstApp):], v)
			}
		}
	}
	s.apps, s.appSpots = append(s.apps, lines), append(s.appSpots, at)
}

// appLine translates one setting of an app.
func (s *soketi) appLine(name string, v foreign) (line, bool) {
	path, c := name, same
	switch syn := findSynonym(appSynonyms, name); {
	case syn != nil:
		path, c = syn.path, syn.convert
	case name == "webhooks":
		c = s.hooks
	case name == "enabled":
		c = switched
	case name != "id" && name != "key" && name != "secret":
		s.warn(v.at, "no such setting of an app of Soketi's")
		return line{}, false
	}
	g, ok := s.convert(v, c)
	return line{path, v.at, g}, ok
}

// hooks translates endpoints. They batch where Soketi does.
func (s *soketi) hooks(n *yaml.Node) (given, bool, error) {
	n = unpacked(n)
	if n.Kind != yaml.SequenceNode {
		_, ok := scalar(n)
		return given{node: n}, ok && n.Value != "", nil
	}
	list := &yaml.Node{Kind: yaml.SequenceNode, Line: n.Line}
	for i, item := range n.Content {
		hook := &yaml.Node{Kind: yaml.MappingNode, Line: item.Line}
		item = target(item)
		for j := 0; j+1 < len(item.Content) && item.Kind == yaml.MappingNode; j += 2 {
			switch name := item.Content[j].Value; {
			case name == "lambda_function" || name == "lambda":
				return given{}, false, fmt.Errorf("[%d]: %s is not supported by this version; webhooks go to a url", i, name)
			default:
				hook.Content = append(hook.Content, item.Content[j], item.Content[j+1])
			}
		}
		dropNulls(hook)
		hook.Content = append(hook.Content, wordNode("batching"), s.batching(item.Line))
		list.Content = append(list.Content, hook)
	}
	return given{node: list}, true, nil
}

// dropNulls takes away what says nothing.
func dropNulls(n *yaml.Node) {
	for i := len(n.Content) - 2; i >= 0 && n.Kind == yaml.MappingNode; i -= 2 {
		if val := n.Content[i+1]; val.ShortTag() == "!!null" {
			n.Content = slices.Delete(n.Content, i, i+2)
		} else {
			dropNulls(val)
		}
	}
}

func (s *soketi) batching(line int) *yaml.Node {
	enabled, ok, _ := switched(s.value("webhooks.batching.enabled").node)
	on := ok && enabled.node.Value == "true"
	b := &yaml.Node{Kind: yaml.MappingNode, Line: line, Content: []*yaml.Node{
		wordNode("enabled"), {Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(on)},
	}}
	if window, ok := s.convert(s.value("webhooks.batching.duration"), milliseconds); ok && on {
		b.Content = append(b.Content, wordNode("window"), window.node)
	}
	return b
}

// unpacked is the value that a text holds in JSON, else the node itself.
func unpacked(n *yaml.Node) *yaml.Node {
	if word, ok := scalar(n); ok && (len(word) > 0 && word[0] == '[') {
		return parsedJSON(word)
	}
	return n
}

// parsedJSON reads a variable as Soketi does: as JSON, or else as it stands.
func parsedJSON(text string) *yaml.Node {
	var doc yaml.Node
	if json.Valid([]byte(text)) && yaml.Unmarshal([]byte(text), &doc) == nil && len(doc.Content) > 0 {
		return lineless(doc.Content[0])
	}
	return wordNode(text)
}

// lineless takes away the lines of a node: those of a variable's text are no lines
// of a file.
func lineless(n *yaml.Node) *yaml.Node {
	n.Line = 0
	for _, child := range n.Content {
		lineless(child)
	}
	return n
}
