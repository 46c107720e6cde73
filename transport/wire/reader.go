package wire

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"dunlin/protocol"
)

// Kind is what Reader.Next found.
type Kind uint8

const (
	None   Kind = iota // the chunk is used up
	Text               // a message, joined and valid UTF-8
	Binary             // a message, joined
	Ping
	Pong
	Close
)

// Event is one message or control frame.
type Event struct {
	Kind    Kind
	Deflate bool   // of ServerFrame: the payload is a message's compressed data, for Inflate
	Code    int    // of Close; NoStatus when the frame carried none
	Payload []byte // of Close: the reason. Valid until the next call, and while the chunk is
}

// Reader takes a client's frames apart (RFC 6455 §5), however its bytes were cut.
// A frame that lies whole in a chunk is parsed and unmasked where it lies; what
// is left over, or compressed, is kept in pooled memory until it is complete, so that a
// connection between frames holds none. The zero value is ready.
type Reader struct{ held *partial }

// Next returns the next event in chunk, which it may change, and what follows
// it. It is called with the rest until it returns None, and then with the next
// chunk. maxMessage bounds a message, fragments joined and inflated; deflate says
// that messages may be compressed. After an error or a Close event only Release
// may be called.
func (r *Reader) Next(chunk []byte, maxMessage int, deflate bool) (Event, []byte, *protocol.Error) {
	if r.held != nil && r.held.settle() {
		r.Release()
	}
	if r.held != nil {
		return r.held.next(chunk, maxMessage, deflate)
	}
	if len(chunk) == 0 {
		return Event{}, nil, nil
	}
	h, n, bad := parseHeader(chunk, false, deflate)
	if bad != nil {
		return Event{}, nil, bad
	}
	if n == 0 || !h.fin || h.deflated || h.length > len(chunk)-n {
		r.held = newPartial()
		return r.held.next(chunk, maxMessage, deflate)
	}
	if h.length > maxMessage && !h.op.IsControl() {
		return Event{}, nil, ErrTooBig
	}
	payload := chunk[n : n+h.length]
	ws.Cipher(payload, h.mask, 0)
	e, bad := event(h.op, payload)
	return e, chunk[n+h.length:], bad
}

// Release gives back what the reader holds. It may be called at any time, and
// more than once.
func (r *Reader) Release() {
	if r.held != nil {
		r.held.release()
		r.held = nil
	}
}

// event makes the event of a complete payload.
func event(op ws.OpCode, payload []byte) (Event, *protocol.Error) {
	switch op {
	case ws.OpText:
		if !utf8.Valid(payload) {
			return Event{}, ErrBadUTF8
		}
		return Event{Kind: Text, Payload: payload}, nil
	case ws.OpBinary:
		return Event{Kind: Binary, Payload: payload}, nil
	case ws.OpPing:
		return Event{Kind: Ping, Payload: payload}, nil
	case ws.OpPong:
		return Event{Kind: Pong, Payload: payload}, nil
	}
	return closeEvent(payload)
}

// closeEvent reads a close frame's payload (RFC 6455 §5.5.1): nothing, or a code
// of two bytes and a reason.
func closeEvent(payload []byte) (Event, *protocol.Error) {
	if len(payload) == 0 {
		return Event{Kind: Close, Code: NoStatus}, nil
	}
	if len(payload) == 1 {
		return Event{}, errCloseFrame
	}
	code, reason := int(binary.BigEndian.Uint16(payload)), payload[2:]
	switch {
	case !sendable(code):
		return Event{}, errCloseFrame
	case !utf8.Valid(reason):
		return Event{}, ErrBadUTF8
	}
	return Event{Kind: Close, Code: code, Payload: reason}, nil
}

// sendable reports whether a peer may send a close code (RFC 6455 §7.4).
func sendable(code int) bool {
	switch code {
	case 1004, 1005, 1006, 1015: // reserved, or never on the wire
		return false
	}
	return code >= 1000 && code < 1016 || code >= 3000 && code < 5000
}
