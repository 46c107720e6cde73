package client

import (
	"encoding/json"
	"fmt"

	"dunlin/protocol"
)

// Names of the server's messages that a caller most often waits for.
const (
	Established           = "pusher:connection_established"
	Error                 = "pusher:error"
	Pong                  = "pusher:pong"
	SubscriptionSucceeded = "pusher_internal:subscription_succeeded"
	SubscriptionError     = "pusher:subscription_error"
	MemberAdded           = "pusher_internal:member_added"
	MemberRemoved         = "pusher_internal:member_removed"
)

// Event is one message from the server.
type Event struct {
	Name    string          `json:"event"`
	Channel string          `json:"channel"`
	Data    json.RawMessage `json:"data"` // as on the wire: a JSON string, of pusher:error an object
	UserID  string          `json:"user_id"`

	Raw string `json:"-"` // the whole message
}

func parseEvent(message []byte) (Event, error) {
	e := Event{Raw: string(message)}
	if err := json.Unmarshal(message, &e); err != nil {
		return e, fmt.Errorf("message from the server: %w", err)
	}
	if e.Name == "" {
		return e, fmt.Errorf("message from the server without an event: %.200q", message)
	}
	return e, nil
}

// Text is the data that a publisher gave: the text inside when Data is a JSON
// string, else Data itself.
func (e Event) Text() string {
	var s string
	if json.Unmarshal(e.Data, &s) == nil && len(e.Data) > 0 && e.Data[0] == '"' {
		return s
	}
	return string(e.Data)
}

// Decode reads the JSON that Text holds (PROTOCOL 1.16: data is encoded twice).
func (e Event) Decode(v any) error {
	if err := json.Unmarshal([]byte(e.Text()), v); err != nil {
		return fmt.Errorf("data of %s: %w", e.Name, err)
	}
	return nil
}

// Failure returns what a pusher:error says, and nil of any other event. Code 0
// stands for null (PROTOCOL 1.28).
func (e Event) Failure() *protocol.Error {
	if e.Name != Error {
		return nil
	}
	var d struct {
		Code    int
		Message string
	}
	if json.Unmarshal(e.Data, &d) != nil {
		d.Message = "unreadable pusher:error: " + string(e.Data)
	}
	return &protocol.Error{Code: d.Code, Message: d.Message}
}
