package protocol

import (
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// ClientMessage is a message from a client, taken apart one level deep. Its
// strings share one copy of the message, so they may be kept, at the price of
// the whole copy; what lives long is better cloned.
type ClientMessage struct {
	Event   string
	Channel string       // top level, client events only; "" when absent or not a string
	Data    gjson.Result // the zero Result when absent
}

// DecodeClient reads one text message, which must be UTF-8. It returns
// ErrInvalidJSON for what is not JSON or nests too deep, and other errors with
// code 0 for JSON that is no message. Of repeated keys the last one counts, as
// in browsers.
func DecodeClient(payload []byte) (ClientMessage, *Error) {
	text := string(payload)
	if TooDeep(text) || !gjson.Valid(text) {
		return ClientMessage{}, ErrInvalidJSON
	}
	root := gjson.Parse(text)
	if !root.IsObject() {
		return ClientMessage{}, &Error{0, "Invalid message: expected a JSON object"}
	}
	var m ClientMessage
	var event gjson.Result
	root.ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "event":
			event = v
		case "channel":
			m.Channel = v.Str
		case "data":
			m.Data = v
		}
		return true
	})
	if event.Type != gjson.String || event.Str == "" {
		return ClientMessage{}, &Error{0, "Invalid message: expected event to be a string"}
	}
	m.Event = event.Str
	return m, nil
}

// object returns data as an object: itself, or the object that a JSON string
// holds (PROTOCOL 1.43).
func (m ClientMessage) object() (gjson.Result, bool) {
	d := m.Data
	if d.Type == gjson.String {
		if TooDeep(d.Str) || !gjson.Valid(d.Str) {
			return d, false
		}
		d = gjson.Parse(d.Str)
	}
	return d, d.IsObject()
}

func (m ClientMessage) badData() *Error {
	return &Error{0, "Invalid message: expected data of " + clip(m.Event) + " to be an object"}
}

// Subscribe is the data of pusher:subscribe (PROTOCOL 2.7). A field that was
// absent, null or of another type than string is "" and not given.
type Subscribe struct {
	Channel          string
	Auth             string
	ChannelData      string
	ChannelDataGiven bool // decides what is signed (PROTOCOL 2.14)
}

// DecodeSubscribe reads the data of pusher:subscribe.
func DecodeSubscribe(m ClientMessage) (Subscribe, *Error) {
	d, ok := m.object()
	if !ok {
		return Subscribe{}, m.badData()
	}
	var s Subscribe
	var bad *Error
	d.ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "channel":
			s.Channel = v.Str
			if v.Type != gjson.String {
				bad = ErrChannelName(v.Raw)
			}
		case "auth":
			s.Auth = v.Str
		case "channel_data":
			s.ChannelData, s.ChannelDataGiven = v.Str, v.Type == gjson.String
			if v.Type != gjson.String && v.Type != gjson.Null {
				bad = &Error{0, "Invalid channel_data: expected a string of JSON"}
			}
		}
		return true
	})
	if bad == nil && s.Channel == "" {
		bad = ErrChannelName("")
	}
	return s, bad
}

// DecodeUnsubscribe reads the channel from the data of pusher:unsubscribe.
func DecodeUnsubscribe(m ClientMessage) (channel string, bad *Error) {
	d, ok := m.object()
	if !ok {
		return "", m.badData()
	}
	c := d.Get("channel")
	if c.Type != gjson.String {
		return "", ErrChannelName(c.Raw)
	}
	return c.Str, nil
}

// ErrChannelName is the refusal of a channel name (PROTOCOL 2.6).
func ErrChannelName(name string) *Error {
	return &Error{0, "Invalid channel name: " + clip(name)}
}

// Member is one user in a presence channel.
type Member struct {
	ID   string // the user id's string form, which decides who is who (PROTOCOL 2.35)
	Data string // the data of member_added: {"user_id":…,"user_info":…}, the id in its JSON type
}

// DecodeMember reads channel_data (PROTOCOL 2.31) under an app's limits: maxID
// characters of user id, maxInfo bytes of user_info as it was sent; 0 is no limit.
func DecodeMember(channelData string, maxID, maxInfo int) (Member, *Error) {
	if TooDeep(channelData) || !gjson.Valid(channelData) {
		return Member{}, &Error{0, "Invalid channel_data: not valid JSON"}
	}
	root := gjson.Parse(channelData)
	if !root.IsObject() {
		return Member{}, &Error{0, "Invalid channel_data: expected an object with a user_id"}
	}
	var id, info gjson.Result
	root.ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "user_id":
			id = v
		case "user_info":
			info = v
		}
		return true
	})
	m := Member{ID: id.Str}
	if id.Type == gjson.Number {
		m.ID = id.Raw
	}
	switch {
	case m.ID == "" || id.Type != gjson.String && id.Type != gjson.Number:
		return Member{}, &Error{0, "Invalid channel_data: user_id must be a string or a number"}
	case maxID > 0 && utf8.RuneCountInString(m.ID) > maxID:
		return Member{}, tooLong("user_id", maxID, "characters")
	case maxInfo > 0 && len(info.Raw) > maxInfo:
		return Member{}, tooLong("user_info", maxInfo, "bytes")
	}
	m.Data = memberData(id.Raw, info)
	return m, nil
}

// memberData writes the data of member_added. A missing user_info is {}: page
// code reads member.info.x (PROTOCOL 2.34).
func memberData(id string, info gjson.Result) string {
	raw := info.Raw
	if raw == "" || info.Type == gjson.Null {
		raw = "{}"
	}
	return `{"user_id":` + id + `,"user_info":` + raw + `}`
}

// Info returns the user_info inside Data, as JSON.
func (m Member) Info() string {
	if raw := gjson.Get(m.Data, "user_info").Raw; raw != "" {
		return raw
	}
	return "{}"
}
