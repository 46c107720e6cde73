package wire

import (
	"encoding/binary"
	"math"

	"github.com/gobwas/ws"

	"dunlin/metrics"
	"dunlin/protocol"
)

// Close codes of broken input. Violations other than these two end with 4200:
// 1002 and 1003 make pusher-js give up WebSockets (PROTOCOL 1.36).
const (
	CodeBadUTF8 = 1007
	CodeTooBig  = 1009
	NoStatus    = 1005 // stands for a close frame without a code, and is never sent
)

// What a client can do wrong. The code is the close code.
var (
	ErrBadUTF8      = &protocol.Error{Code: CodeBadUTF8, Message: "Invalid UTF-8"}
	ErrTooBig       = &protocol.Error{Code: CodeTooBig, Message: "Message too big"}
	errReserved     = framing("reserved bits set")
	errOpcode       = framing("unknown opcode")
	errUnmasked     = framing("unmasked frame")
	errControl      = framing("control frame fragmented or longer than 125 bytes")
	errContinuation = framing("continuation of nothing")
	errInterleaved  = framing("message inside a message")
	errCloseFrame   = framing("malformed close frame")
)

func framing(what string) *protocol.Error {
	return &protocol.Error{Code: protocol.CodeReconnect, Message: "Invalid frame: " + what}
}

// DropOf is how a connection that broke off with such an error is counted.
func DropOf(bad *protocol.Error) metrics.Drop {
	switch bad.Code {
	case CodeBadUTF8:
		return metrics.DropUTF8
	case CodeTooBig:
		return metrics.DropTooBig
	}
	return metrics.DropFraming
}

// header is the head of a frame from a client (RFC 6455 §5.2):
//
//	byte 0      FIN, RSV1–3, opcode (4 bits)
//	byte 1      MASK, length 0..125, or 126: 2 bytes follow, or 127: 8 bytes
//	then        the length, big-endian, and 4 bytes of mask
type header struct {
	op       ws.OpCode
	fin      bool
	deflated bool // begins a compressed message: RSV1
	mask     [4]byte
	length   int // of the payload
}

const maxHead = 14

// rsv1 is the "Per-Message Compressed" bit. It MUST NOT be set on control frames
// and on frames that go on with a message (RFC 7692 §6).
const rsv1 = 0x40

// parseHeader reads a header from the start of b. n is its length, 0 while it is
// incomplete. The first two bytes are judged as soon as both are there, and the
// rest when it is whole, so that errors do not depend on how input was cut.
// inMessage says that a fragmented message is under way, deflate that messages may
// be compressed.
func parseHeader(b []byte, inMessage, deflate bool) (h header, n int, bad *protocol.Error) {
	if len(b) < 2 {
		return h, 0, nil
	}
	h.op, h.fin, h.length = ws.OpCode(b[0]&0x0F), b[0]&0x80 != 0, int(b[1]&0x7F)
	h.deflated = deflate && b[0]&0x70 == rsv1 && (h.op == ws.OpText || h.op == ws.OpBinary)
	if bad := judge(b[0], b[1], h, inMessage); bad != nil {
		return h, 0, bad
	}
	n = 2
	switch h.length {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if len(b) < n+4 {
		return h, 0, nil
	}
	switch n {
	case 4:
		h.length = int(binary.BigEndian.Uint16(b[2:]))
	case 10:
		h.length = int(min(binary.BigEndian.Uint64(b[2:]), math.MaxInt))
	}
	copy(h.mask[:], b[n:])
	return h, n + 4, nil
}

// judge holds the first two bytes of a header to the rules that need no more.
func judge(b0, b1 byte, h header, inMessage bool) *protocol.Error {
	switch {
	case b0&0x70 != 0 && !h.deflated: // "MUST be 0 unless an extension is negotiated"
		return errReserved
	case b1&0x80 == 0: // §5.1: "a server MUST close … upon receiving a frame that is not masked"
		return errUnmasked
	}
	switch h.op {
	case ws.OpClose, ws.OpPing, ws.OpPong:
		if !h.fin || h.length > maxControl {
			return errControl
		}
	case ws.OpText, ws.OpBinary:
		if inMessage {
			return errInterleaved
		}
	case ws.OpContinuation:
		if !inMessage {
			return errContinuation
		}
	default:
		return errOpcode
	}
	return nil
}
