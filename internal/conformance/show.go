package main

import (
	"bytes"
	"io"
	"strings"
)

// show prints the events of "go test -json" as go test prints them: a line for a
// package that passed, and everything that tests which did not pass have said.
func show(in io.Reader, out io.Writer) error {
	packages := make(map[string]*report)
	var writing error
	write := func(text []byte) {
		if _, err := out.Write(text); err != nil && writing == nil {
			writing = err
		}
	}
	err := eachEvent(in, func(e event, line []byte) {
		switch {
		case e.Action == "":
			write(line)
			return
		case e.Package == "": // of the build
			write([]byte(e.Output))
			return
		}
		r := packages[e.Package]
		if r == nil {
			r = newReport()
			packages[e.Package] = r
		}
		if r.take(e) {
			write(r.text())
			delete(packages, e.Package)
		}
	})
	if err != nil {
		return err
	}
	for _, r := range packages { // go test was stopped
		write(r.text())
	}
	return writing
}

// report is what a package and its tests have said so far. The package itself goes
// by the name "".
type report struct {
	tests []string // in the order of their first words
	said  map[string]*bytes.Buffer
	ends  map[string]string
}

func newReport() *report {
	return &report{said: make(map[string]*bytes.Buffer), ends: make(map[string]string)}
}

// take notes an event and reports whether it was the package's last.
func (r *report) take(e event) bool {
	switch e.Action {
	case "output":
		if strings.HasPrefix(e.Output, "=== ") { // of -v, which -json implies
			break
		}
		if r.said[e.Test] == nil {
			r.tests = append(r.tests, e.Test)
			r.said[e.Test] = new(bytes.Buffer)
		}
		r.said[e.Test].WriteString(e.Output)
	case "pass", "skip", "fail":
		r.ends[e.Test] = e.Action
		return e.Test == ""
	}
	return false
}

// text is what is worth printing: of a package that did not pass, what its tests
// said that did not pass either, and then what it said itself.
func (r *report) text() []byte {
	var b bytes.Buffer
	if !r.passed("") {
		all := r.mustShowAll()
		for _, test := range r.tests {
			if test != "" && (all || !r.passed(test)) {
				b.Write(r.said[test].Bytes())
			}
		}
	}
	if own := r.said[""]; own != nil {
		b.Write(bytes.TrimPrefix(own.Bytes(), []byte("PASS\n")))
	}
	return b.Bytes()
}

// passed is false for a test that was still running.
func (r *report) passed(test string) bool { return r.ends[test] == "pass" || r.ends[test] == "skip" }

// mustShowAll reports whether the tests' ends do not say where the fault is. A race
// is told of in whatever test was running.
func (r *report) mustShowAll() bool {
	failed := false
	for _, test := range r.tests {
		if bytes.Contains(r.said[test].Bytes(), []byte("DATA RACE")) {
			return true
		}
		failed = failed || test != "" && !r.passed(test)
	}
	return !failed
}
