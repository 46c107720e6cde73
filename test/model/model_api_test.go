package model

import (
	"encoding/json"
	"net/url"
	"strings"
)

// rawJSON is JSON as a value.
func rawJSON(text string) (v any) {
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return err.Error() // of JSON made in this package
	}
	return v
}

// call predicts the answer of the API to a backend's op.
func (m *model) call(p *prediction, o op) {
	p.status = 200
	switch o.verb {
	case "publish":
		m.publish(p, o)
	case "batch":
		m.batch(p, o)
	case "list":
		m.list(p, o)
	case "look":
		m.look(p, o)
	case "users":
		m.users(p, o)
	case "terminate":
		m.terminate(p, o.user)
	}
}

func (p *prediction) refuse(text string) { p.status, p.text = 400, text }

// eventName is what a backend calls an event.
func (o op) eventName() string {
	if o.how == "reserved" {
		return "pusher:e"
	}
	return "e"
}

// targets are the channels that an op publishes to, repeats included.
func (o op) targets() []string { return strings.Split(o.ch, ",") }

// lonely reports that a channel may not be published to together with others
// (PROTOCOL 2.55).
func (o op) lonely() bool {
	for _, ch := range o.targets() {
		if k := kindOf(ch); len(o.targets()) > 1 && (k.encrypted || k.own) {
			return true
		}
	}
	return false
}

// refusedEvent expects the answer to an event that may not be published.
func (p *prediction) refusedEvent(o op) bool {
	bad := o.how == "reserved"
	for _, ch := range o.targets() {
		bad = bad || badName(ch)
	}
	if bad {
		p.refuse("")
	}
	return bad
}

func (m *model) publish(p *prediction, o op) {
	if o.lonely() {
		p.refuse("")
	}
	if p.refusedEvent(o) || p.status != 200 {
		return
	}
	counts := map[string]any{}
	for _, ch := range unique(o.targets()) {
		ch = fullName(m.round, ch)
		m.deliver(p, ch, frame{event: o.eventName(), channel: ch, data: o.eventData(0)}, o.skip)
		counts[ch] = m.counts(ch, o.ask)
	}
	p.body = map[string]any{}
	if o.ask != "" {
		p.body = map[string]any{"channels": counts}
	}
}

// deliver expects an event at all but one in a channel (PROTOCOL 5.21, 5.22), and
// keeps it where it is to be kept (2.40, 2.45).
func (m *model) deliver(p *prediction, ch string, f frame, skip string) {
	for _, s := range m.in(ch) {
		if s.client != skip {
			p.expect(s, f)
		}
	}
	if r := m.room(ch); r.kind.cache {
		r.last = &f
	}
}

// counts is what was asked about a channel that was published to (PROTOCOL 5.24).
func (m *model) counts(ch, ask string) map[string]any {
	c := map[string]any{}
	for _, what := range list(ask) {
		switch {
		case what == "subscription_count":
			c[what] = float64(len(m.in(ch)))
		case what == "user_count" && m.room(ch).kind.presence:
			c[what] = float64(len(m.room(ch).members))
		}
	}
	return c
}

// batch publishes an event to each channel, of which every second one asks.
func (m *model) batch(p *prediction, o op) {
	if p.refusedEvent(o) {
		return
	}
	var counts []any
	for i, ch := range o.targets() {
		ch = fullName(m.round, ch)
		m.deliver(p, ch, frame{event: o.eventName(), channel: ch, data: o.eventData(i)}, o.skip)
		counts = append(counts, m.counts(ch, o.batchAsk(i)))
	}
	p.body = map[string]any{}
	if o.ask != "" {
		p.body = map[string]any{"batch": counts}
	}
}

func (o op) batchAsk(i int) string {
	if i%2 == 0 {
		return o.ask
	}
	return ""
}

// listing takes apart what a list op asks: a prefix and attributes.
func (o op) listing(round string) (prefix, ask string) {
	prefix, ask, _ = strings.Cut(o.ask, ":")
	if prefix != "" {
		prefix = fullName(round, prefix)
	}
	return prefix, ask
}

func (m *model) list(p *prediction, o op) {
	prefix, ask := o.listing(m.round)
	if strings.Contains(ask, "user_count") && !strings.HasPrefix(prefix, "presence-") {
		p.refuse("user_count may only be requested for presence channels - please supply filter_by_prefix begining with presence-\n")
		return
	}
	found := map[string]any{}
	for ch := range m.rooms {
		if m.prefixed(ch, prefix) {
			found[ch] = m.counts(ch, ask)
		}
	}
	p.body = map[string]any{"channels": found}
}

// look is the query of one channel (PROTOCOL 5e).
func (m *model) look(p *prediction, o op) {
	ch, k := fullName(m.round, o.ch), kindOf(o.ch)
	switch {
	case badName(o.ch):
		p.refuse("")
		return
	case strings.Contains(o.ask, "user_count") && !k.presence:
		p.refuse("Cannot retrieve the user count unless the channel is a presence channel\n")
		return
	case strings.Contains(o.ask, "cache") && !k.cache:
		p.refuse("")
		return
	}
	r := m.room(ch)
	body := m.counts(ch, o.ask)
	body["occupied"] = len(m.in(ch)) > 0
	if strings.Contains(o.ask, "cache") {
		body["cache"] = nil
		if r.last != nil {
			body["cache"] = map[string]any{"data": r.last.data, "ttl": freshTTL}
		}
	}
	p.body = body
}

func (m *model) users(p *prediction, o op) {
	ch := fullName(m.round, o.ch)
	if badName(o.ch) {
		p.refuse("")
		return
	}
	if !m.room(ch).kind.presence {
		p.refuse("Users can only be retrieved for presence channels\n")
		return
	}
	ids := map[string]bool{}
	for _, u := range m.room(ch).members {
		ids[u.user] = true
	}
	p.body = ids
}

// freshTTL stands for the time that is left to an event kept a moment ago.
const freshTTL = "fresh"

// request is an op as a request to the API.
type request struct {
	method, path string
	params       url.Values
	body         []byte
}

// request makes the request; socketID is of the client that is to be skipped.
func (o op) request(round, socketID string) request {
	switch o.verb {
	case "publish":
		return post("/events", o.publishBody(round, socketID))
	case "batch":
		return post("/batch_events", o.batchBody(round, socketID))
	case "terminate":
		return post("/users/"+o.user+"/terminate_connections", map[string]any{})
	case "list":
		prefix, ask := o.listing(round)
		r := request{method: "GET", path: "/channels", params: url.Values{}}
		if prefix != "" {
			r.params.Set("filter_by_prefix", prefix)
		}
		if ask != "" {
			r.params.Set("info", ask)
		}
		return r
	}
	r := request{method: "GET", path: "/channels/" + url.PathEscape(fullName(round, o.ch)), params: url.Values{}}
	if o.verb == "users" {
		r.path += "/users"
	}
	if o.ask != "" {
		r.params.Set("info", o.ask)
	}
	return r
}

func post(path string, body any) request {
	b, _ := json.Marshal(body) // maps of strings always encode
	return request{method: "POST", path: path, body: b}
}

func (o op) publishBody(round, socketID string) map[string]any {
	body := map[string]any{"name": o.eventName(), "data": o.eventData(0)}
	var channels []string
	for _, ch := range o.targets() { // repeats are the server's to find (PROTOCOL 5.21)
		channels = append(channels, fullName(round, ch))
	}
	if len(channels) == 1 && o.how == "single" {
		body["channel"] = channels[0]
	} else {
		body["channels"] = channels
	}
	o.addOptions(body, socketID, o.ask)
	return body
}

func (o op) batchBody(round, socketID string) map[string]any {
	var batch []any
	for i, ch := range o.targets() {
		event := map[string]any{"name": o.eventName(), "data": o.eventData(i), "channel": fullName(round, ch)}
		o.addOptions(event, socketID, o.batchAsk(i))
		batch = append(batch, event)
	}
	return map[string]any{"batch": batch}
}

func (o op) addOptions(event map[string]any, socketID, ask string) {
	if o.skip != "" {
		event["socket_id"] = socketID
	}
	if ask != "" {
		event["info"] = ask
	}
}
