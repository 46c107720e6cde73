package httpapi

import (
	"bytes"
	"slices"
)

// query is the parameters of a request, ready to be signed: keys lower-cased and
// sorted, those of one key in order of appearance (PROTOCOL 5.2, 5.5, 5.7). Its
// memory is reused from request to request.
type query struct {
	params    []param
	text      []byte // holds what had to be decoded or lower-cased
	escaped   bool   // some value has another form than the raw one
	signature int    // index of auth_signature in params, -1 when absent
}

// param is one parameter. Its slices point into the request or into query.text.
type param struct {
	key   []byte // decoded, lower-case
	raw   []byte // the value as received
	value []byte // the value in the form that was signed; decoded until that is known
}

// form is a way to read values. Senders escape or do not, and sign what they had
// before escaping (PROTOCOL 5.4).
type form int

const (
	formDecoded  form = iota // percent escapes and + for space
	formRaw                  // as received: an unescaped query may contain any of these characters
	formPercents             // percent escapes alone, + is a plus
	formCount
)

// The parameters of authentication.
const (
	paramKey       = "auth_key"
	paramTimestamp = "auth_timestamp"
	paramVersion   = "auth_version"
	paramSignature = "auth_signature"
	paramMD5       = "body_md5"
)

func (q *query) parse(raw []byte) {
	q.params, q.text, q.escaped = q.params[:0], q.text[:0], false
	for len(raw) > 0 {
		var pair []byte
		pair, raw, _ = bytes.Cut(raw, []byte{'&'})
		if len(pair) == 0 {
			continue
		}
		key, value, _ := bytes.Cut(pair, []byte{'='}) // no "=" signs as an empty value
		p := param{key: q.lowerKey(key), raw: value, value: value}
		if isEscaped(value) {
			q.escaped = true
			p.value = q.decode(value, formDecoded)
		}
		q.params = append(q.params, p)
	}
	slices.SortStableFunc(q.params, func(a, b param) int { return bytes.Compare(a.key, b.key) })
	q.signature = q.index(paramSignature)
}

func isEscaped(s []byte) bool {
	return bytes.IndexByte(s, '%') >= 0 || bytes.IndexByte(s, '+') >= 0
}

// lowerKey decodes a key and lower-cases it.
func (q *query) lowerKey(key []byte) []byte {
	plain := true
	for _, c := range key {
		if c == '%' || c == '+' || c >= 'A' && c <= 'Z' {
			plain = false
			break
		}
	}
	if plain {
		return key
	}
	key = q.decode(key, formDecoded)
	for i, c := range key {
		if c >= 'A' && c <= 'Z' {
			key[i] = c | 0x20
		}
	}
	return key
}

// decode reads s in a form into memory of q, which later growth leaves intact.
func (q *query) decode(s []byte, f form) []byte {
	start := len(q.text)
	q.text = appendDecoded(q.text, s, f)
	return q.text[start:len(q.text):len(q.text)]
}

// appendDecoded appends s in a form. What is no escape stands for itself.
func appendDecoded(b, s []byte, f form) []byte {
	if f == formRaw {
		return append(b, s...)
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '+' && f == formDecoded:
			b = append(b, ' ')
		case c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			b = append(b, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
		default:
			b = append(b, c)
		}
	}
	return b
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}

// unhex returns the value of a hex digit.
func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// index returns the position of the last parameter with that key, or -1.
func (q *query) index(key string) int {
	for i := len(q.params) - 1; i >= 0; i-- {
		if string(q.params[i].key) == key {
			return i
		}
	}
	return -1
}

// get returns the value of the last parameter with that key.
func (q *query) get(key string) (value []byte, ok bool) {
	i := q.index(key)
	if i < 0 {
		return nil, false
	}
	return q.params[i].value, true
}

// use makes a form the one that values are read in.
func (q *query) use(f form) {
	for i := range q.params {
		p := &q.params[i]
		if p.value = p.raw; f != formRaw && isEscaped(p.raw) {
			p.value = q.decode(p.raw, f)
		}
	}
}

// appendSigned appends the parameters in the form of the string to sign: all but
// the signature, k=v joined by & (PROTOCOL 5.2).
func (q *query) appendSigned(b []byte, f form) []byte {
	first := true
	for i := range q.params {
		p := &q.params[i]
		if string(p.key) == paramSignature {
			continue
		}
		if !first {
			b = append(b, '&')
		}
		first = false
		b = append(append(b, p.key...), '=')
		if f == formDecoded {
			b = append(b, p.value...) // decoded already
		} else {
			b = appendDecoded(b, p.raw, f)
		}
	}
	return b
}
