package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Citations: "2.1", "2.1, 2.4–2.6", "2.1 and 2.4".
const (
	separator   = `(?:,\s*|\s*[–-]\s*|\s+and\s+)`
	listPattern = idPattern + `(?:` + separator + idPattern + `)*`
)

var (
	inText = regexp.MustCompile(`\bPROTOCOL\s+(` + listPattern + `)?(\.\d|\w)?`)
	inName = regexp.MustCompile(`(?:^|\bPROTOCOL |\()(` + listPattern + `)(\.\d|\w)?`)
	parts  = regexp.MustCompile(idPattern + `|[–-]`)
)

// inText returns the items that a comment or a string cites. What stands behind
// PROTOCOL must be items.
func (l *list) inText(text string) (ids []string, err error) {
	for _, m := range inText.FindAllStringSubmatch(text, -1) {
		if m[1] == "" || m[2] != "" {
			return nil, fmt.Errorf("%q cites no item", strings.Join(strings.Fields(m[0]), " "))
		}
		more, err := l.expand(m[1])
		if err != nil {
			return nil, err
		}
		ids = append(ids, more...)
	}
	return ids, nil
}

// inName returns the items that the name of a test cites.
func (l *list) inName(name string) (ids []string, err error) {
	for _, m := range inName.FindAllStringSubmatch(name, -1) {
		if m[2] != "" {
			continue // a version, or an address
		}
		more, err := l.expand(m[1])
		if err != nil {
			return nil, err
		}
		ids = append(ids, more...)
	}
	return ids, nil
}

// expand resolves ranges. Their ends, and all single items, must exist.
func (l *list) expand(cited string) (ids []string, err error) {
	from := -1 // index of the item before a dash
	for _, p := range parts.FindAllString(cited, -1) {
		if p == "-" || p == "–" {
			from = slices.Index(l.ids, ids[len(ids)-1])
			continue
		}
		at := slices.Index(l.ids, p)
		switch {
		case at < 0:
			return nil, fmt.Errorf("there is no item %s", p)
		case from > at:
			return nil, fmt.Errorf("the range %s is backwards", cited)
		case from >= 0:
			ids = append(ids, l.ids[from+1:at+1]...)
			from = -1
		default:
			ids = append(ids, p)
		}
	}
	return ids, nil
}
