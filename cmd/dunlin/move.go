package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Configurations of other servers are translated into settings of this one, line by
// line, and then go the way of a file's. What has no counterpart is named.

// translation is what another server's configuration says in the words of this
// one.
type translation struct {
	server   []line
	apps     [][]line
	appSpots []Spot // of apps
	warnings []string
	bad      *mistakes
}

// line is a setting as it could stand in a file: its path, its value, and where
// that came from.
type line struct {
	path string
	at   Spot
	g    given
}

// foreign is a value of another server's configuration.
type foreign struct {
	node *yaml.Node
	at   Spot
}

// convert makes a value of this server's out of another's. It returns false for
// one that says nothing.
type convert func(n *yaml.Node) (given, bool, error)

// text is a value of one word.
func text(word string) (given, bool, error) { return typed(word, nil), true, nil }

// scalar is a node's text; null has none.
func scalar(n *yaml.Node) (string, bool) {
	return n.Value, n.Kind == yaml.ScalarNode && n.ShortTag() != "!!null"
}

// same takes a value as it is.
func same(n *yaml.Node) (given, bool, error) {
	if word, ok := scalar(n); ok {
		return text(word)
	}
	return given{node: n}, n.Kind != yaml.ScalarNode, nil
}

// nonempty is same, but what is empty says nothing.
func nonempty(n *yaml.Node) (given, bool, error) {
	g, ok, err := same(n)
	return g, ok && n.Value != "", err
}

// switched is true or false as databases and shells write it.
func switched(n *yaml.Node) (given, bool, error) {
	word, ok := scalar(n)
	switch strings.ToLower(word) {
	case "1", "on", "yes":
		word = "true"
	case "0", "off", "no", "":
		word = "false"
	}
	return typed(word, nil), ok, nil
}

// count is a limit of which less than 0 means none.
func count(n *yaml.Node) (given, bool, error) {
	word, ok := scalar(n)
	if strings.HasPrefix(word, "-") {
		word = "0"
	}
	return typed(word, nil), ok, nil
}

// scaled reads a number of something, of which one is that many of ours.
func scaled(what string, write func(float64) string) convert {
	return func(n *yaml.Node) (given, bool, error) {
		word, ok := scalar(n)
		if !ok {
			return given{}, false, nil
		}
		x, err := strconv.ParseFloat(word, 64)
		if err != nil || x < 0 || x > math.MaxInt32 {
			return given{}, false, errors.New("must be a number of " + what + ", not " + given{node: n}.describe())
		}
		return text(write(x))
	}
}

var (
	kilobytes    = scaled("kilobytes", func(x float64) string { return spellSize(int(x * kib)) })
	megabytes    = scaled("megabytes", func(x float64) string { return spellSize(int(x * mib)) })
	plainBytes   = scaled("bytes", func(x float64) string { return spellSize(int(x)) })
	seconds      = scaled("seconds", func(x float64) string { return spell(time.Duration(x * float64(time.Second))) })
	milliseconds = scaled("milliseconds", func(x float64) string { return spell(time.Duration(x * float64(time.Millisecond))) })
)

// set adds a setting of the server.
func (t *translation) set(path string, v foreign, c convert) {
	if g, ok := t.convert(v, c); ok {
		t.server = append(t.server, line{path, v.at, g})
	}
}

func (t *translation) convert(v foreign, c convert) (given, bool) {
	g, ok, err := c(v.node)
	if err != nil {
		t.bad.add(v.at, err.Error())
	}
	return g, ok && err == nil
}

func (t *translation) warn(at Spot, format string, args ...any) {
	t.warnings = append(t.warnings, at.String()+": "+fmt.Sprintf(format, args...))
}

// contents reads the lines as those of a file are read.
func (t *translation) contents() *contents {
	out := &contents{server: layer{}, spots: map[string]Spot{}, warnings: t.warnings}
	for _, l := range t.server {
		if v, ok := readLine(serverTable, l, t.bad); ok {
			out.server[l.path], out.spots[l.path] = v, l.at
		}
	}
	for i, lines := range t.apps {
		raw := rawApp{values: layer{}, spots: map[string]Spot{}}
		raw.absent = func(path string) Mistake { return Mistake{t.appSpots[i], path + " is missing"} }
		for _, l := range lines {
			raw.spots[l.path] = l.at
			if v, ok := readLine(appTable, l, t.bad); ok {
				raw.values[l.path] = v
			}
		}
		out.apps = append(out.apps, raw)
	}
	return out
}

func readLine[T any](table *table[T], l line, bad *mistakes) (any, bool) {
	v, err := table.byPath[l.path].read(l.g)
	var inside insideError
	switch {
	case errors.As(err, &inside):
		for _, m := range inside.list {
			bad.add(Spot{l.at.Source, cmp.Or(m.Line, l.at.Line), l.at.Setting + m.Setting}, m.Text)
		}
	case err != nil:
		bad.add(l.at, err.Error())
	}
	return v, err == nil
}

// replace puts a line in place of one for the same setting, or at the end.
func replace(lines []line, l line) []line {
	if i := slices.IndexFunc(lines, func(x line) bool { return x.path == l.path }); i >= 0 {
		lines[i] = l
		return lines
	}
	return append(lines, l)
}

// synonym is another server's name for a setting.
type synonym struct {
	name    string
	path    string
	convert convert
}

// appSynonyms are Soketi's names for the settings of an app. A file of this server
// may have them too, in camelCase or snake_case.
var appSynonyms = []synonym{
	{"maxConnections", "limits.connections", count},
	{"enableClientMessages", "client_events", switched},
	{"enableUserAuthentication", "authorized_connections", switched},
	{"maxBackendEventsPerSecond", "limits.backend_events_per_second", count},
	{"maxClientEventsPerSecond", "limits.client_events_per_second", count},
	{"maxReadRequestsPerSecond", "limits.read_requests_per_second", count},
	{"maxPresenceMembersPerChannel", "limits.presence_members", count},
	{"maxPresenceMemberSizeInKb", "limits.presence_member_bytes", kilobytes},
	{"maxChannelNameLength", "limits.channel_name_length", count},
	{"maxEventChannelsAtOnce", "limits.channels_per_event", count},
	{"maxEventNameLength", "limits.event_name_length", count},
	{"maxEventPayloadInKb", "limits.event_bytes", kilobytes},
	{"maxEventBatchSize", "limits.events_per_batch", count},
}

// findSynonym finds a name in either spelling.
func findSynonym(list []synonym, name string) *synonym {
	for i := range list {
		if list[i].name == name || snakeCase(list[i].name) == name {
			return &list[i]
		}
	}
	return nil
}

// snakeCase writes maxConnections as max_connections.
func snakeCase(camel string) string {
	var b strings.Builder
	for _, r := range camel {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}
