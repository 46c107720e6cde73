package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Spot is where something stands in a configuration.
type Spot struct {
	Source  string // file, environment variable or flag
	Line    int    // in the file, from 1; 0 elsewhere
	Setting string // "server.port"; "" when it is none, and outside the file
}

func (s Spot) String() string {
	var b strings.Builder
	b.WriteString(s.Source)
	if s.Line > 0 {
		fmt.Fprintf(&b, ":%d", s.Line)
	}
	if s.Setting != "" {
		b.WriteString(": " + s.Setting)
	}
	return b.String()
}

// Mistake is one thing that is wrong, and where.
type Mistake struct {
	Spot
	Text string // never holds a secret
}

func (m Mistake) String() string { return m.Spot.String() + ": " + m.Text }

// Mistakes is every mistake of a configuration: the file's by line, then the
// others.
type Mistakes []Mistake

// Error lists them, one a line.
func (m Mistakes) Error() string {
	lines := make([]string, len(m))
	for i := range m {
		lines[i] = m[i].String()
	}
	return strings.Join(lines, "\n")
}

// mistakes gathers what is wrong while a configuration is read.
type mistakes struct{ list Mistakes }

func (m *mistakes) add(at Spot, text string) { m.list = append(m.list, Mistake{at, text}) }

// insideError is what is wrong inside of a setting's value: spots are lines and
// what follows the setting's own name.
type insideError struct{ list Mistakes }

func (e insideError) Error() string {
	texts := make([]string, len(e.list))
	for i, m := range e.list {
		texts[i] = m.Text
		if m.Setting != "" {
			texts[i] = m.Setting + ": " + m.Text
		}
	}
	return strings.Join(texts, "; ")
}

// inside returns the mistakes as the error of one setting; nil: there are none.
func (m *mistakes) inside() error {
	if len(m.list) == 0 {
		return nil
	}
	return insideError{m.list}
}

// sorted returns them in the order in which an operator mends them.
func (m *mistakes) sorted(file string) Mistakes {
	slices.SortStableFunc(m.list, func(a, b Mistake) int {
		if c := cmp.Compare(rank(a, file), rank(b, file)); c != 0 {
			return c
		}
		return cmp.Compare(a.Line, b.Line)
	})
	return slices.Compact(m.list) // an alias can make the same mistake twice
}

func rank(m Mistake, file string) int {
	if m.Source == file {
		return 0
	}
	return 1
}

// nearest returns the name that somebody who wrote name may have meant, or "".
// Case, '_' and '-' do not count.
func nearest(name string, names []string) string {
	best, found := max(1, len(name)/3)+1, ""
	for _, n := range names {
		if d := distance(fold(name), fold(n)); d < best {
			best, found = d, n
		}
	}
	return found
}

func fold(s string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s))
}

// distance is the least number of bytes to insert, remove, replace or swap with
// their neighbour to make one string of the other. Names that differ by far in
// length are not measured.
func distance(a, b string) int {
	const far = 16
	if d := len(a) - len(b); d > far || d < -far {
		return far
	}
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			next[j+1] = 1 + min(row[j], row[j+1], next[j])
			if a[i] == b[j] {
				next[j+1] = row[j]
			}
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
