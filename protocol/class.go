package protocol

import "bytes"

// Class says what a frame is about, for those who count. It is read off the name
// of its event, so that a frame from another node has the same one.
type Class uint8

const (
	ClassProtocol    Class = iota // answers, errors and what else the protocol itself says
	ClassPresence                 // member_added and member_removed
	ClassClientEvent              // an event whose name begins with client-
	ClassEvent                    // any other event
)

func classOf(payload []byte) Class {
	name, ok := bytes.CutPrefix(payload, []byte(`{"event":"`))
	switch {
	case !ok:
		return ClassProtocol
	case bytes.HasPrefix(name, []byte("pusher_internal:member_")):
		return ClassPresence
	case bytes.HasPrefix(name, []byte("pusher:")), bytes.HasPrefix(name, []byte("pusher_internal:")):
		return ClassProtocol
	case bytes.HasPrefix(name, []byte(ClientEventPrefix)):
		return ClassClientEvent
	}
	return ClassEvent
}
