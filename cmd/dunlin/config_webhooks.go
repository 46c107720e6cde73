package main

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"dunlin/apps"
	"dunlin/protocol"
)

// endpointDraft is an endpoint of an app's webhooks while it is read. What is nil
// it has from its app.
type endpointDraft struct {
	apps.Webhook
	batching  *bool
	window    *time.Duration
	maxEvents *int
}

// webhook is the endpoint with what it has from its app.
func (d *endpointDraft) webhook(app *appDraft) apps.Webhook {
	w := d.Webhook
	w.Batch = apps.Batch{Events: 1}
	if or(d.batching, app.batching) {
		w.Batch = apps.Batch{Events: or(d.maxEvents, app.batch.Events), Window: or(d.window, app.batch.Window)}
	}
	return w
}

func or[V any](given *V, otherwise V) V {
	if given != nil {
		return *given
	}
	return otherwise
}

// What batching takes, of an app and of an endpoint.
var (
	batchWindow = duration(0, time.Minute)
	batchEvents = number(1, 200)
)

// endpointTable is the schema of an endpoint. It has no variables of its own: the
// whole list is one, DUNLIN_APP_WEBHOOKS, in YAML or JSON.
var endpointTable = newTable("", nil,
	set("url", webhookURL, "",
		"Where to post events. It may be given as a secret, and is shown without its query and `user:password@`.",
		func(d *endpointDraft) *string { return &d.URL }).required(),
	set("event_types", hookTypes, "all",
		"What it hears of: `channel_occupied`, `channel_vacated`, `member_added`, `member_removed`, `cache_miss`, `client_event`, `subscription_count`.",
		func(d *endpointDraft) *protocol.HookType { return &d.Types }),
	set("headers", headers, "{}",
		"Sent with every request. They replace none of the server's own.",
		func(d *endpointDraft) *[]apps.Header { return &d.Headers }),
	set("filter.channel_name_starts_with", anyText, `""`,
		"Only channels whose names begin like this.",
		func(d *endpointDraft) *string { return &d.Prefix }),
	set("filter.channel_name_ends_with", anyText, `""`,
		"Only channels whose names end like this.",
		func(d *endpointDraft) *string { return &d.Suffix }),
	set("batching.enabled", inherited(boolean), "",
		"In place of the app's `webhook_batching.enabled`.",
		func(d *endpointDraft) **bool { return &d.batching }),
	set("batching.window", inherited(batchWindow), "",
		"In place of the app's `webhook_batching.window`.",
		func(d *endpointDraft) **time.Duration { return &d.window }),
	set("batching.max_events", inherited(batchEvents), "",
		"In place of the app's `webhook_batching.max_events`.",
		func(d *endpointDraft) **int { return &d.maxEvents }),
	set("concurrency", number(1, 64), "1",
		"Requests that may be under way at once. The events of one channel keep their order in any case.",
		func(d *endpointDraft) *int { return &d.Flights }),
)

// endpoints is the list of an app's webhooks. What is wrong inside is reported
// line by line.
var endpoints = kind[[]endpointDraft]{
	values: "list",
	read: func(g given) ([]endpointDraft, error) {
		if g.text {
			var err error
			if g, err = g.parsed(); err != nil {
				return nil, err
			}
		}
		if g.empty() {
			return nil, nil
		}
		if g.node.Kind != yaml.SequenceNode {
			return nil, g.wrong("a list of endpoints")
		}
		r := &fileReader{lines: maxFile, secrets: g.secrets, bad: &mistakes{}}
		var list []endpointDraft
		urls := map[string]int{}
		for i, item := range g.node.Content {
			if w, ok := r.endpoint(fmt.Sprintf("[%d]", i), item, urls); ok {
				list = append(list, w)
			}
		}
		return list, r.bad.inside()
	},
	same: func(a, b []endpointDraft) bool { return len(a) == 0 && len(b) == 0 },
}

// parsed reads text, from a variable, as YAML, of which JSON is a part.
func (g given) parsed() (given, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(g.node.Value), &doc); err != nil || len(doc.Content) == 0 {
		return g, errors.New("must be a list of endpoints, in JSON or YAML")
	}
	g.text = false
	return g.at(doc.Content[0]), nil
}

// endpoint reads one endpoint. urls counts how often each URL was seen.
func (r *fileReader) endpoint(label string, item *yaml.Node, urls map[string]int) (d endpointDraft, ok bool) {
	values := layer{}
	before := len(r.bad.list)
	ok = r.fields(item, label, func(name string, key, val *yaml.Node) {
		readField(r, endpointTable, place{label: label + "."}, name, key, val, func(path string, _ Spot, v any, _ error) { values[path] = v })
	})
	for _, s := range endpointTable.list {
		if _, given := values[s.path]; ok && s.needed && !given {
			r.mistake(item.Line, label, s.path+" is missing")
		}
	}
	if len(r.bad.list) > before {
		return d, false
	}
	endpointTable.apply(&d, func(path string) (any, bool) {
		v, ok := values[path]
		return v, ok
	})
	urls[d.URL]++
	named := apps.NewWebhook(d.URL, urls[d.URL])
	d.ID, d.Shown = named.ID, named.Shown
	return d, true
}

// webhookURL never shows what was given: it may hold a password.
var webhookURL = plain("URL", func(g given) (string, error) {
	bad := errors.New("must be an http or https URL without a fragment, such as https://example.com/webhooks")
	word, ok := g.word()
	if !ok || word == "" {
		return "", bad
	}
	word, err := g.referred(word)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(word)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.Contains(word, "#") ||
		len(word) > 4096 || strings.ContainsFunc(word, func(r rune) bool { return unprintable(r) || r > 0x7e }) || !validPort(u.Port()) {
		return "", bad
	}
	return word, nil
})

func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && n > 0
}

// referred finds what a word stands for that may be env:NAME or file:PATH.
func (g given) referred(word string) (string, error) {
	if g.secrets == nil {
		return word, nil
	}
	return g.secrets(word)
}

// allTypes stands for every type of event, those of later versions too.
const allTypes = "all"

var hookTypes = plain("list, or all", func(g given) (types protocol.HookType, err error) {
	if word, ok := g.word(); ok && word == allTypes {
		return protocol.AllHooks, nil
	}
	items, ok := g.items()
	switch {
	case !ok:
		return 0, g.wrong("a list of event types, or all")
	case len(items) == 0:
		return 0, errors.New("must name at least one event type, or be all")
	}
	bad := &mistakes{}
	for _, item := range items {
		word, _ := item.word()
		t, ok := protocol.HookTypeOf(word)
		if !ok {
			text := item.describe() + " is no event type"
			if n := nearest(word, protocol.HookNames()); n != "" {
				text += "; did you mean " + n + "?"
			}
			bad.add(Spot{Line: item.node.Line}, text)
		}
		types |= t
	}
	return types, bad.inside()
})

// anyText may be empty.
var anyText = plain("text", func(g given) (string, error) {
	word, ok := g.word()
	if !ok {
		return "", g.wrong("text")
	}
	return word, nil
})

var headerName = regexp.MustCompile("\\A[A-Za-z0-9!#$%&'*+.^_`|~-]+\\z") // RFC 9110 §5.6.2

// ownHeader reports whether the server sets a header itself, and nobody else may.
func ownHeader(name string) bool {
	name = strings.ToLower(name)
	return strings.HasPrefix(name, "x-pusher-") || strings.HasPrefix(name, "x-dunlin-") ||
		slices.Contains([]string{"content-type", "content-length", "content-encoding", "transfer-encoding", "connection", "host", "expect",
			"te", "trailer", "upgrade", "keep-alive", "proxy-connection"}, name)
}

// headers is a mapping of names to values, which may be secrets and are never
// shown.
var headers = kind[[]apps.Header]{
	values: "mapping",
	read: func(g given) (list []apps.Header, err error) {
		bad := &mistakes{}
		r := &fileReader{lines: maxFile, secrets: g.secrets, bad: bad}
		seen := map[string]bool{}
		r.fields(g.node, "headers", func(name string, key, val *yaml.Node) {
			h, err := header(name, g.at(val))
			if folded := strings.ToLower(name); err == nil && seen[folded] {
				err = errors.New("given twice; the case of letters does not count")
			} else {
				seen[folded] = true
			}
			if err != nil {
				r.mistake(key.Line, "headers."+shorten(name), err.Error())
			}
			list = append(list, h)
		})
		for i := range bad.list { // the label is put before these again
			bad.list[i].Setting = strings.TrimPrefix(bad.list[i].Setting, "headers")
		}
		return list, bad.inside()
	},
	same: func(a, b []apps.Header) bool { return len(a) == 0 && len(b) == 0 },
}

func header(name string, value given) (apps.Header, error) {
	switch {
	case !headerName.MatchString(name):
		return apps.Header{}, errors.New("is no name of an HTTP header")
	case ownHeader(name):
		return apps.Header{}, errors.New("is set by the server and can not be replaced")
	}
	s, err := secret.read(value)
	if err != nil {
		return apps.Header{}, err
	}
	if strings.ContainsFunc(s.Reveal(), func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return apps.Header{}, errors.New("must not have line breaks or other control characters")
	}
	return apps.Header{Name: name, Value: s}, nil
}
