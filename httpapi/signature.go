package httpapi

import (
	"bytes"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// verify reports whether the app signed the request. The signature is over the
// request as sent; only when that fails are the other readings tried that
// proxies and HTTP libraries make necessary (PROTOCOL 5.4, 5.11). Values are
// read in the form that was signed from then on.
func (c *call) verify() bool {
	if c.query.signature < 0 {
		return false
	}
	signature := c.query.params[c.query.signature].value
	c.scratch = c.appendSigned(c.scratch[:0], c.path, formDecoded)
	if c.app.Verify(signature, c.scratch) {
		return true
	}
	for f := range formCount {
		if f != formDecoded && !c.query.escaped {
			break // all forms are the same
		}
		if c.verifyPaths(signature, f) {
			c.query.use(f)
			return true
		}
	}
	return false
}

// verifyPaths tries every reading of the path but the one that verify began with:
// with the prefix, since it was sent so, and decoded, since some escape a channel
// name after signing.
func (c *call) verifyPaths(signature []byte, f form) bool {
	for _, path := range [][]byte{c.path, c.prefixed} {
		if path == nil {
			continue
		}
		c.scratch = c.appendSigned(c.scratch[:0], path, f)
		if c.app.Verify(signature, c.scratch) {
			return true
		}
		if bytes.IndexByte(path, '%') < 0 {
			continue
		}
		c.scratch = c.appendSigned(c.scratch[:0], appendDecoded(nil, path, formPercents), f)
		if c.app.Verify(signature, c.scratch) {
			return true
		}
	}
	return false
}

// appendSigned appends the string to sign: method, path and parameters, a line
// each.
func (c *call) appendSigned(b, path []byte, f form) []byte {
	return appendToSign(b, c.ctx.Method(), path, &c.query, f)
}

func appendToSign(b, method, path []byte, q *query, f form) []byte {
	b = append(append(b, method...), '\n')
	b = append(append(b, path...), '\n')
	return q.appendSigned(b, f)
}

// inspect writes s as Ruby's String#inspect does: the hosted service is Ruby, and
// its developers compare that text (PROTOCOL 5.12).
func inspect(b, s []byte) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRune(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			b = appendHexByte(b, s[i])
		case r == '#' && i+1 < len(s) && (s[i+1] == '{' || s[i+1] == '$' || s[i+1] == '@'):
			b = append(b, '\\', '#') // or Ruby would interpolate
		default:
			b = inspectRune(b, r)
		}
		i += n
	}
	return append(b, '"')
}

func inspectRune(b []byte, r rune) []byte {
	const named, letters = "\"\\\n\t\r\x1b\a\b\v\f", "\"\\ntreabvf"
	switch i := bytes.IndexRune([]byte(named), r); {
	case i >= 0:
		return append(b, '\\', letters[i])
	case unicode.IsPrint(r):
		return utf8.AppendRune(b, r)
	case r == 0x7f:
		return append(b, `\x7F`...)
	case r > 0xffff:
		b = append(b, `\u{`...)
		return append(appendUpperHex(b, r, 1), '}')
	default:
		return appendUpperHex(append(b, `\u`...), r, 4)
	}
}

func appendHexByte(b []byte, c byte) []byte {
	return appendUpperHex(append(b, `\x`...), rune(c), 2)
}

// appendUpperHex appends r in at least width upper-case hex digits.
func appendUpperHex(b []byte, r rune, width int) []byte {
	digits := bytes.ToUpper(strconv.AppendInt(nil, int64(r), 16))
	for range width - len(digits) {
		b = append(b, '0')
	}
	return append(b, digits...)
}
