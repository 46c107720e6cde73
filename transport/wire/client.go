package wire

import (
	"encoding/binary"
	"math"

	"github.com/gobwas/ws"

	"dunlin/protocol"
)

// The other side of a connection, for programs that load a server: frames as a
// client sends them, and the server's taken apart.

// Framing errors of servers, beside those of clients.
var (
	errMasked     = framing("masked frame from a server")
	errFragmented = framing("fragmented message from a server")
)

// AppendMasked appends a client's frame. Its masking key is zero, which is a key
// like any other (RFC 6455 §5.3) and leaves the payload as it is: a load maker
// has no proxy to protect. kind is Text, Binary, Ping or Pong.
func AppendMasked(b []byte, kind Kind, payload []byte) []byte {
	b = append(b, 0x80|byte(opOf(kind)))
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n <= math.MaxUint16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	b = append(b, 0, 0, 0, 0)
	return append(b, payload...)
}

func opOf(kind Kind) ws.OpCode {
	switch kind {
	case Binary:
		return ws.OpBinary
	case Ping:
		return ws.OpPing
	case Pong:
		return ws.OpPong
	}
	return ws.OpText
}

// ServerFrame returns the first event in what a server sent, and what follows
// it. Kind None says that the frame is not complete: the caller keeps chunk and
// calls again when more has come. The payload lies in chunk and is not checked
// for UTF-8, nor inflated. Fragmented messages, which no Pusher server sends, are an error.
func ServerFrame(chunk []byte) (Event, []byte, *protocol.Error) {
	if len(chunk) < 2 {
		return Event{}, chunk, nil
	}
	n, length := 2, int(chunk[1]&0x7F)
	switch {
	case chunk[1]&0x80 != 0: // §5.1: "A server MUST NOT mask any frames that it sends to the client"
		return Event{}, nil, errMasked
	case chunk[0]&0x70 != 0 && chunk[0] != 0x80|rsv1|byte(ws.OpText):
		return Event{}, nil, errReserved
	case length == 126:
		n = 4
	case length == 127:
		n = 10
	}
	if len(chunk) < n {
		return Event{}, chunk, nil
	}
	switch n {
	case 4:
		length = int(binary.BigEndian.Uint16(chunk[2:]))
	case 10:
		length = int(min(binary.BigEndian.Uint64(chunk[2:]), math.MaxInt/2))
	}
	if len(chunk)-n < length {
		return Event{}, chunk, nil
	}
	e, bad := serverEvent(chunk[0], chunk[n:n+length])
	return e, chunk[n+length:], bad
}

// serverEvent makes the event of a complete frame.
func serverEvent(first byte, payload []byte) (Event, *protocol.Error) {
	op := ws.OpCode(first & 0x0F)
	switch {
	case first&0x80 == 0 || op == ws.OpContinuation:
		return Event{}, errFragmented
	case op == ws.OpText:
		return Event{Kind: Text, Deflate: first&rsv1 != 0, Payload: payload}, nil
	case op == ws.OpBinary, op == ws.OpPing, op == ws.OpPong, op == ws.OpClose:
		return event(op, payload)
	}
	return Event{}, errOpcode
}

// The key of every upgrade request of a load maker, and the answer that proves a
// WebSocket server (RFC 6455 §1.3: its own example).
const (
	sampleKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	SampleAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// OfferDeflate is an offer of permessage-deflate whose taker sends messages that
// Inflate understands, each on its own.
const OfferDeflate = deflateName + "; server_no_context_takeover"

// AppendUpgrade appends a client's upgrade request with offers of extensions. A
// server that upgrades answers 101 with SampleAccept.
func AppendUpgrade(b []byte, host, target string, offers ...string) []byte {
	b = append(append(append(b, "GET "...), target...), " HTTP/1.1\r\nHost: "...)
	b = append(append(b, host...), "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: "...)
	b = append(append(b, sampleKey...), "\r\nSec-WebSocket-Version: 13\r\n"...)
	for _, offer := range offers {
		b = append(append(append(b, "Sec-WebSocket-Extensions: "...), offer...), "\r\n"...)
	}
	return append(b, "\r\n"...)
}
