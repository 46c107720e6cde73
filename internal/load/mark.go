package load

import (
	"bytes"
	"fmt"
	"strconv"
)

// mark is how an event is known again in the messages that carry it, whatever
// JSON a server puts around its data: "~RUN:" and the event's number in ten
// digits. RUN tells this run's events from those of others on the same channels.
type mark struct{ head []byte }

const (
	markDigits = 10
	markSize   = 1 + 6 + 1 + markDigits
)

func newMark(run uint32) *mark { return &mark{fmt.Appendf(nil, "~%06x:", run&0xFFFFFF)} }

// append appends the mark of event n.
func (m *mark) append(b []byte, n int) []byte {
	b = append(b, m.head...)
	digits := strconv.Itoa(n)
	for range markDigits - len(digits) {
		b = append(b, '0')
	}
	return append(b, digits...)
}

// find returns the number of the event that a message carries; ok is false when
// it carries none of this run.
func (m *mark) find(message []byte) (n int, ok bool) {
	i := bytes.Index(message, m.head)
	if i < 0 || len(message) < i+len(m.head)+markDigits {
		return 0, false
	}
	for _, c := range message[i+len(m.head):][:markDigits] {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}
