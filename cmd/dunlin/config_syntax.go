package main

import (
	"bytes"
	"regexp"
	"strconv"
	"unicode/utf8"
)

var (
	yamlLine = regexp.MustCompile(`\Ayaml: (?:line ([0-9]+): )?`)
	// The library counts lines from 1 when its scanner fails, from 0 when its parser
	// does. These are the parser's messages.
	yamlParser = regexp.MustCompile(`did not find expected (<document start>|node content|'-' indicator|key|',' or .*)\z`)
	yamlAnchor = regexp.MustCompile(`unknown anchor '(.*)' referenced`)
	yamlBreak  = regexp.MustCompile(`\r\n|[\r\n\x{85}\x{2028}\x{2029}]`)
	yamlBytes  = regexp.MustCompile(`control character|UTF-8|Unicode character`)
)

// syntaxLine finds the line of a syntax error. The library names none on the first
// line, for bytes that are no text and for anchors that do not exist.
func syntaxLine(err error, data []byte) int {
	text := err.Error()
	if m := yamlLine.FindStringSubmatch(text); m != nil && m[1] != "" {
		line, _ := strconv.Atoi(m[1])
		if yamlParser.MatchString(text) {
			line++
		}
		return min(max(line, 1), lineAt(data, len(bytes.TrimRight(data, "\r\n"))))
	}
	if m := yamlAnchor.FindStringSubmatch(text); m != nil {
		return lineAt(data, max(0, bytes.Index(data, []byte("*"+m[1]))))
	}
	if yamlBytes.MatchString(text) {
		return lineAt(data, firstBad(data))
	}
	return 1
}

// lineAt is the line of a byte.
func lineAt(data []byte, i int) int { return 1 + len(yamlBreak.FindAllIndex(data[:i], -1)) }

// firstBad is the index of the first byte that is no UTF-8 or a control character.
func firstBad(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		control := r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f
		if control || r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return 0
}
