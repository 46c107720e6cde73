package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// event is a line of "go test -json", as far as it is used here.
type event struct {
	Action  string // pass, fail and skip end a test
	Package string // of Node tests, the file
	Test    string // "": the package itself
	Output  string
}

// results are the ends of tests by package and name. A test that ran more than
// once has failed if it failed once.
type results map[[2]string]string

func readResults(files []string) (results, error) {
	seen := make(results)
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		ended := 0
		err = eachEvent(f, func(e event, _ []byte) {
			switch e.Action {
			case "pass", "fail", "skip":
				seen.add(e)
				ended++
			}
		})
		f.Close()
		if err == nil && ended == 0 {
			err = errors.New("no test ended")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return seen, nil
}

func (r results) add(e event) {
	k := [2]string{e.Package, e.Test}
	if r[k] == "fail" || r[k] == "pass" && e.Action == "skip" {
		return
	}
	r[k] = e.Action
}

// eachEvent calls f for each line. A line that is no event, such as the complaint of
// a tool that go test ran, comes as an empty one.
func eachEvent(in io.Reader, f func(e event, line []byte)) error {
	for r := bufio.NewReader(in); ; {
		line, err := r.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil || e.Action == "" {
				e = event{}
			}
			f(e, line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
