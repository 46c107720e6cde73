package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// item is one numbered item of the conformance specification.
type item struct {
	id    string // such as 2.39a
	title string
	said  state // what the list says of it; works, unless it says otherwise
	why   string
}

// state is what dunlin does about an item.
type state string

const (
	works    state = "works"
	deviates state = "deviates" // on purpose
	notYet   state = "not yet"
	client   state = "client" // of the clients: nothing that a server could do
)

var allStates = []state{works, deviates, notYet, client}

// section is a run of items under a heading.
type section struct {
	title string
	items []item
}

// list is all items, in their order.
type list struct {
	sections []section
	ids      []string
}

const maxTitle = 90

// readList reads docs/conformance.txt:
//
//	# Heading
//	2.1 Title
//		not yet: reason       the state, if tests do not decide it alone
//	unused: 2.49, 4.13        numbers that the specification leaves out
func readList(file string) (*list, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parseList(string(text))
}

func parseList(text string) (*list, error) {
	l := &list{}
	var unused []string
	var broken []error
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimRight(line, " \n")
		err := error(nil)
		switch rest, ok := strings.CutPrefix(line, "unused: "); {
		case line == "":
		case ok:
			unused = append(unused, strings.Split(rest, ", ")...)
		case strings.HasPrefix(line, "# "):
			l.sections = append(l.sections, section{title: line[2:]})
		case line[0] == '\t':
			err = l.say(line[1:])
		default:
			err = l.add(line)
		}
		if err != nil {
			broken = append(broken, fmt.Errorf("%s:%d: %w", listFile, n, err))
		}
	}
	return l, errors.Join(append(broken, l.checkGaps(unused))...)
}

// add takes the line of an item.
func (l *list) add(line string) error {
	id, title, _ := strings.Cut(line, " ")
	switch {
	case len(l.sections) == 0:
		return errors.New("an item before the first heading")
	case !wholeID.MatchString(id) || title == "":
		return fmt.Errorf("%q is no item", line)
	case len([]rune(title)) > maxTitle:
		return fmt.Errorf("the title of %s has more than %d characters", id, maxTitle)
	case len(l.ids) > 0 && compareIDs(l.ids[len(l.ids)-1], id) >= 0:
		return fmt.Errorf("%s stands behind %s", id, l.ids[len(l.ids)-1])
	}
	s := &l.sections[len(l.sections)-1]
	s.items = append(s.items, item{id: id, title: title, said: works})
	l.ids = append(l.ids, id)
	return nil
}

// say takes the line below an item, with its state and why.
func (l *list) say(line string) error {
	if len(l.ids) == 0 || len(l.sections[len(l.sections)-1].items) == 0 {
		return errors.New("a state without an item")
	}
	s := &l.sections[len(l.sections)-1]
	it := &s.items[len(s.items)-1]
	word, why, _ := strings.Cut(line, ": ")
	switch {
	case it.said != works:
		return fmt.Errorf("%s has a state already", it.id)
	case why == "" || state(word) == works || !slices.Contains(allStates, state(word)):
		return fmt.Errorf("%q is no state with a reason", line)
	}
	it.said, it.why = state(word), why
	return nil
}

// checkGaps finds numbers that were lost: an item without a row.
func (l *list) checkGaps(unused []string) error {
	var broken []error
	for i, id := range l.ids {
		section, number, _ := splitID(id)
		first := 1
		if i > 0 {
			if s, n, _ := splitID(l.ids[i-1]); s == section {
				first = n + 1
			}
		}
		for n := first; n < number; n++ {
			if gap := fmt.Sprintf("%d.%d", section, n); !slices.Contains(unused, gap) {
				broken = append(broken, fmt.Errorf("%s: no row for %s", listFile, gap))
			}
		}
	}
	return errors.Join(broken...)
}

// How items are written: 2.39a.
const idPattern = `\d\.\d+[a-z]?`

var wholeID = regexp.MustCompile(`^` + idPattern + `$`)

func splitID(id string) (section, number int, letter string) {
	s, rest, _ := strings.Cut(id, ".")
	digits := strings.TrimRight(rest, "abcdefghijklmnopqrstuvwxyz")
	section, _ = strconv.Atoi(s) // the pattern has checked it
	number, _ = strconv.Atoi(digits)
	return section, number, rest[len(digits):]
}

func compareIDs(a, b string) int {
	as, an, al := splitID(a)
	bs, bn, bl := splitID(b)
	switch {
	case as != bs:
		return as - bs
	case an != bn:
		return an - bn
	}
	return strings.Compare(al, bl)
}
