// Command conformance keeps docs/conformance.md: which item of the conformance
// specification is shown by which test. The page is made from the tests that ran
// and passed, so that nothing can be claimed without one.
//
//	conformance [-update] FILE...   compares the page with the results in FILEs, or writes it
//	conformance show                prints "go test -json" from the input as go test does
//
// The FILEs are output of "go test -json", and of test/clients/reporter.js, which
// speaks the same language. docs/conformance.txt lists the items. A test says which
// ones it shows:
//
//   - Go tests and fuzz targets in their comments and strings, and the transcripts
//     of test/e2e in their comments, as "PROTOCOL 2.1, 2.4–2.6";
//   - Go subtests and Node tests in their names too, where "5.29 not JSON" and
//     "not JSON (5.29)" are enough.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

const (
	listFile = "docs/conformance.txt"
	pageFile = "docs/conformance.md"
)

func main() {
	update := flag.Bool("update", false, "write the page")
	root := flag.String("root", ".", "the module's folder")
	flag.Parse()
	var err error
	if flag.Arg(0) == "show" {
		err = show(os.Stdin, os.Stdout)
	} else {
		err = run(*root, flag.Args(), *update, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

// run makes the page of a module and compares it with the committed one.
func run(root string, results []string, update bool, out io.Writer) error {
	if len(results) == 0 {
		return errors.New("no results: name the files")
	}
	l, err := readList(filepath.Join(root, listFile))
	if err != nil {
		return err
	}
	seen, err := readResults(results)
	if err != nil {
		return err
	}
	e := newEvidence()
	if err := collect(root, l, seen, e); err != nil {
		return err
	}
	states, err := judge(l, e)
	if err != nil {
		return err
	}
	page := render(l, states, e)
	fmt.Fprintln(out, counts(l, states))
	file := filepath.Join(root, pageFile)
	if update {
		return os.WriteFile(file, []byte(page), 0o644)
	}
	return compare(file, page)
}

// compare says in what lines a file is not the page.
func compare(file, page string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if string(text) == page {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s is not what the tests show. Look at the difference; then go run ./internal/conformance -update .cache/tests/*.json", pageFile)
	for _, side := range []struct{ sign, in, notIn string }{{"-", string(text), page}, {"+", page, string(text)}} {
		has := make(map[string]bool)
		for line := range strings.Lines(side.notIn) {
			has[line] = true
		}
		for line := range strings.Lines(side.in) {
			if !has[line] {
				b.WriteString("\n" + side.sign + strings.TrimRight(line, "\n"))
			}
		}
	}
	return errors.New(b.String())
}
