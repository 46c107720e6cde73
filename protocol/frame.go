package protocol

import "sync"

// Frame is one server message with its wire forms, immutable once made: loops
// share its pointer and write its bytes to any number of connections.
type Frame struct {
	ws       []byte // RFC 6455 §5.2 frame: FIN, text, unmasked
	deflated *Frame // the other form, once it was asked for
	once     sync.Once
	header   uint8 // length of the header at the start of ws
	class    Class
}

// frameHeadroom is the longest header of an unmasked frame; encoders leave that
// much at the start of their buffer so that no payload is ever moved.
const frameHeadroom = 10

// Lengths from which the payload length takes two and eight more bytes.
const (
	len16 = 126
	len64 = 1 << 16
)

// First bytes of a frame.
const (
	finText         = 0x81 // FIN 1, RSV 000, opcode 0001 (text)
	finTextDeflated = 0xC1 // the same with RSV1, the "Per-Message Compressed" bit (RFC 7692 §6)
)

// NewFrame makes a text frame of a copy of payload.
func NewFrame(payload []byte) *Frame { return newFrame(finText, payload) }

// NewDeflatedFrame makes a text frame of a copy of data, which is a message as
// permessage-deflate sends it (RFC 7692 §7.2.1).
func NewDeflatedFrame(data []byte) *Frame { return newFrame(finTextDeflated, data) }

func newFrame(first byte, payload []byte) *Frame {
	b := make([]byte, frameHeadroom, frameHeadroom+len(payload))
	return makeFrame(first, append(b, payload...))
}

// frameOf makes a text frame of a buffer that begins with frameHeadroom free
// bytes, and keeps the buffer.
func frameOf(b []byte) *Frame { return makeFrame(finText, b) }

// makeFrame is frameOf with a first byte:
//
//	byte 0      first
//	byte 1      MASK 0, length 0..125, or 126: 2 bytes follow, or 127: 8 bytes
func makeFrame(first byte, b []byte) *Frame {
	n := len(b) - frameHeadroom
	class := classOf(b[frameHeadroom:])
	switch {
	case n < len16:
		b = b[frameHeadroom-2:]
		b[0], b[1] = first, byte(n)
		return &Frame{ws: b, header: 2, class: class}
	case n < len64:
		b = b[frameHeadroom-4:]
		b[0], b[1], b[2], b[3] = first, 126, byte(n>>8), byte(n)
		return &Frame{ws: b, header: 4, class: class}
	default:
		b[0], b[1] = first, 127
		for i := range 8 {
			b[2+i] = byte(uint64(n) >> (56 - 8*i))
		}
		return &Frame{ws: b, header: 10, class: class}
	}
}

// WebSocket returns the whole frame as a server sends it. Read only.
func (f *Frame) WebSocket() []byte { return f.ws }

// Payload returns the JSON text; of a deflated frame, its data. Read only.
func (f *Frame) Payload() []byte { return f.ws[f.header:] }

// Class is what the frame is about.
func (f *Frame) Class() Class { return f.class }

// Size is the number of bytes of the WebSocket form.
func (f *Frame) Size() int { return len(f.ws) }

// Deflated returns the message's form for connections that negotiated
// permessage-deflate. The first call makes it, with deflate, which returns a
// deflated frame, or f when that would be no smaller. Whoever asks meanwhile waits,
// no longer than deflating it again would take. Any goroutine may call.
func (f *Frame) Deflated(deflate func(*Frame) *Frame) *Frame {
	f.once.Do(func() {
		f.deflated = deflate(f)
		if f.deflated != f {
			f.deflated.class = f.class
		}
	})
	return f.deflated
}
