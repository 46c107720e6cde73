package main

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// kind says what values a setting takes, and reads them. What read returns beside
// an error does not count.
type kind[V any] struct {
	values string // for the documentation
	read   func(given) (V, error)
	same   func(a, b V) bool
}

func plain[V comparable](values string, read func(given) (V, error)) kind[V] {
	return kind[V]{values, read, func(a, b V) bool { return a == b }}
}

var boolean = plain("true or false", func(g given) (bool, error) {
	if g.is("!!bool") {
		switch strings.ToLower(g.node.Value) {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
	}
	return false, g.wrong("true or false")
})

// inherited is what may be left out, for somebody else's value to stand for it.
func inherited[V any](k kind[V]) kind[*V] {
	return kind[*V]{
		values: k.values,
		read: func(g given) (*V, error) {
			v, err := k.read(g)
			return &v, err
		},
		same: func(a, b *V) bool { return a == b || a != nil && b != nil && k.same(*a, *b) },
	}
}

// limit is a bound that can be taken away.
var limit = kind[int]{"number, 0: no limit", number(0, math.MaxInt32).read, number(0, 0).same}

// number is a whole number from least to most.
func number(least, most int) kind[int] {
	between := fmt.Sprintf("from %d to %d", least, most)
	return plain("number "+between, func(g given) (int, error) {
		n, err := strconv.Atoi(g.node.Value)
		if err != nil || !g.is("!!int") || n < least || n > most {
			return 0, g.wrong("a whole number " + between)
		}
		return n, nil
	})
}

// duration is from least to most.
func duration(least, most time.Duration) kind[time.Duration] {
	between := spell(least) + " to " + spell(most)
	return plain("duration from "+between, func(g given) (time.Duration, error) {
		word, ok := g.word()
		d, err := time.ParseDuration(word)
		switch {
		case !ok || err != nil:
			return 0, g.wrong("a duration with its unit, such as 10s or 1m30s")
		case d < least || d > most:
			return 0, g.wrong("from " + between)
		}
		return d, nil
	})
}

// spell writes a duration as people do: 24h, not 24h0m0s.
func spell(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

var errUnit = errors.New("no unit")

// size is a number of bytes with its unit, from least to most.
func size(least, most int) kind[int] {
	between := spellSize(least) + " to " + spellSize(most)
	return plain("size from "+between, func(g given) (int, error) {
		n, err := parseSize(g, errUnit)
		switch {
		case err != nil:
			return 0, g.wrong("a size with its unit (B, KiB, MiB or GiB), such as 100KiB")
		case n < least || n > most:
			return 0, g.wrong("from " + between)
		}
		return n, nil
	})
}

// byteCount is a number of bytes, with a unit or without.
var byteCount = plain("bytes or size, 0: no limit", func(g given) (int, error) {
	n, err := parseSize(g, nil)
	if err != nil || n > gib {
		return 0, g.wrong("a number of bytes or a size such as 10KiB, at most 1GiB")
	}
	return n, nil
})

var units = []struct {
	name  string
	bytes int
}{{"GiB", gib}, {"MiB", mib}, {"KiB", kib}, {"B", 1}}

// parseSize returns bare for a number other than 0 that has no unit.
func parseSize(g given, bare error) (int, error) {
	word, ok := g.word()
	if !ok {
		return 0, errUnit
	}
	digits, factor := word, 1
	for _, u := range units {
		if d, ok := strings.CutSuffix(word, u.name); ok {
			digits, factor, bare = strings.TrimRight(d, " "), u.bytes, nil
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	if err == nil && n > 0 {
		err = bare
	}
	return int(n) * factor, err
}

func spellSize(n int) string {
	for _, u := range units {
		if n > 0 && n%u.bytes == 0 {
			return strconv.Itoa(n/u.bytes) + u.name
		}
	}
	return "0"
}

// oneOf is a choice among words.
func oneOf(choices ...string) kind[string] {
	last := len(choices) - 1
	list := strings.Join(choices[:last], ", ") + " or " + choices[last]
	return plain(list, func(g given) (string, error) {
		word, ok := g.word()
		if !ok || !slices.Contains(choices, word) {
			return "", g.wrong(list)
		}
		return word, nil
	})
}

// filePath is the path of a file.
var filePath = plain("path", func(g given) (string, error) {
	word, ok := g.word()
	if !ok || word == "" || strings.ContainsFunc(word, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", g.wrong("the path of a file")
	}
	return word, nil
})

// maxHandoverPath leaves room in a unix socket's address for the name under which a
// socket is made before it is moved into place.
const maxHandoverPath = maxSocketPath - len(".4294967295")

// socketPath is the path of a unix socket, or empty.
var socketPath = plain("path", func(g given) (string, error) {
	word, ok := g.word()
	if word = strings.TrimPrefix(word, unixPrefix); !ok || word != "" && !strings.HasPrefix(word, "/") ||
		len(word) > maxHandoverPath || strings.ContainsFunc(word, unprintable) {
		return "", g.wrong(fmt.Sprintf("an absolute path of at most %d bytes", maxHandoverPath))
	}
	return word, nil
})

// words is a list of texts without white space.
var words = kind[[]string]{
	values: "list",
	read: func(g given) (list []string, err error) {
		items, ok := g.items()
		if !ok {
			return nil, g.wrong("a list")
		}
		for _, item := range items {
			word, ok := item.word()
			if !ok || word == "" || strings.ContainsFunc(word, unprintable) {
				return nil, item.wrong("text without white space, in the list")
			}
			list = append(list, word)
		}
		return list, nil
	},
	same: slices.Equal[[]string],
}

// matching is text of a pattern, which about describes.
func matching(pattern, values, about string) kind[string] {
	valid := regexp.MustCompile(`\A(?:` + pattern + `)\z`)
	return plain(values, func(g given) (string, error) {
		word, ok := g.word()
		if !ok || !valid.MatchString(word) {
			return "", g.wrong(about)
		}
		return word, nil
	})
}

var (
	appID = matching(`[A-Za-z0-9_-]{1,64}`, "text",
		"1 to 64 of the characters A-Z a-z 0-9 _ -")
	// A key stands in a path and a query, and before a colon.
	appKey = matching(`[A-Za-z0-9_.~=+@-]{1,128}`, "text",
		"1 to 128 of the characters A-Z a-z 0-9 _ - . ~ = + @")
	keyPrefix = matching(`[A-Za-z0-9_.:-]{1,64}`, "text",
		"1 to 64 of the characters A-Z a-z 0-9 _ . : -")
	metricPrefix = matching(`([a-zA-Z_][a-zA-Z0-9_]{0,63})?`, "text",
		"empty, or 1 to 64 of the characters A-Z a-z 0-9 _ that do not begin with a digit")
	collectorURL = matching(`(https?://[^\s/?#@]+(/[^\s?#]*)?)?`, "URL",
		"empty, or a URL that begins with http:// or https://, without user and query")
	pathPrefix = matching(`(/[A-Za-z0-9_.~-]+)*`, "path",
		`empty, or a path such as /ws that does not end in "/"`)
)

// unprintable are the runes that have no place in a name.
func unprintable(r rune) bool { return r <= ' ' || r == 0x7f }
