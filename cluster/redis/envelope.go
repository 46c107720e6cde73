package redis

import (
	"encoding/binary"
	"strconv"
	"strings"
	"time"

	"dunlin/cluster"
	"dunlin/protocol"
)

// A message of a topic is a byte that says its kind, then
//
//	E  an event: see appendEvent
//	A  version ':' length of the user's id ':' id data       the user came
//	R  version ':' id                                        the user left
//	S  count [':' own ':' incarnation]                       of all subscriptions, and of who says so
//	O  '1' or '0'                                            the user is signed in
//
// and on the control topic
//
//	T  time ':' app '\n' user                                end the user's connections
//	N  incarnation                                           a node registers
//	W  incarnation ':' node                                  to it: that node takes no short cut
//	M  node ':' number                                       that node's, to see when it comes back
//	?                                                        nothing: is anybody there?
//
// Kinds are only ever added; what is unknown is ignored.
const (
	kindEvent     = 'E'
	kindAdded     = 'A'
	kindRemoved   = 'R'
	kindCount     = 'S'
	kindOnline    = 'O'
	kindTerminate = 'T'
	kindNewcomer  = 'N'
	kindWelcome   = 'W'
	kindMark      = 'M'
)

// Flags of an event.
const (
	eventExcept = 1 << iota
	eventKept
	eventOrigin
)

// appendEvent writes an event, with its kind:
//
//	'E'
//	flags    1 byte
//	except   two varints, the halves of a socket id, if flags has eventExcept
//	kept     8 bytes identity, varint milliseconds, if flags has eventKept
//	origin   8 bytes, the node that has delivered it already, if flags has eventOrigin
//	payload  the JSON text that clients get
func appendEvent(b []byte, m *cluster.Message, id, origin uint64) []byte {
	flags := byte(0)
	if !m.Except.IsZero() {
		flags |= eventExcept
	}
	if m.Keep > 0 {
		flags |= eventKept
	}
	if origin != 0 {
		flags |= eventOrigin
	}
	b = append(b, kindEvent, flags)
	if flags&eventExcept != 0 {
		b = binary.AppendUvarint(b, m.Except.Hi)
		b = binary.AppendUvarint(b, m.Except.Lo)
	}
	if flags&eventKept != 0 {
		b = binary.BigEndian.AppendUint64(b, id)
		b = binary.AppendUvarint(b, uint64(m.Keep.Milliseconds()))
	}
	if flags&eventOrigin != 0 {
		b = binary.BigEndian.AppendUint64(b, origin)
	}
	return append(b, m.Frame.Payload()...)
}

// arrived is an event as it came.
type arrived struct {
	cluster.Message
	id     uint64 // 0: it is not kept
	origin uint64 // 0: it is new to all nodes
}

// decodeEvent reads what follows the kind.
func decodeEvent(text string) (m arrived, ok bool) {
	r := reader{rest: text}
	flags := r.byte()
	if flags&eventExcept != 0 {
		m.Except = protocol.SocketID{Hi: r.varint(), Lo: r.varint()}
	}
	if flags&eventKept != 0 {
		m.id = r.uint64()
		m.Keep = time.Duration(r.varint()) * time.Millisecond
	}
	if flags&eventOrigin != 0 {
		m.origin = r.uint64()
	}
	if r.bad || flags&^(eventExcept|eventKept|eventOrigin) != 0 {
		return m, false // of a newer version, whose payload we would not find
	}
	m.Frame = protocol.NewFrame([]byte(r.rest))
	return m, true
}

// reader reads from a text until something is missing.
type reader struct {
	rest string
	bad  bool
}

func (r *reader) byte() byte {
	if r.rest == "" {
		r.bad = true
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) uint64() (n uint64) {
	for range 8 {
		n = n<<8 | uint64(r.byte())
	}
	return n
}

func (r *reader) varint() (n uint64) {
	for shift := 0; shift < 64; shift += 7 {
		b := r.byte()
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n
		}
	}
	r.bad = true
	return 0
}

// change is a change of a presence channel's members.
type change = cluster.MemberChange

// decodeChange reads an A or R message, with its kind.
func decodeChange(text string) (c change, ok bool) {
	version, rest, ok := strings.Cut(text[1:], ":")
	n, err := strconv.ParseUint(version, 10, 64)
	if !ok || err != nil {
		return c, false
	}
	c.Version, c.Added = n, text[0] == kindAdded
	if !c.Added {
		c.Member.ID = rest
		return c, true
	}
	length, rest, ok := strings.Cut(rest, ":")
	size, ok2 := decodeNumber(length)
	if !ok || !ok2 || size > len(rest) {
		return c, false
	}
	c.Member = protocol.Member{ID: rest[:size], Data: rest[size:]}
	return c, true
}

func decodeNumber(text string) (int, bool) {
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= 0
}
