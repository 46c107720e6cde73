package model

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"dunlin/protocol"
)

// app is what the model must know of an app.
type app struct {
	id, key                string
	clientEvents           bool
	watchlists, counts     bool
	refusals               bool // pusher:subscription_error
	channelLimit, memLimit int  // 0: none
	connLimit              int  // on all nodes together; 0: none
}

// apps are those of nodeConfig. Everything in one app is small, so that its limits
// are met.
var apps = map[string]app{
	"plain": {id: "plain", key: "plain-key", clientEvents: true, refusals: true, memLimit: 3},
	"talk":  {id: "talk", key: "talk-key", clientEvents: true, watchlists: true, counts: true, refusals: true, memLimit: 2},
	"tight": {id: "tight", key: "tight-key", channelLimit: 2, memLimit: 2, connLimit: 3},
	"wide":  {id: "wide", key: "wide-key", clientEvents: true, watchlists: true, counts: true, refusals: true, memLimit: 100},
}

const (
	secret        = "model-secret"
	maxMemberInfo = 64
)

// nodeConfig configures a node. One loop more than a small machine has CPUs makes more
// neighbours on other loops. The first app is the test kit's own, and the fences'
// (table.fence).
const nodeConfig = `
server: {port: 0, drain: 1s, loops: 3}
ops: {port: 0}
apps:
  - {id: app-id, key: app-key, secret: app-secret}
  - {id: plain, key: plain-key, secret: model-secret, client_events: true,
     limits: {presence_members: 3, presence_member_bytes: 64B, client_events_per_second: 0}}
  - {id: talk, key: talk-key, secret: model-secret, client_events: true, watchlist_events: true, subscription_count_events: true,
     limits: {presence_members: 2, presence_member_bytes: 64B, client_events_per_second: 0}}
  - {id: tight, key: tight-key, secret: model-secret, subscription_errors: false,
     limits: {presence_members: 2, presence_member_bytes: 64B, channels_per_connection: 2, connections: 3}}
  - {id: wide, key: wide-key, secret: model-secret, client_events: true, watchlist_events: true, subscription_count_events: true,
     limits: {presence_member_bytes: 64B, client_events_per_second: 0}}
`

// kind is what a channel's prefix makes of it (PROTOCOL 2.4), said again here so
// that the model shares no mistake with the server.
type kind struct {
	prefix                                   string
	private, presence, encrypted, cache, own bool
}

var kinds = []kind{
	{prefix: "private-encrypted-cache-", private: true, encrypted: true, cache: true},
	{prefix: "private-encrypted-", private: true, encrypted: true},
	{prefix: "private-cache-", private: true, cache: true},
	{prefix: "private-", private: true},
	{prefix: "presence-cache-", private: true, presence: true, cache: true},
	{prefix: "presence-", private: true, presence: true},
	{prefix: "cache-", cache: true},
	{prefix: toUser, own: true},
}

const toUser = "#server-to-user-"

func kindOf(ch string) kind {
	for _, k := range kinds {
		if strings.HasPrefix(ch, k.prefix) {
			return k
		}
	}
	return kind{}
}

// fullName is a channel's name on the wire. Every round has names of its own, since
// cached events outlive those who subscribed; a user's channel caches nothing.
func fullName(round, ch string) string {
	k := kindOf(ch)
	if k.own {
		return ch
	}
	return k.prefix + round + "-" + ch[len(k.prefix):]
}

// badName reports what no channel may be called (PROTOCOL 2.1, 2.3).
func badName(ch string) bool {
	return strings.ContainsAny(strings.TrimPrefix(ch, toUser), "#! ")
}

var signer = protocol.NewSecret(secret)

func quoted(s string) string {
	b, _ := json.Marshal(s) // no text here has a character that it would escape for HTML
	return string(b)
}

// userInfo is the user_info of an op's member, "" for none.
func userInfo(info string) string {
	switch info {
	case "":
		return ""
	case "big":
		return quoted(strings.Repeat("x", maxMemberInfo))
	}
	return `{"n":` + info + `}`
}

// userID is a user's id in channel_data: one is a number (PROTOCOL 2.35).
func userID(user string) string {
	if user == "7" {
		return user
	}
	return quoted(user)
}

// channelData is what a client sends about the member that it is; ok is false when
// it sends nothing.
func (o op) channelData() (data string, ok bool) {
	k := kindOf(o.ch)
	switch {
	case o.how == "own-data" || !k.presence && o.how != "extra-data" && o.how != "unsigned-data":
		return "", false
	case o.how == "no-user":
		return `{"user_info":{}}`, true
	case o.how == "no-json":
		return `{"user_id":`, true
	}
	data = `{"user_id":` + userID(o.user)
	if info := userInfo(o.info); info != "" {
		data += `,"user_info":` + info
	}
	return data + "}", true
}

// auth is what an op sends to show that it may: text is what it should sign.
func (o op) auth(key, text string) (auth string, given bool) {
	switch o.how {
	case "no-auth":
		return "", false
	case "bad-format":
		return "no colon here", true
	case "bad-key":
		return "other-key:0000", true
	case "bad-signature":
		return key + ":0000", true
	case "unsigned-data":
		text, _, _ = strings.Cut(text, ":{")
	}
	return key + ":" + signer.Sign([]byte(text)), true
}

// refusalOf is the text that answers an op's auth, "" when it is good (PROTOCOL
// 2.19, 4.6).
func (o op) refusalOf(key, text, channel string) string {
	auth, given := o.auth(key, text)
	_, signature, _ := strings.Cut(auth, ":")
	switch {
	case !given:
		return "Auth info required to subscribe to " + channel
	case o.how == "bad-format":
		return "Invalid format: auth must have the format key:signature"
	case o.how == "bad-key":
		return "Invalid key in subscription auth data: 'other-key'"
	case o.how == "bad-signature", o.how == "unsigned-data":
		return "Invalid signature: Expected HMAC SHA256 hex digest of " + text + ", but got " + signature
	}
	return ""
}

// toSign is what must be signed to subscribe (PROTOCOL 2.14).
func (o op) toSign(socketID, channel string) string {
	text := socketID + ":" + channel
	if data, ok := o.channelData(); ok {
		text += ":" + data
	}
	return text
}

const longWatchlist = 101

// watched lists the users of an op's watchlist.
func (o op) watched() (users []string) {
	if o.how == "long" {
		for i := range longWatchlist {
			users = append(users, fmt.Sprintf("stranger-%03d", i))
		}
		return users
	}
	return list(o.watch)
}

// list takes apart what stands in a field with commas, without repeats.
func list(s string) []string {
	if s == "" {
		return nil
	}
	return unique(strings.Split(s, ","))
}

func unique(items []string) (once []string) {
	for _, item := range items {
		if !slices.Contains(once, item) {
			once = append(once, item)
		}
	}
	return once
}

// userData is what an op signs in with.
func (o op) userData() string {
	switch o.how {
	case "no-json":
		return "{"
	case "no-user":
		return `{"user_info":{}}`
	case "number":
		return `{"id":7}`
	}
	data := `{"id":` + quoted(o.user)
	if info := userInfo(o.info); info != "" {
		data += `,"user_info":` + info
	}
	if users := o.watched(); len(users) > 0 {
		b, _ := json.Marshal(users) // strings always encode
		data += `,"watchlist":` + string(b)
	}
	return data + "}"
}

// eventData is the data of the i-th event that an op publishes: different for each,
// and with everything in it that needs an escape.
func (o op) eventData(i int) string {
	return fmt.Sprintf(`{"n":"%s.%d","text":"\"ü\u2028\\ <&>\n"}`, o.n, i)
}

// message is the text that a client sends.
func (o op) message(key, round, socketID string) string {
	ch := fullName(round, o.ch)
	switch o.verb {
	case "subscribe":
		data := `{"channel":` + quoted(ch)
		if auth, ok := o.auth(key, o.toSign(socketID, ch)); ok {
			data += `,"auth":` + quoted(auth)
		}
		if member, ok := o.channelData(); ok {
			data += `,"channel_data":` + quoted(member)
		}
		data += "}"
		if o.how == "string" { // PROTOCOL 1.43
			data = quoted(data)
		}
		return message("pusher:subscribe", data)
	case "unsubscribe":
		return message("pusher:unsubscribe", `{"channel":`+quoted(ch)+`}`)
	case "signin":
		user := o.userData()
		auth, _ := o.auth(key, socketID+"::user::"+user)
		return message("pusher:signin", `{"auth":`+quoted(auth)+`,"user_data":`+quoted(user)+`}`)
	case "event":
		return o.clientEvent(ch)
	}
	return rawMessages[o.how].text
}

func message(event, data string) string {
	return `{"event":` + quoted(event) + `,"data":` + data + `}`
}

func (o op) clientEvent(ch string) string {
	name, data := "client-e", o.eventData(0)
	switch o.how {
	case "bad-name":
		name = "e"
	case "no-data":
		return `{"event":"client-e","channel":` + quoted(ch) + `}`
	case "string":
		data = quoted(data)
	}
	return `{"event":` + quoted(name) + `,"data":` + data + `,"channel":` + quoted(ch) + `}`
}

// rawMessages are what no good client sends, and the answers; "*" is any text
// (PROTOCOL 1.7, 1.41, 1.42). A binary message is an empty one.
var rawMessages = map[string]struct{ text, answer string }{
	"no-json":  {`{"event":`, "Received invalid JSON"},
	"no-event": {`{"data":{}}`, "*"},
	"unknown":  {`{"event":"pusher:nothing","data":{}}`, "*"},
	"no-data":  {`{"event":"pusher:subscribe"}`, "*"},
	"five":     {`{"event":"pusher:subscribe","data":{"channel":5}}`, "*"},
	"signin":   {`{"event":"pusher:signin"}`, "*"},
	"binary":   {"", "*"},
	"pong":     {`{"event":"pusher:pong","data":{}}`, ""},
}
