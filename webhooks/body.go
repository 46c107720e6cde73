package webhooks

import (
	"strconv"

	"dunlin/protocol"
)

// Body is what is posted for events, in their order (PROTOCOL 6.1): the bytes
// that are signed and sent, made once. Its time is that of the last event.
func Body(events []Event) []byte {
	size := 64
	for i := range events {
		e := &events[i]
		size += 96 + len(e.Channel) + len(e.User) + len(e.ClientEvent) + len(e.Data) + len(e.SocketID)
	}
	b := append(make([]byte, 0, size), `{"time_ms":`...)
	b = strconv.AppendInt(b, events[len(events)-1].At.UnixMilli(), 10)
	b = append(b, `,"events":[`...)
	for i := range events {
		if i > 0 {
			b = append(b, ',')
		}
		b = events[i].appendJSON(b)
	}
	return append(b, "]}"...)
}

// appendJSON appends what an event is on the wire (PROTOCOL 6.9–6.17). All values
// are strings, but for the count.
func (e *Event) appendJSON(b []byte) []byte {
	b = field(append(b, '{'), "name", e.Name.String())
	b = field(append(b, ','), "channel", e.Channel)
	if e.Name == protocol.HookClientEvent {
		b = field(append(b, ','), "event", e.ClientEvent)
		b = append(append(b, `,"data":`...), e.Data...)
		b = field(append(b, ','), "socket_id", e.SocketID)
	}
	if e.Name == protocol.HookCount {
		b = append(b, `,"subscription_count":`...)
		b = strconv.AppendInt(b, int64(e.Count), 10)
	}
	if e.User != "" {
		b = field(append(b, ','), "user_id", e.User)
	}
	return append(b, '}')
}

func field(b []byte, name, value string) []byte {
	b = protocol.AppendString(b, name)
	return protocol.AppendString(append(b, ':'), value)
}
