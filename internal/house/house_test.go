package house

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
)

const root = "../.."

// TestImports runs the import rules on every package of the module.
func TestImports(t *testing.T) {
	t.Parallel()
	list := packages(t)
	for _, p := range list {
		if p.Error != nil {
			t.Errorf("%s: %s", p.ImportPath, p.Error.Err)
		}
	}
	wiring, err := CheckWiring(list)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range append(CheckImports(list), wiring...) {
		t.Error(b)
	}
}

func packages(t *testing.T) (list []Package) {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json", "./...")
	cmd.Dir, cmd.Stderr = root, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal("go list:", err)
	}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p Package
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	if len(list) < 5 {
		t.Fatalf("go list knows %d packages", len(list))
	}
	return list
}

// TestFiles runs the rules for files on the whole module, and with -v prints how
// long its packages are.
func TestFiles(t *testing.T) {
	t.Parallel()
	files, broken, err := CheckFiles(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range broken {
		t.Error(b)
	}
	t.Log("\n" + lengths(files))
}

// lengths is a table of lines and functions for each package.
func lengths(files []File) string {
	type sums struct {
		files, lines, tests int
		functions           []int
	}
	byDir, all := map[string]*sums{}, &sums{}
	for _, f := range files {
		if byDir[f.Dir()] == nil {
			byDir[f.Dir()] = &sums{}
		}
		for _, s := range []*sums{byDir[f.Dir()], all} {
			if f.Test {
				s.tests += f.Lines
				continue
			}
			s.files++
			s.lines += f.Lines
			s.functions = append(s.functions, f.Functions...)
		}
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(name string, s *sums) {
		slices.Sort(s.functions)
		median, longest := 0, 0
		if n := len(s.functions); n > 0 {
			median, longest = s.functions[n/2], s.functions[n-1]
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\n", name, s.files, s.lines, s.tests, len(s.functions), median, longest)
	}
	fmt.Fprintln(w, "package\tfiles\tlines\ttest lines\tfunctions\tmedian\tlongest")
	for _, dir := range slices.Sorted(maps.Keys(byDir)) {
		row(dir, byDir[dir])
	}
	row("all", all)
	w.Flush()
	return b.String()
}

// TestImportRules breaks each rule once.
func TestImportRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ from, to, rule string }{
		{"channels", "dunlin/cluster", ""},
		{"transport/epoll", "dunlin/transport/wire", ""},
		{"transport/contract", "dunlin/transport", ""},
		{"cmd/dunlin", "dunlin/cluster/memory", ""},
		{"cmd/dunlin", "github.com/spf13/viper", ""},
		{"httpapi", "github.com/valyala/fasthttp", ""},
		{"webhooks/redis", "github.com/redis/go-redis/v9", ""},
		{"internal/load", "dunlin/internal/client", ""},
		{"internal/load", "dunlin/transport/wire", ""},
		{"test/floor/bare", "github.com/valyala/fasthttp", ""},
		{"internal/testkit", "dunlin/transport/contract", ""},
		{"protocol", "github.com/tidwall/gjson", ""},
		{"protocol", "unicode/utf8", ""},

		{"cluster", "dunlin/channels", ruleFloor},
		{"channels", "dunlin/httpapi", ruleFloor},
		{"metrics", "dunlin/protocol", ruleFloor},
		{"cluster/memory", "dunlin/cluster/redis", ruleFloor},
		{"cmd/dunlin", "dunlin/internal/testkit", ruleTestOnly},
		{"channels", "dunlin/cluster/contract", ruleTestOnly},
		{"channels", "dunlin/cluster/memory", ruleContracts},
		{"httpapi", "dunlin/transport/epoll", ruleContracts},
		{"elsewhere", "strings", ruleHome},
		{"protocol", "time", ruleProtocol},
		{"protocol", "net/http", ruleProtocol},
		{"protocol", "github.com/klauspost/compress/flate", ruleProtocol},
		{"transport/epoll", "github.com/gobwas/ws", mandates[0].rule},
		{"channels", "github.com/valyala/fasthttp", mandates[1].rule},
		{"cluster/memory", "github.com/redis/go-redis/v9", mandates[2].rule},
		{"httpapi", "github.com/spf13/cobra", mandates[3].rule},
		{"channels", "github.com/prometheus/client_golang/prometheus", mandates[4].rule},
		{"channels", "github.com/HdrHistogram/hdrhistogram-go", mandates[5].rule},
		{"internal/load", "github.com/schollz/progressbar/v3", mandates[6].rule},
		{"test/million", "gonum.org/v1/plot", mandates[7].rule},
		{"webhooks/memory", "go.etcd.io/bbolt", mandates[8].rule},
		{"channels", "go.opentelemetry.io/otel", mandates[9].rule},
		{"internal/load", "dunlin/transport/epoll", ruleContracts},
	} {
		got := CheckImports([]Package{{ImportPath: module + c.from, Imports: []string{c.to}}})
		if c.rule == "" && len(got) > 0 || c.rule != "" && !quotes(got, c.rule) {
			t.Errorf("%s imports %s: got %q, want %q", c.from, c.to, got, c.rule)
		}
	}
	test := Package{ImportPath: module + "channels", TestImports: []string{"dunlin/cluster/memory", "github.com/gobwas/ws"}}
	if got := CheckImports([]Package{test}); !quotes(got, mandates[0].rule) || len(got) != 1 {
		t.Errorf("imports of a test: %q", got)
	}
}

func quotes(broken []string, rule string) bool {
	return slices.ContainsFunc(broken, func(b string) bool { return strings.HasSuffix(b, fmt.Sprintf(": %q", rule)) })
}

// TestFileRules breaks each rule for files once, in a folder of its own.
func TestFileRules(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"long.go":              "package x\n" + strings.Repeat("\n", maxLines),
		"fine_test.go":         "package x\n" + strings.Repeat("\n", maxLines),
		"long_test.go":         "package x\n" + strings.Repeat("\n", maxTestLines),
		"kit/kit.go":           "package kit\nimport _ \"testing\"\n" + strings.Repeat("\n", maxLines),
		"words_test.go":        "package x\n// TO" + "DO\nfunc f() { time." + "Sleep(1); t.Skip" + "f(\"no\") }\n",
		"sleeps.go":            "package x\nfunc f() { time." + "Sleep(1) }\n",
		"later.sh":             "# FIX" + "ME\n",
		"protocol/runs.go":     "package protocol\nfunc f() {\n\tgo f()\n}\n",
		"node_modules/x/y.js":  "// TO" + "DO\n",
		"testdata/broken.go":   "not go",
		"protocol/run_test.go": "package protocol\nfunc f() { go f() }\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files, broken, err := CheckFiles(dir)
	if err != nil || len(files) != 8 {
		t.Errorf("%d files, %v", len(files), err)
	}
	var where []string
	for _, b := range broken {
		at, _, _ := strings.Cut(b, " ")
		where = append(where, at)
	}
	want := []string{"later.sh:1", "long.go", "long_test.go", "protocol/runs.go:3:2", "words_test.go:2", "words_test.go:3", "words_test.go:3"}
	if !slices.Equal(where, want) {
		t.Errorf("got %q, want %q", broken, want)
	}
}
