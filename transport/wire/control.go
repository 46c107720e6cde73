package wire

import (
	"github.com/gobwas/ws"

	"dunlin/protocol"
)

// maxControl is the longest payload of a control frame (RFC 6455 §5.5).
const maxControl = 125

// AppendPing appends a ping frame. payload has at most 125 bytes.
func AppendPing(b, payload []byte) []byte { return appendControl(b, ws.OpPing, payload) }

// AppendPong appends a pong frame. payload has at most 125 bytes.
func AppendPong(b, payload []byte) []byte { return appendControl(b, ws.OpPong, payload) }

// AppendClose appends a close frame. Code 0 or NoStatus sends none, and a reason
// is cut to what fits (RFC 6455 §5.5.1, PROTOCOL 1.33).
func AppendClose(b []byte, code int, reason string) []byte {
	if code == 0 || code == NoStatus {
		return appendControl(b, ws.OpClose, nil)
	}
	reason = (&protocol.Error{Message: reason}).Reason()
	b = append(b, 0x80|byte(ws.OpClose), byte(2+len(reason)), byte(code>>8), byte(code))
	return append(b, reason...)
}

func appendControl(b []byte, op ws.OpCode, payload []byte) []byte {
	b = append(b, 0x80|byte(op), byte(len(payload)))
	return append(b, payload...)
}
