package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// kind orders the tests of an item on the page.
type kind int

const (
	transcript kind = iota
	goTest
	nodeTest
)

// shown is a test as the page names it. Tests of one name, such as a transcript on
// each transport, are one.
type shown struct {
	kind kind
	name string
}

// evidence is which tests cite an item, and how they ended.
type evidence struct {
	tests  map[string][]shown // by item
	cited  map[shown]int      // how many items
	failed map[shown]bool
}

func newEvidence() *evidence {
	return &evidence{tests: make(map[string][]shown), cited: make(map[shown]int), failed: make(map[shown]bool)}
}

// note takes a test that ended one way or the other; skipped ones show nothing.
func (e *evidence) note(t shown, ids []string, end string) {
	if end != "pass" && end != "fail" {
		return
	}
	if end == "fail" {
		e.failed[t] = true
	}
	for _, id := range ids {
		if !slices.Contains(e.tests[id], t) {
			e.tests[id] = append(e.tests[id], t)
			e.cited[t]++
		}
	}
}

// skipped are folders without tests of the server; what the tests of this package
// hold are examples.
var skipped = []string{"testdata", "node_modules", "conformance"}

const (
	modulePath      = "dunlin/"
	transcriptFiles = "test/e2e/testdata/*.txt"
	transcriptTest  = "TestTranscripts"
)

// collect finds the citations in a module and in the names of tests that ran.
func collect(root string, l *list, seen results, e *evidence) error {
	return errors.Join(fromNames(l, seen, e), fromSources(root, l, seen, e), fromTranscripts(root, l, seen, e))
}

// fromNames takes what Go subtests and Node tests cite in their names.
func fromNames(l *list, seen results, e *evidence) error {
	var broken []error
	for k, end := range seen {
		name, t := k[1], shown{nodeTest, ""}
		if !strings.HasSuffix(k[0], ".js") {
			slash := strings.LastIndexByte(name, '/')
			if slash < 0 {
				continue // fromSources has it
			}
			name = strings.ReplaceAll(name[slash+1:], "_", " ")
			t.kind = goTest
		}
		ids, err := l.inName(name)
		if err != nil {
			broken = append(broken, fmt.Errorf("%s %s: %w", k[0], k[1], err))
		}
		if len(ids) > 0 {
			t.name = nameOf(k)
			e.note(t, ids, end)
		}
	}
	slices.SortFunc(broken, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(broken...)
}

var citedInName = regexp.MustCompile(`^` + listPattern + ` ?| ?\(PROTOCOL ` + listPattern + `.*?\)| ?\(` + listPattern + `.*?\)`)

// nameOf is how a test is called on the page: without what it cites.
func nameOf(k [2]string) string {
	if file, ok := strings.CutSuffix(k[0], ".test.js"); ok {
		return "clients " + file + ": " + citedInName.ReplaceAllString(k[1], "")
	}
	dir := strings.TrimPrefix(k[0], modulePath)
	elements := strings.Split(strings.ReplaceAll(k[1], "_", " "), "/")
	name := elements[0]
	for _, sub := range elements[1:] {
		if sub = citedInName.ReplaceAllString(sub, ""); sub != "" {
			name += "/" + sub
		}
	}
	return dir + " " + name
}

// fromSources takes what Go tests cite in their comments and strings.
func fromSources(root string, l *list, seen results, e *evidence) error {
	var broken []error
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && file != root && (slices.Contains(skipped, d.Name()) || d.Name()[0] == '.'):
			return filepath.SkipDir
		case !strings.HasSuffix(file, "_test.go"):
			return nil
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		tree, err := parser.ParseFile(set, file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, f := range testFuncs(tree) {
			k := [2]string{modulePath + filepath.ToSlash(filepath.Dir(rel)), f.Name.Name}
			ids, err := citedBy(l, tree, f)
			if err != nil {
				broken = append(broken, fmt.Errorf("%s:%d: %s: %w", rel, set.Position(f.Pos()).Line, f.Name.Name, err))
			}
			e.note(shown{goTest, nameOf(k)}, ids, seen[k])
		}
		return nil
	})
	return errors.Join(append(broken, err)...)
}

func testFuncs(tree *ast.File) (tests []*ast.FuncDecl) {
	for _, d := range tree.Decls {
		f, ok := d.(*ast.FuncDecl)
		if ok && f.Recv == nil && (strings.HasPrefix(f.Name.Name, "Test") || strings.HasPrefix(f.Name.Name, "Fuzz")) {
			tests = append(tests, f)
		}
	}
	return tests
}

// citedBy reads the doc comment, the comments and the strings of a test.
func citedBy(l *list, tree *ast.File, f *ast.FuncDecl) (ids []string, err error) {
	texts := []string{f.Doc.Text()}
	for _, c := range tree.Comments {
		if c.Pos() > f.Pos() && c.End() < f.End() {
			texts = append(texts, c.Text())
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.BasicLit); ok && s.Kind == token.STRING {
			text, _ := strconv.Unquote(s.Value) // the parser has checked it
			texts = append(texts, text)
		}
		return true
	})
	for _, text := range texts {
		more, err := l.inText(text)
		if err != nil {
			return ids, err
		}
		ids = append(ids, more...)
	}
	return ids, nil
}

// fromTranscripts takes what the comments of transcripts cite. A transcript has
// passed when it has on every transport.
func fromTranscripts(root string, l *list, seen results, e *evidence) error {
	files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(transcriptFiles)))
	if err != nil {
		return err
	}
	var broken []error
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		t := shown{transcript, filepath.Base(file)}
		for line := range strings.Lines(string(text)) {
			if !strings.HasPrefix(line, "#") {
				continue
			}
			ids, err := l.inText(line)
			if err != nil {
				broken = append(broken, fmt.Errorf("%s: %w", t.name, err))
			}
			for k, end := range seen {
				if matched, _ := path.Match(transcriptTest+"/*/"+strings.TrimSuffix(t.name, ".txt"), k[1]); matched {
					e.note(t, ids, end)
				}
			}
		}
	}
	return errors.Join(broken...)
}
