package main

import (
	"fmt"
	"math"
	"net"
	"net/url"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// reverbName is a variable of Reverb's, with its default there where that counts.
// Without put it is read together with others, or has no effect, for which moot is
// why.
type reverbName struct {
	name, def string
	put       func(*reverb, foreign)
	moot      string
}

var reverbNames = []reverbName{
	{"REVERB_SERVER_HOST", "0.0.0.0", ofReverb("server.host", nonempty), ""},
	{"REVERB_SERVER_PORT", "8080", ofReverb("server.port", nonempty), ""},
	{"REVERB_SERVER_PATH", "", ofReverb("server.path_prefix", prefixed), ""},
	{"REVERB_MAX_REQUEST_SIZE", "", ofReverb("server.max_request_bytes", plainBytes), ""},
	{"REVERB_APP_ACTIVITY_TIMEOUT", "30", ofReverb("server.activity_timeout", seconds), ""},
	{"REVERB_APP_MAX_MESSAGE_SIZE", "", ofReverb("server.max_message_bytes", plainBytes), ""},
	{"REVERB_SCALING_ENABLED", "", (*reverb).scaling, ""},
	{"REVERB_SCALING_CHANNEL", "", nil, ""},
	{"REVERB_APP_ID", "", ofReverbApp("id", nonempty), ""},
	{"REVERB_APP_KEY", "", ofReverbApp("key", nonempty), ""},
	{"REVERB_APP_SECRET", "", ofReverbApp("secret", nonempty), ""},
	{"REVERB_APP_MAX_CONNECTIONS", "", ofReverbApp("limits.connections", count), ""},
	{"REVERB_APP_ACCEPT_CLIENT_EVENTS_FROM", "members", (*reverb).clientEvents, ""},
	{"REVERB_APP_RATE_LIMITING_ENABLED", "false", (*reverb).rate, ""},
	{"REVERB_APP_RATE_LIMIT_MAX_ATTEMPTS", "", nil, ""},
	{"REVERB_APP_RATE_LIMIT_DECAY_SECONDS", "", nil, ""},
	{"REVERB_APP_RATE_LIMIT_TERMINATE", "", nil, "a connection over its rate is told so, and stays"},
	{"REVERB_APP_RATE_LIMITING_MAX_ATTEMPTS", "", nil, ""},
	{"REVERB_APP_RATE_LIMITING_DECAY_SECONDS", "", nil, ""},
	{"REVERB_APP_RATE_LIMITING_TERMINATE", "", nil, "a connection over its rate is told so, and stays"},
	{"REVERB_APP_PING_INTERVAL", "", nil, "clients are pinged after REVERB_APP_ACTIVITY_TIMEOUT of silence"},
	{"REVERB_SERVER", "", nil, ""},
	{"REVERB_PULSE_INGEST_INTERVAL", "", nil, "figures are for Prometheus; Pulse's card of connections works"},
	{"REVERB_TELESCOPE_INGEST_INTERVAL", "", nil, "figures are for Prometheus"},
}

// reverbClients are variables that the application gives to its clients.
var reverbClients = []string{"REVERB_HOST", "REVERB_PORT", "REVERB_SCHEME"}

const reverbPrefix = "REVERB_"

// reverb is a configuration of Reverb while it is translated.
type reverb struct {
	*translation
	vars map[string]foreign // REVERB_ and REDIS_ variables
	app  []line
}

func ofReverb(path string, c convert) func(*reverb, foreign) {
	return func(r *reverb, v foreign) { r.set(path, v, c) }
}

func ofReverbApp(path string, c convert) func(*reverb, foreign) {
	return func(r *reverb, v foreign) {
		if g, ok := r.convert(v, c); ok {
			r.app = append(r.app, line{path, v.at, g})
		}
	}
}

func (r *reverb) addApp(path, word string, at Spot) {
	r.app = append(r.app, line{path, at, typed(word, nil)})
}

// clientEvents: "all" lets others than subscribers send, which the protocol does
// not (PROTOCOL 3.4).
func (r *reverb) clientEvents(v foreign) {
	switch v.node.Value {
	case "all":
		r.warn(v.at, "a connection sends client events to channels that it is subscribed to, as with members")
		fallthrough
	case "members":
		r.addApp("client_events", "true", v.at)
	case "none":
	default:
		r.bad.add(v.at, given{node: v.node}.wrong("members, all or none").Error())
	}
}

// rate is a limit of attempts in some seconds; without it there is none.
func (r *reverb) rate(v foreign) {
	g, _, _ := switched(v.node)
	if g.node.Value != "true" {
		r.addApp("limits.client_events_per_second", "0", v.at)
		return
	}
	number := func(names ...string) float64 {
		for _, name := range names {
			if f, ok := r.vars[name]; ok {
				if x, err := strconv.ParseFloat(f.node.Value, 64); err == nil && x > 0 {
					return x
				}
				r.bad.add(f.at, given{node: f.node}.wrong("a number above 0").Error())
			}
		}
		return 60
	}
	perSecond := number("REVERB_APP_RATE_LIMITING_MAX_ATTEMPTS", "REVERB_APP_RATE_LIMIT_MAX_ATTEMPTS") /
		number("REVERB_APP_RATE_LIMITING_DECAY_SECONDS", "REVERB_APP_RATE_LIMIT_DECAY_SECONDS")
	r.addApp("limits.client_events_per_second", strconv.Itoa(int(math.Ceil(perSecond))), v.at)
}

// scaling is the Redis engine, on the Redis that the application has.
func (r *reverb) scaling(v foreign) {
	if g, _, _ := switched(v.node); g.node.Value != "true" {
		return
	}
	r.set("engine.type", foreign{wordNode("redis"), v.at}, same)
	if address, ok := r.vars["REDIS_URL"]; ok {
		r.set("engine.redis.url", address, same)
	} else {
		r.set("engine.redis.url", foreign{wordNode(r.redisURL()), v.at}, same)
	}
	if channel, ok := r.vars["REVERB_SCALING_CHANNEL"]; ok {
		r.set("engine.redis.prefix", channel, same)
	}
}

func (r *reverb) redisURL() string {
	word := func(name, def string) string {
		if f, ok := r.vars[name]; ok {
			return f.node.Value
		}
		return def
	}
	u := url.URL{Scheme: "redis", Host: net.JoinHostPort(word("REDIS_HOST", "127.0.0.1"), word("REDIS_PORT", "6379")), Path: "/" + word("REDIS_DB", "0")}
	if user, password := word("REDIS_USERNAME", ""), word("REDIS_PASSWORD", ""); user+password != "" {
		u.User = url.UserPassword(user, password)
	}
	return u.String()
}

// translateReverb has every variable do what it does here.
func translateReverb(vars map[string]foreign, bad *mistakes) *translation {
	r := &reverb{translation: &translation{bad: bad}, vars: map[string]foreign{}}
	known := append([]string(nil), reverbClients...)
	for name, v := range vars { // as Laravel reads them
		if word := v.node.Value; word != "null" && word != "(null)" && word != "(empty)" && (word != "" || name == "REVERB_SERVER_PATH") {
			r.vars[name] = foreign{&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: strings.Trim(word, "()")}, v.at}
		}
	}
	for _, n := range reverbNames {
		known = append(known, n.name)
		v, given := r.vars[n.name]
		switch {
		case n.put != nil && given:
			n.put(r, v)
		case n.put != nil && n.def != "":
			n.put(r, foreign{wordNode(n.def), Spot{Source: "Reverb's default"}})
		case n.moot != "" && given:
			r.warn(v.at, "has no effect: %s", n.moot)
		}
	}
	r.strangers(known)
	r.apps, r.appSpots = [][]line{r.app}, []Spot{{Source: "REVERB_APP_ID, REVERB_APP_KEY and REVERB_APP_SECRET"}}
	return r.translation
}

// strangers names variables that are none of Reverb's.
func (r *reverb) strangers(known []string) {
	for _, name := range sortedNames(r.vars) {
		if !strings.HasPrefix(name, reverbPrefix) || contains(known, name) {
			continue
		}
		text := "no such setting of Reverb"
		if n := nearest(name, known); n != "" {
			text += fmt.Sprintf("; did you mean %s?", n)
		}
		r.warn(r.vars[name].at, "%s", text)
	}
}
