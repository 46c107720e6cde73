package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"dunlin/protocol"
)

func (c *cli) migrateCommand() *cobra.Command {
	var from, file string
	cmd := &cobra.Command{
		Use:   "migrate --from soketi|reverb",
		Short: "Print the apps.yaml that another server's configuration is equivalent to",
		Long: "Print the apps.yaml that another server's configuration is equivalent to. It is read from the\n" +
			"environment and, if one is named, from a file: Soketi's JSON, or a file of variables such as .env.\n" +
			"What has no counterpart is named on standard error. Secrets stand in what is printed.",
		Example: "  dunlin migrate --from soketi --config soketi.json > apps.yaml\n" +
			"  dunlin migrate --from reverb --config .env > apps.yaml",
		Args: cobra.NoArgs,
		RunE: does(func(*cobra.Command, []string) error { return c.migrate(from, file) }),
	}
	cmd.Flags().StringVar(&from, "from", "", "`SERVER` to come from: soketi or reverb")
	cmd.Flags().StringVarP(&file, "config", "c", "", "its configuration `FILE`")
	_ = cmd.MarkFlagRequired("from") // it exists
	return cmd
}

func (c *cli) migrate(from, file string) error {
	prefix := map[string]string{fromSoketi: soketiPrefix, fromReverb: reverbPrefix}[from]
	if prefix == "" {
		return fmt.Errorf("--from must be soketi or reverb, not %q", from)
	}
	var data []byte
	if file != "" {
		var err error
		if data, err = c.env.readFile(file); err != nil {
			return fmt.Errorf("reading the configuration: %w", err)
		}
	} else if len(c.env.theirs(prefix)) == 0 {
		return fmt.Errorf("no %s variable is set; name a file with --config", prefix)
	}
	bad := &mistakes{}
	t, err := sources{env: c.env}.translate(from, file, data, bad)
	if err != nil {
		return err
	}
	c.warn(append(t.warnings, t.references()...))
	collectApps(t.contents(), &environment{}, bad)
	if list := bad.sorted(file); len(list) > 0 {
		return list
	}
	return t.print(c.stdout, from)
}

// references warns of secrets that would be taken for a reference to one, which
// other servers do not have.
func (t *translation) references() (warnings []string) {
	for _, lines := range t.apps {
		for _, l := range lines {
			if word := l.g.node.Value; l.path == "secret" && (strings.HasPrefix(word, envPrefix) || strings.HasPrefix(word, filePrefix)) {
				warnings = append(warnings, l.at.String()+": begins like a reference; put the secret into a file of its own and write file:PATH")
			}
		}
	}
	return warnings
}

// print writes what differs from the defaults, as a file.
func (t *translation) print(w io.Writer, from string) error {
	root := &yaml.Node{Kind: yaml.MappingNode}
	for _, s := range serverTable.list {
		for _, l := range t.server {
			if l.path == s.path {
				enter(root, l.path, node(&s, l.g))
			}
		}
	}
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for _, lines := range t.apps {
		app := &yaml.Node{Kind: yaml.MappingNode}
		for _, s := range appTable.list {
			for _, l := range lines {
				if l.path == s.path {
					enter(app, l.path, node(&s, l.g))
				}
			}
		}
		list.Content = append(list.Content, app)
	}
	root.Content = append(root.Content, wordNode("apps"), list)
	if _, err := fmt.Fprintf(w, "# Made by dunlin migrate --from %s. Settings at their defaults are left out.\n", from); err != nil {
		return err
	}
	out := yaml.NewEncoder(w)
	out.SetIndent(2)
	return out.Encode(root)
}

// enter puts a value at a path, unless it is nil.
func enter(root *yaml.Node, path string, value *yaml.Node) {
	if value == nil {
		return
	}
	name, rest, nested := strings.Cut(path, ".")
	if !nested {
		root.Content = append(root.Content, wordNode(name), value)
		return
	}
	for i := 0; i < len(root.Content); i += 2 {
		if root.Content[i].Value == name {
			enter(root.Content[i+1], rest, value)
			return
		}
	}
	section := &yaml.Node{Kind: yaml.MappingNode}
	root.Content = append(root.Content, wordNode(name), section)
	enter(section, rest, value)
}

// node is a value as it stands in a file; nil when it is the default. Text is put
// in quotes where it would be taken for something else.
func node[T any](s *setting[T], g given) *yaml.Node {
	if v, err := s.read(g); err != nil || !s.needed && s.same(v, s.start) {
		return nil
	}
	if g.node.Kind != yaml.ScalarNode {
		return plainStyle(g.node)
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: g.node.Value}
	switch s.start.(type) {
	case string, *protocol.Secret, []string:
		n.Tag = "!!str"
	}
	return n
}

// plainStyle is a copy without JSON's brackets and quotes.
func plainStyle(n *yaml.Node) *yaml.Node {
	c := *n
	c.Style, c.Content = 0, nil
	for _, child := range n.Content {
		c.Content = append(c.Content, plainStyle(child))
	}
	return &c
}
