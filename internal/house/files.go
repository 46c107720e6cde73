package house

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Most lines of a file.
const (
	maxLines     = 400
	maxTestLines = 600
)

// File is one file of Go code.
type File struct {
	Path      string // inside the module
	Test      bool   // code of tests: _test.go, or a package that imports testing
	Lines     int
	Functions []int // lines of each function
}

// Dir is the file's package.
func (f File) Dir() string { return filepath.ToSlash(filepath.Dir(f.Path)) }

// skipped are folders that hold nothing of ours, or what is meant to be wrong.
var skipped = []string{".git", ".cache", "bin", "node_modules", "testdata", "vendor"}

// checked are the endings of files whose text is checked.
var checked = []string{".go", ".js", ".mjs", ".ts", ".sh", ".lua", ".c", ".yaml", ".yml", ".md", "Makefile"}

// wordRule is something that must not stand in a file.
type wordRule struct {
	found     *regexp.Regexp
	testsOnly bool // of Go: in _test.go files
	rule      string
}

// The patterns are put together so that they do not find themselves.
var wordRules = []wordRule{
	{regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME)\b`), false, "no TO" + "DO and no FIX" + "ME: do it, or say in an issue why not"},
	{regexp.MustCompile(`\btime\.` + `Sleep\(`), true, "tests do not sleep: they wait for something"},
	{regexp.MustCompile(`\b(t|tb|b|f)\.` + `Skip(f|Now)?\(`), true, "no test is skipped: it runs, or its lane says what is missing"},
}

// CheckFiles walks the module and returns its Go files and what in any file breaks
// a rule.
func CheckFiles(root string) (files []File, broken []string, err error) {
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(skipped, d.Name()):
			return filepath.SkipDir
		case !d.Type().IsRegular() || !slices.ContainsFunc(checked, func(end string) bool { return strings.HasSuffix(name, end) }):
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		broken = append(broken, checkWords(rel, text)...)
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		f, more, err := checkGo(rel, text)
		files, broken = append(files, f), append(broken, more...)
		return err
	})
	return files, broken, err
}

// checkWords looks for what must not stand in a file.
func checkWords(name string, text []byte) (broken []string) {
	for _, w := range wordRules {
		if w.testsOnly && !strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, at := range w.found.FindAllIndex(text, -1) {
			line := 1 + bytes.Count(text[:at[0]], []byte("\n"))
			broken = append(broken, quote(fmt.Sprintf("%s:%d", name, line), "has "+string(text[at[0]:at[1]]), w.rule))
		}
	}
	return broken
}

// checkGo measures a file of Go code.
func checkGo(name string, text []byte) (f File, broken []string, err error) {
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, name, text, parser.SkipObjectResolution)
	if err != nil {
		return f, nil, err
	}
	f = File{Path: name, Test: strings.HasSuffix(name, "_test.go") || imports(tree, "testing"), Lines: bytes.Count(text, []byte("\n"))}
	most := maxLines
	if f.Test {
		most = maxTestLines
	}
	if f.Lines > most {
		broken = append(broken, quote(name, fmt.Sprintf("has %d lines", f.Lines), fmt.Sprintf("no file over %d lines, of tests over %d", maxLines, maxTestLines)))
	}
	pure := f.Dir() == "protocol" && !f.Test
	ast.Inspect(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			f.Functions = append(f.Functions, set.Position(n.End()).Line-set.Position(n.Pos()).Line+1)
		case *ast.GoStmt:
			if pure {
				broken = append(broken, quote(set.Position(n.Pos()).String(), "starts a goroutine", ruleProtocol))
			}
		}
		return true
	})
	return f, broken, nil
}

func imports(tree *ast.File, path string) bool {
	return slices.ContainsFunc(tree.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == strconv.Quote(path) })
}
