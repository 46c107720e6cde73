package protocol

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// ClientEventPrefix begins the name of every client event (PROTOCOL 3.2).
const ClientEventPrefix = "client-"

// ReservedEvent reports whether only the server may send events of that name
// (PROTOCOL 2.28).
func ReservedEvent(name string) bool {
	return strings.HasPrefix(name, "pusher:") || strings.HasPrefix(name, "pusher_internal:")
}

// ClientEvent is an event that a client wants the others of a channel to get.
type ClientEvent struct {
	Name    string
	Channel string
	Data    StringLiteral
}

// StringLiteral is a JSON string literal, quotes included. Event data travels
// this way: it is spliced into frames and never unescaped.
type StringLiteral string

// Len is the number of bytes that the string has once unescaped. The literal
// must be valid.
func (l StringLiteral) Len() int {
	if strings.IndexByte(string(l), '\\') < 0 {
		return max(len(l)-2, 0)
	}
	return len(l.Text())
}

// Text is the string itself.
func (l StringLiteral) Text() string { return gjson.Parse(string(l)).Str }

// DecodeClientEvent takes the parts of a client event and holds them to the
// limits of names, in characters, and data, in bytes (PROTOCOL 3.5, 3.13, 3.14).
func DecodeClientEvent(m ClientMessage, maxName, maxData int) (ClientEvent, *Error) {
	if m.Channel == "" || !m.Data.Exists() {
		return ClientEvent{}, ErrClientEventShape
	}
	if maxName > 0 && len(m.Event) > maxName && utf8.RuneCountInString(m.Event) > maxName {
		return ClientEvent{}, tooLong("event name", maxName, "characters")
	}
	e := ClientEvent{Name: m.Event, Channel: m.Channel, Data: dataLiteral(m.Data)}
	size := len(m.Data.Raw)
	if m.Data.Type == gjson.String {
		size = len(m.Data.Str)
	}
	if maxData > 0 && size > maxData {
		return ClientEvent{}, ErrDataTooLarge(maxData)
	}
	return e, nil
}

// dataLiteral makes the delivered data a string: a string stays that string,
// anything else is encoded as JSON in a string (PROTOCOL 3.7, 3.8).
func dataLiteral(v gjson.Result) StringLiteral {
	if v.Type == gjson.String {
		return StringLiteral(v.Raw)
	}
	b := make([]byte, 0, len(v.Raw)+len(v.Raw)/4+2)
	return StringLiteral(AppendString(b, v.Raw))
}

// ErrDataTooLarge is the refusal of event data above limit bytes, for clients
// and for the HTTP API alike (PROTOCOL 3.13, 5.18).
func ErrDataTooLarge(limit int) *Error {
	return &Error{0, "The data content of this event exceeds the allowed maximum (" + strconv.Itoa(limit) +
		" bytes). See https://pusher.com/docs/channels/server_api/http-api#publishing-events for more info"}
}

func tooLong(what string, limit int, unit string) *Error {
	return &Error{0, "The " + what + " exceeds the allowed maximum (" + strconv.Itoa(limit) + " " + unit + ")"}
}

// ErrNotSubscribed is the refusal of a client event on a channel that its sender
// has not joined (PROTOCOL 3.4).
func ErrNotSubscribed(channel string) *Error {
	return &Error{0, "Cannot broadcast client event (connection not subscribed to channel " + clip(channel) + ")"}
}
