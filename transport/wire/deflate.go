package wire

import (
	"bytes"
	"io"
	"sync"

	"github.com/gobwas/httphead"
	"github.com/klauspost/compress/flate"

	"dunlin/protocol"
)

// permessage-deflate (RFC 7692), without context takeover: every message is
// compressed on its own, so that one compressed form serves all connections and
// none of them keeps a window.

const deflateName = "permessage-deflate"

// deflateAnswer accepts an offer. Either parameter may stand there unasked
// (§7.1.1.1, §7.1.1.2).
var deflateAnswer = func() httphead.Option {
	o := httphead.Option{Name: []byte(deflateName)}
	o.Parameters.Set([]byte("server_no_context_takeover"), nil)
	o.Parameters.Set([]byte("client_no_context_takeover"), nil)
	return o
}()

// acceptable reports whether an offer is one of permessage-deflate that the server
// can serve. "A server MUST decline an extension negotiation offer" with a
// parameter that is unknown, invalid or there twice (§7.1).
func acceptable(offer httphead.Option) bool {
	ok := string(offer.Name) == deflateName
	seen := map[string]bool{}
	offer.Parameters.ForEach(func(name, value []byte) bool {
		ok = ok && !seen[string(name)] && acceptableParameter(string(name), string(value))
		seen[string(name)] = true
		return ok
	})
	return ok
}

func acceptableParameter(name, value string) bool {
	switch name {
	case "server_no_context_takeover", "client_no_context_takeover":
		return value == ""
	case "server_max_window_bits":
		return value == "15" // a smaller window would need a compressed form of its own
	case "client_max_window_bits": // what the client could do; any window can be inflated
		return value == "" || windowBits(value)
	}
	return false
}

// windowBits reports whether s is a number from 8 to 15 without leading zeros
// (§7.1.2.1).
func windowBits(s string) bool {
	switch s {
	case "8", "9", "10", "11", "12", "13", "14", "15":
		return true
	}
	return false
}

// Deflater gives messages the form in which connections that negotiated
// permessage-deflate get them. It may be shared.
type Deflater struct{ min int }

// NewDeflater returns the deflater of a server that compresses messages of min
// bytes and more.
func NewDeflater(min int) Deflater { return Deflater{min} }

// Frame returns f's compressed form, or f itself where that is not worth it.
func (d Deflater) Frame(f *protocol.Frame) *protocol.Frame {
	if len(f.Payload()) < d.min {
		return f
	}
	return f.Deflated(deflate)
}

// syncTail ends what a flush leaves of a message, and never travels: "Remove 4
// octets (that are 0x00 0x00 0xff 0xff) from the tail end" (§7.2.1).
const syncTail = "\x00\x00\xff\xff"

// deflate compresses a frame, at about level 1 of others: higher ones save a few
// per cent for several times the work. Nothing is kept from one to the next.
func deflate(f *protocol.Frame) *protocol.Frame {
	b := buffer{getBytes(f.Size())}
	defer func() { putBytes(b.bytes) }() // not the one that it began with, if it grew
	if err := flate.StatelessDeflate(&b, f.Payload(), false, nil); err != nil {
		panic("compressing into memory: " + err.Error()) // b takes everything
	}
	data := bytes.TrimSuffix(*b.bytes, []byte(syncTail))
	if len(data) >= len(f.Payload()) {
		return f
	}
	return protocol.NewDeflatedFrame(data)
}

// buffer is pooled memory to write to.
type buffer struct{ bytes *[]byte }

func (b *buffer) Write(p []byte) (int, error) {
	b.bytes = appendBytes(b.bytes, p)
	return len(p), nil
}

// inflateTail gives a message its end back (§7.2.2). The final block behind it
// tells the inflater that this was all.
const inflateTail = syncTail + "\x01\x00\x00\xff\xff"

// maxDeflated bounds the data of a message of at most max bytes. It may be the
// longer one: what does not get smaller is stored in blocks, with 5 bytes for each.
func maxDeflated(max int) int { return max + max>>9 + 64 }

var errDeflate = framing("malformed deflate data")

// inflater is what inflating needs, about 40 KiB.
type inflater struct {
	in  bytes.Reader
	out io.Reader // a flate.Resetter too
}

var inflaters = sync.Pool{New: func() any {
	z := new(inflater)
	z.out = flate.NewReader(&z.in)
	return z
}}

// inflate takes a message's data, in pooled memory, which may be nil, and returns
// its text in such. It stops at max bytes.
func inflate(data *[]byte, max int) (*[]byte, *protocol.Error) {
	data = appendBytes(data, []byte(inflateTail))
	defer putBytes(data)
	z := inflaters.Get().(*inflater)
	defer inflaters.Put(z)
	z.in.Reset(*data)
	if err := z.out.(flate.Resetter).Reset(&z.in, nil); err != nil {
		panic("resetting an inflater: " + err.Error()) // only a dictionary could be wrong
	}
	text := getBytes(min(4*len(*data), max+1))
	bad := z.read(&text, max)
	if bad == nil && !z.ended() {
		bad = errDeflate
	}
	z.in.Reset(nil)
	if bad != nil {
		putBytes(text)
		return nil, bad
	}
	return text, nil
}

// read inflates until the end, or until there are more than max bytes.
func (z *inflater) read(text **[]byte, max int) *protocol.Error {
	for {
		*text = withRoom(*text, 1)
		b := *text
		n, err := z.out.Read((*b)[len(*b):min(cap(*b), max+1)])
		*b = (*b)[:len(*b)+n]
		switch {
		case len(*b) > max:
			return ErrTooBig
		case err == io.EOF:
			return nil
		case err != nil:
			return errDeflate
		}
	}
}

// ended reports whether the inflater has stopped where the message ends: in the
// tail's final block, or in one of the message's own, of which then nothing but
// its end of one zero byte is left (§7.2.3.4).
func (z *inflater) ended() bool {
	switch z.in.Len() {
	case 0, len(inflateTail):
		return true
	case len(inflateTail) + 1:
		b, _ := z.in.ReadByte()
		return b == 0
	}
	return false
}

// Inflate returns the text of a message's data, at most max bytes of it.
func Inflate(data []byte, max int) ([]byte, *protocol.Error) {
	text, bad := inflate(appendBytes(nil, data), max)
	if bad != nil {
		return nil, bad
	}
	defer putBytes(text)
	return bytes.Clone(*text), nil
}
