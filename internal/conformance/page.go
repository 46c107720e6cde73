package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// judge gives every item its state, or says what stands against that.
func judge(l *list, e *evidence) (map[string]state, error) {
	states := make(map[string]state)
	var broken []error
	for _, s := range l.sections {
		for _, it := range s.items {
			states[it.id] = it.said
			var failed []string
			for _, t := range e.tests[it.id] {
				if e.failed[t] {
					failed = append(failed, t.name)
				}
			}
			slices.Sort(failed)
			switch tested := len(e.tests[it.id]) > 0; {
			case len(failed) > 0:
				broken = append(broken, fmt.Errorf("%s (%s): failed: %s", it.id, it.title, strings.Join(failed, ", ")))
			case it.said == works && !tested:
				broken = append(broken, fmt.Errorf("%s (%s): no test that cites it has passed", it.id, it.title))
			}
		}
	}
	return states, errors.Join(broken...)
}

// counts is how many items are in which state.
func counts(l *list, states map[string]state) string {
	n := make(map[state]int)
	for _, s := range states {
		n[s]++
	}
	var parts []string
	for _, s := range allStates {
		parts = append(parts, fmt.Sprintf("%s %d", s, n[s]))
	}
	return fmt.Sprintf("%d items: %s", len(l.ids), strings.Join(parts, ", "))
}

const intro = `# Conformance

What dunlin does about every item of the conformance specification that its tests cite (` + "`PROTOCOL 2.14`" + `), and some of the tests that show
it. [protocol.md](protocol.md) tells the same as prose.

This page is made by ` + "`make test`" + ` from the tests that ran and passed, and compared with what is committed; the titles, and the reasons of the states other
than *works*, stand in [conformance.txt](conformance.txt). A test that is named here without a folder is a transcript in test/e2e/testdata, run on every
transport; *…* stands for further tests.

| state | items | |
| --- | --- | --- |
`

var meanings = map[state]string{
	works:    "shown by tests",
	deviates: "dunlin does something else on purpose, or leaves it out; the reason stands beside it",
	notYet:   "will come",
	client:   "tells of clients; there is nothing that a server could do or leave",
}

// render writes the page.
func render(l *list, states map[string]state, e *evidence) string {
	var b strings.Builder
	b.WriteString(intro)
	n := make(map[state]int)
	for _, s := range states {
		n[s]++
	}
	for _, s := range allStates {
		fmt.Fprintf(&b, "| %s | %d | %s |\n", s, n[s], meanings[s])
	}
	fmt.Fprintf(&b, "| all | %d | |\n", len(l.ids))
	for _, s := range l.sections {
		fmt.Fprintf(&b, "\n## %s\n\n| item | | state | tests |\n| --- | --- | --- | --- |\n", s.title)
		for _, it := range s.items {
			said := string(states[it.id])
			if it.why != "" {
				said += ": " + it.why
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", it.id, cell(it.title), cell(said), cell(e.examples(it.id)))
		}
	}
	return b.String()
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// examples names one test of each kind for an item, the one that is about the least
// beside it. That they are few keeps the page as it is when tests are added.
func (e *evidence) examples(id string) string {
	tests := slices.Clone(e.tests[id])
	slices.SortFunc(tests, func(a, b shown) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(e.cited[a], e.cited[b]), strings.Compare(a.name, b.name))
	})
	var names []string
	for i, t := range tests {
		if i == 0 || tests[i-1].kind != t.kind {
			names = append(names, t.name)
		}
	}
	if len(names) < len(tests) {
		names = append(names, "…")
	}
	return strings.Join(names, "; ")
}
