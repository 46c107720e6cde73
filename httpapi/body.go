package httpapi

import (
	"strings"
	"unicode/utf8"
	"unsafe"

	"dunlin/protocol"

	"github.com/tidwall/gjson"
)

// view returns b as a string without a copy. It is good for as long as the
// request: what is kept longer must be cloned.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// object reads a body that must be a JSON object, and returns a view of it.
// gjson recurses, so depth is limited first.
func object(body []byte) (value, error) {
	text := view(body)
	switch {
	case !utf8.ValidString(text):
		return "", badRequest("Invalid request body: not valid UTF-8")
	case protocol.TooDeep(text), !gjson.Valid(text):
		return "", badRequest("Invalid request body: not valid JSON")
	}
	root := value(strings.TrimSpace(text))
	if !root.isObject() {
		return "", badRequest("Invalid request body: expected a JSON object")
	}
	return root, nil
}

// value is a piece of valid JSON text: one value, without space around it, or ""
// when there is none. It is parsed no further than asked: unescaping an event's
// data, which nobody here reads, would cost more than all the rest.
type value string

func (v value) isString() bool { return v != "" && v[0] == '"' }
func (v value) isObject() bool { return v != "" && v[0] == '{' }
func (v value) isArray() bool  { return v != "" && v[0] == '[' }

// missing reports whether a value was absent or null; SDKs send either for what
// is optional (PROTOCOL 8.20).
func (v value) missing() bool { return v == "" || v[0] == 'n' }

// text returns the string that a string literal holds.
func (v value) text() string { return protocol.StringLiteral(v).Text() }

// each calls visit with the values of an array or an object, and for an object
// with their keys. It stops when visit returns false.
func (v value) each(visit func(key string, item value) bool) {
	for i := v.skip(1); v[i] != '}' && v[i] != ']'; i = v.skip(i) {
		var key string
		if v.isObject() {
			end := v.end(i)
			key = v[i:end].text()
			i = v.skip(end)
		}
		end := v.end(i)
		if !visit(key, v[i:end]) {
			return
		}
		i = end
	}
}

// count returns how many values an array has.
func (v value) count() (n int) {
	v.each(func(string, value) bool { n++; return true })
	return n
}

// skip returns the position of the next value, key or closing bracket.
func (v value) skip(i int) int {
	for v[i] <= ' ' || v[i] == ',' || v[i] == ':' {
		i++
	}
	return i
}

// end returns the position behind the value that begins at i.
func (v value) end(i int) int {
	switch v[i] {
	case '"':
		return v.endString(i)
	case '{', '[':
		return v.endNested(i)
	}
	for v[i] > ' ' && v[i] != ',' && v[i] != '}' && v[i] != ']' {
		i++
	}
	return i
}

// endString looks for a quote with an even number of backslashes before it.
func (v value) endString(start int) int {
	for i := start + 1; ; i++ {
		i += strings.IndexByte(string(v[i:]), '"')
		escapes := 0
		for v[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i + 1
		}
	}
}

func (v value) endNested(i int) int {
	for depth := 0; ; {
		switch v[i] {
		case '"':
			i = v.endString(i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if i++; depth == 0 {
			return i
		}
	}
}
