//go:build linux

package epoll

import (
	"bytes"
	"compress/flate"
	"testing"

	"dunlin/transport"
	"dunlin/transport/wire"
)

// hearer counts what it hears.
type hearer struct{ messages, bytes int }

func (h *hearer) Message(b []byte) { h.messages++; h.bytes += len(b) }
func (*hearer) Binary()            {}
func (*hearer) Closed(error)       {}

// TestTurnBringsOnlySoMuch holds that a buffer of compressed messages does not
// become a thousand times what a plain one brings in a turn, and that nothing of it
// is lost or kept.
func TestTurnBringsOnlySoMuch(t *testing.T) {
	t.Parallel()
	const many, size = 300, 50_000
	l := testLoop(transport.Options{CompressFrom: 1})
	h := &hearer{}
	c := &conn{loop: l, state: stateOpen, flags: flagDeflate, session: h}
	var message bytes.Buffer
	w, _ := flate.NewWriter(&message, 9)
	w.Write(bytes.Repeat([]byte(" "), size))
	w.Flush()
	stream := wire.AppendMasked(nil, wire.Text, bytes.TrimSuffix(message.Bytes(), []byte("\x00\x00\xff\xff")))
	stream[0] |= 0x40 // RSV1
	stream = bytes.Repeat(stream, many)
	if len(stream) > readBytes {
		t.Fatalf("%d bytes: more than one read takes", len(stream))
	}
	l.input(c, stream)
	clear(stream) // the loop's buffer is used for others
	for turn := 1; ; turn++ {
		if h.bytes > turn*(readBytes+size) {
			t.Fatalf("%d bytes after %d turns", h.bytes, turn)
		}
		if len(l.late) == 0 {
			break
		}
		l.catchUp()
	}
	if h.messages != many || h.bytes != many*size || c.state != stateOpen || c.flags&flagLate != 0 {
		t.Errorf("%d messages of %d bytes in all, want %d of %d; state %d, flags %b", h.messages, h.bytes, many, many*size, c.state, c.flags)
	}
	if c.reader != (wire.Reader{}) {
		t.Error("memory is held between messages")
	}
}
