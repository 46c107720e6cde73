package protocol

import (
	"crypto/rand"
	"encoding/binary"
	"strconv"
)

// maxHalf bounds each half of a socket id to ten digits (PROTOCOL 1.17).
const maxHalf = 10_000_000_000

// SocketID names one connection, "Hi.Lo" on the wire. Both halves are below
// 10^10. The zero value names nobody.
type SocketID struct{ Hi, Lo uint64 }

// NewSocketID draws an id from the system's secure source: 66 random bits, so
// that nobody can guess the id that another connection's auth string signs.
func NewSocketID() SocketID {
	var b [16]byte
	for {
		rand.Read(b[:]) // never fails: crypto/rand ends the process instead
		id := SocketID{
			Hi: binary.LittleEndian.Uint64(b[:8]) % maxHalf,
			Lo: binary.LittleEndian.Uint64(b[8:]) % maxHalf,
		}
		if !id.IsZero() {
			return id
		}
	}
}

// ParseSocketID reads "digits.digits". A text of any other form, or with a half
// that dunlin could not have made, is not ok and stands for nobody.
func ParseSocketID(s string) (id SocketID, ok bool) {
	hi, n, ok := half(s)
	if !ok || n == len(s) || s[n] != '.' {
		return SocketID{}, false
	}
	lo, m, ok := half(s[n+1:])
	if !ok || n+1+m != len(s) {
		return SocketID{}, false
	}
	return SocketID{Hi: hi, Lo: lo}, true
}

// half reads leading digits and says how many bytes they took.
func half(s string) (v uint64, n int, ok bool) {
	for n < len(s) && n < 11 && s[n] >= '0' && s[n] <= '9' {
		v = v*10 + uint64(s[n]-'0')
		n++
	}
	return v, n, n > 0 && v < maxHalf
}

// IsZero reports whether id names nobody.
func (id SocketID) IsZero() bool { return id == SocketID{} }

// Append appends the wire form to b.
func (id SocketID) Append(b []byte) []byte {
	b = strconv.AppendUint(b, id.Hi, 10)
	b = append(b, '.')
	return strconv.AppendUint(b, id.Lo, 10)
}

// String returns the wire form.
func (id SocketID) String() string { return string(id.Append(make([]byte, 0, 21))) }
