package wire

import (
	"math/bits"
	"sync"

	"github.com/gobwas/ws"

	"dunlin/protocol"
)

// partial is what a reader holds of frames that came in pieces. Payloads are
// unmasked as they come.
type partial struct {
	head      [maxHead]byte // of a frame whose header is not whole
	headLen   int
	h         header
	inFrame   bool // h is whole and its payload is being read
	got       int  // bytes of that payload so far
	messageOp ws.OpCode
	inMessage bool    // a data frame was begun, and the final one is not complete
	deflated  bool    // that message is compressed
	delivered bool    // message was handed out: forget it at the next call
	message   *[]byte // payloads of data frames, joined; pooled
	control   [maxControl]byte
}

var partials = sync.Pool{New: func() any { return new(partial) }}

func newPartial() *partial { return partials.Get().(*partial) }

func (p *partial) release() {
	putBytes(p.message)
	*p = partial{}
	partials.Put(p)
}

// settle forgets what was delivered and reports whether nothing else is held.
func (p *partial) settle() (empty bool) {
	if p.delivered {
		putBytes(p.message)
		p.message, p.delivered, p.inMessage, p.deflated = nil, false, false, false
	}
	return !p.inMessage && !p.inFrame && p.headLen == 0
}

// next is Reader.Next for a reader that holds something.
func (p *partial) next(chunk []byte, maxMessage int, deflate bool) (Event, []byte, *protocol.Error) {
	for {
		if !p.inFrame {
			var bad *protocol.Error
			if chunk, bad = p.readHead(chunk, maxMessage, deflate); bad != nil || !p.inFrame {
				return Event{}, nil, bad
			}
		}
		if chunk = p.readPayload(chunk); p.got < p.h.length {
			return Event{}, nil, nil
		}
		p.inFrame = false
		switch {
		case p.h.op.IsControl():
			e, bad := event(p.h.op, p.control[:p.got])
			return e, chunk, bad
		case p.h.fin:
			e, bad := p.deliver(maxMessage)
			return e, chunk, bad
		}
	}
}

// deliver makes the event of the complete message.
func (p *partial) deliver(maxMessage int) (Event, *protocol.Error) {
	if p.deflated {
		var bad *protocol.Error
		if p.message, bad = inflate(p.message, maxMessage); bad != nil {
			return Event{}, bad
		}
	}
	p.delivered = true
	return event(p.messageOp, p.joined())
}

// readHead gathers a header and begins its frame once that is whole.
func (p *partial) readHead(chunk []byte, maxMessage int, deflate bool) ([]byte, *protocol.Error) {
	took := copy(p.head[p.headLen:], chunk)
	h, n, bad := parseHeader(p.head[:p.headLen+took], p.inMessage, deflate)
	if bad != nil {
		return nil, bad
	}
	if n == 0 {
		p.headLen += took
		return nil, nil
	}
	chunk = chunk[n-p.headLen:]
	p.headLen, p.h, p.inFrame, p.got = 0, h, true, 0
	if h.op.IsControl() {
		return chunk, nil
	}
	if h.op != ws.OpContinuation {
		p.messageOp, p.inMessage, p.deflated = h.op, true, h.deflated
	}
	if p.deflated {
		maxMessage = maxDeflated(maxMessage)
	}
	if h.length > maxMessage-len(p.joined()) {
		return nil, ErrTooBig
	}
	return chunk, nil
}

// readPayload takes what chunk has of the current frame's payload.
func (p *partial) readPayload(chunk []byte) []byte {
	b := chunk[:min(len(chunk), p.h.length-p.got)]
	ws.Cipher(b, p.h.mask, p.got)
	if p.h.op.IsControl() {
		copy(p.control[p.got:], b)
	} else if len(b) > 0 {
		p.message = appendBytes(p.message, b)
	}
	p.got += len(b)
	return chunk[len(b):]
}

func (p *partial) joined() []byte {
	if p.message == nil {
		return nil
	}
	return *p.message
}

// Buffers grow as bytes come, never on the word of a header, through size
// classes of 512 B << class.
const (
	firstClass = 9
	classes    = 12 // up to 1 MiB; longer ones are not pooled
)

var pools [classes]sync.Pool // of *[]byte

func getBytes(size int) *[]byte {
	class := max(bits.Len(uint(max(size, 1)-1))-firstClass, 0)
	if class >= classes {
		b := make([]byte, 0, size+size/2)
		return &b
	}
	if b, ok := pools[class].Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 0, 1<<(firstClass+class))
	return &b
}

func putBytes(b *[]byte) {
	if b == nil {
		return
	}
	class := bits.Len(uint(cap(*b))) - 1 - firstClass
	if class < classes && cap(*b) == 1<<(firstClass+class) {
		*b = (*b)[:0]
		pools[class].Put(b)
	}
}

// withRoom returns a pooled buffer with what is in b, which may be nil, and room
// for n bytes more.
func withRoom(b *[]byte, n int) *[]byte {
	if b == nil {
		return getBytes(n)
	}
	need := len(*b) + n
	if need <= cap(*b) {
		return b
	}
	larger := getBytes(max(need, 2*cap(*b)))
	*larger = append(*larger, *b...)
	putBytes(b)
	return larger
}

// appendBytes appends to a pooled buffer, which may be nil.
func appendBytes(b *[]byte, more []byte) *[]byte {
	b = withRoom(b, len(more))
	*b = append(*b, more...)
	return b
}
