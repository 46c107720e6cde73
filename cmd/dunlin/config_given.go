package main

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// given is what somebody wrote for a setting.
type given struct {
	node *yaml.Node
	text bool // from the environment or a flag: has no types, and lists part at commas
	// secrets finds what a secret refers to; nil in defaults, which refer to nothing.
	secrets func(reference string) (text string, err error)
}

// typed makes a value of text from the environment or a flag.
func typed(text string, secrets func(string) (string, error)) given {
	return given{node: &yaml.Node{Kind: yaml.ScalarNode, Value: strings.TrimSpace(text)}, text: true, secrets: secrets}
}

// at is the same source's other value.
func (g given) at(n *yaml.Node) given {
	g.node = target(n)
	return g
}

// target follows an alias. There are no aliases of aliases.
func target(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// tag is the YAML type; lists, mappings and unknown tags have none.
func (g given) tag() string {
	if g.node.Kind != yaml.ScalarNode {
		return ""
	}
	switch tag := g.node.ShortTag(); tag {
	case "!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp":
		return tag
	}
	return ""
}

// is reports whether the value may be taken for this type.
func (g given) is(tag string) bool { return g.text || g.tag() == tag }

// word returns a scalar that can be taken for text: numbers and dates too, since
// nobody puts quotes around an id of digits.
func (g given) word() (string, bool) {
	switch g.tag() {
	case "!!str", "!!int", "!!float", "!!timestamp":
		return g.node.Value, true
	}
	return g.node.Value, g.text
}

// items returns the elements of a list. Text is a list parted at commas.
func (g given) items() ([]given, bool) {
	var list []given
	if g.text {
		for part := range strings.SplitSeq(g.node.Value, ",") {
			list = append(list, typed(part, g.secrets))
		}
		return list, true
	}
	if g.node.Kind != yaml.SequenceNode {
		return nil, false
	}
	for _, n := range g.node.Content {
		list = append(list, g.at(n))
	}
	return list, true
}

// empty reports whether there is nothing in it.
func (g given) empty() bool {
	switch g.node.Kind {
	case yaml.SequenceNode, yaml.MappingNode:
		return len(g.node.Content) == 0
	}
	return g.tag() == "!!null" || g.node.Value == ""
}

// wrong is the mistake of a value that is not what it must be.
func (g given) wrong(want string) error {
	return fmt.Errorf("must be %s, not %s", want, g.describe())
}

func (g given) describe() string {
	switch n := g.node; {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case g.text && n.Value == "", g.tag() == "!!str" && n.Value == "":
		return "empty"
	case g.text || g.tag() == "!!str" && n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0:
		return fmt.Sprintf("%q", shorten(n.Value))
	case g.tag() == "!!str":
		return fmt.Sprintf("%q in quotes", shorten(n.Value))
	case g.tag() == "!!null":
		return "nothing"
	case g.tag() == "":
		return fmt.Sprintf("a value with the tag %s", shorten(n.Tag))
	default:
		return shorten(n.Value)
	}
}

// shorten keeps a message on one line of a terminal.
func shorten(s string) string {
	const most = 60
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "…"
}
