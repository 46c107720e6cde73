package httpapi

import (
	"unicode/utf8"

	"dunlin/protocol"
)

// fields is an event as a request has it, nothing of it judged yet. Of repeated
// keys the last counts.
type fields struct {
	name, data, channel, channels, socketID, info value
}

func (f *fields) read(object value) {
	object.each(func(key string, item value) bool {
		if at := f.field(key); at != nil {
			*at = item
		}
		return true
	})
}

func (f *fields) field(key string) *value {
	switch key {
	case "name":
		return &f.name
	case "data":
		return &f.data
	case "channel":
		return &f.channel
	case "channels":
		return &f.channels
	case "socket_id":
		return &f.socketID
	case "info":
		return &f.info
	}
	return nil
}

// event reads the fields of an event from the body, then from the query.
func (c *call) event() (fields, error) {
	var f fields
	body := c.ctx.PostBody()
	if len(body) > 0 {
		root, err := object(body)
		if err != nil {
			return f, err
		}
		f.read(root)
	}
	const authOnly = 5 // parameters of any request with a body
	if len(body) > 0 && len(c.query.params) <= authOnly {
		return f, nil
	}
	return f, f.fill(&c.query)
}

// fill takes from the query what the body does not say; an array comes as
// channels[]=a&channels[]=b (PROTOCOL 5.17).
func (f *fields) fill(q *query) error {
	var extra fields
	var channels []byte
	for i := range q.params {
		p := &q.params[i]
		at := extra.field(string(p.key))
		switch {
		case string(p.key) == "channels[]":
			channels = protocol.AppendString(append(channels, ','), p.value)
		case at != nil:
			*at = value(protocol.AppendString(nil, p.value))
		default:
			continue
		}
		if !utf8.Valid(p.value) {
			return badRequest("Invalid query string: not valid UTF-8")
		}
	}
	if channels != nil {
		channels[0] = '['
		extra.channels = value(append(channels, ']'))
	}
	if !f.channel.missing() || !f.channels.missing() {
		extra.channel, extra.channels = "", "" // two names for one thing
	}
	for _, key := range [...]string{"name", "data", "channel", "channels", "socket_id", "info"} {
		if at := f.field(key); at.missing() {
			*at = *extra.field(key)
		}
	}
	return nil
}
