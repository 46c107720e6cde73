package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const sampleList = `# 1. First
1.1 Works
1.2 Has a | in it
	deviates: another | reason
1.3 Comes later
	not yet: webhooks
1.3a Is a client's
	client: nothing to do
1.5 Works too

unused: 1.4, 2.1
# 2. Second
2.2 In a transcript
`

func sample(t *testing.T) *list {
	t.Helper()
	l, err := parseList(sampleList)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestList(t *testing.T) {
	t.Parallel()
	l := sample(t)
	if want := []string{"1.1", "1.2", "1.3", "1.3a", "1.5", "2.2"}; !slices.Equal(l.ids, want) {
		t.Errorf("items %q", l.ids)
	}
	if it := l.sections[0].items[1]; it.title != "Has a | in it" || it.said != deviates || it.why != "another | reason" {
		t.Errorf("item %+v", it)
	}
}

// Each list has one mistake.
func TestListMistakes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"1.1 x":                                      "before the first heading",
		"# a\n\tclient: x":                           "a state without an item",
		"# a\n1.1":                                   `"1.1" is no item`,
		"# a\nabout 1.1":                             "is no item",
		"# a\n1.1 " + strings.Repeat("x", 91):        "more than 90 characters",
		"# a\n1.1 x\n1.2 y\n1.1a z":                  "1.1a stands behind 1.2",
		"# a\n1.1 x\n1.1 x":                          "1.1 stands behind 1.1",
		"# a\n1.1 x\n\tclient: y\n\tdeviates: z":     "has a state already",
		"# a\n1.1 x\n\tclient":                       "is no state with a reason",
		"# a\n1.1 x\n\tworks: of course":             "is no state with a reason",
		"# a\n1.1 x\n\tperhaps: y":                   "is no state with a reason",
		"# a\n1.1 x\n1.4 y\nunused: 1.2":             "no row for 1.3",
		"# a\n1.1 x\n# b\n2.2 y":                     "no row for 2.1",
		"# a\n1.2 x":                                 "no row for 1.1",
		"# a\n1.1 x\n1.9 y\n1.10 z\nunused: 1.2,1.3": "no row for 1.3",
	} {
		if _, err := parseList(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestCitations(t *testing.T) {
	t.Parallel()
	l := sample(t)
	for text, want := range map[string]string{
		"PROTOCOL 1.1": "1.1",
		"see PROTOCOL 1.1, 1.2,\n2.2; PITFALLS 33": "1.1 1.2 2.2",
		"(PROTOCOL 1.1 and 2.2).":                  "1.1 2.2",
		"PROTOCOL 1.2–1.5":                         "1.2 1.3 1.3a 1.5",
		"PROTOCOL 1.3-1.3a, 2.2: text":             "1.3 1.3a 2.2",
		"PROTOCOL 1.1, PROTOCOL 1.2":               "1.1 1.2",
		"PROTOCOL 1.5, each check":                 "1.5",
		"1.1 and (1.2)":                            "",
		"PROTOCOLS 1.1":                            "",
		"PROTOCOL 4200":                            `! "PROTOCOL 4" cites no item`,
		"PROTOCOL 1d":                              `! "PROTOCOL 1" cites no item`,
		"PROTOCOL 1.1.2":                           `! "PROTOCOL 1.1.2" cites no item`,
		"PROTOCOL 1.4":                             "! there is no item 1.4",
		"PROTOCOL 1.1–1.4":                         "! there is no item 1.4",
		"PROTOCOL 1.5-1.1":                         "! the range 1.5-1.1 is backwards",
	} {
		ids, err := l.inText(text)
		if got := told(ids, err); got != want {
			t.Errorf("%q cites %s, want %s", text, got, want)
		}
	}
	for name, want := range map[string]string{
		"1.1 not JSON":                     "1.1",
		"1.1, 1.2":                         "1.1 1.2",
		"is right (1.1, PITFALLS 22)":      "1.1",
		"is right (PROTOCOL 1.1-1.3)":      "1.1 1.2 1.3",
		"is right PROTOCOL 2.2":            "2.2",
		"version 1.1 of it":                "",
		"(1.1.0) and 1.1.0":                "",
		"1.1.0":                            "",
		"a number that is no item (9.9 s)": "! there is no item 9.9",
	} {
		ids, err := l.inName(name)
		if got := told(ids, err); got != want {
			t.Errorf("name %q cites %s, want %s", name, got, want)
		}
	}
}

func told(ids []string, err error) string {
	if err != nil {
		return "! " + err.Error()
	}
	return strings.Join(ids, " ")
}

// module writes a module and the results of its tests, and returns both places.
func module(t *testing.T, files map[string]string, events ...string) (root, result string) {
	t.Helper()
	root = t.TempDir()
	files["results.json"] = strings.Join(events, "\n")
	for name, text := range files {
		file := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root, filepath.Join(root, "results.json")
}

func sampleFiles() map[string]string {
	return map[string]string{
		listFile: sampleList,
		"a/a_test.go": "package a\n\n// TestA: PROTOCOL 1.1\nfunc TestA(t *testing.T) {\n\t// PROTOCOL 1.2\n}\n\n" +
			"func TestB(t *testing.T) { x(`PROTOCOL 1.5`, \"1.3\") }\n\n// PROTOCOL 1.5\nfunc TestZ(t *testing.T) {}\n\n// PROTOCOL 9.9\nfunc help() {}\n",
		"test/e2e/testdata/t.txt":    "# PROTOCOL 2.2\na > {\"x\":\"PROTOCOL 9.9\"}\n",
		"node_modules/x/x_test.go":   "not go",
		"a/testdata/x_test.go":       "not go",
		"internal/conformance/c.txt": "PROTOCOL 9.9",
	}
}

var sampleEvents = []string{
	`{"Action":"pass","Package":"dunlin/a","Test":"TestA"}`,
	`{"Action":"pass","Package":"dunlin/a","Test":"TestB"}`,
	`{"Action":"pass","Package":"dunlin/a","Test":"TestZ"}`,
	`{"Action":"pass","Package":"dunlin/a","Test":"TestS/1.1_with_a_name"}`,
	`{"Action":"pass","Package":"dunlin/a","Test":"TestContract/ping_(PROTOCOL_1.5)"}`,
	`{"Action":"pass","Package":"dunlin/test/e2e","Test":"TestTranscripts/epoll/t"}`,
	`{"Action":"pass","Package":"dunlin/test/e2e","Test":"TestTranscripts/stream/t"}`,
	`{"Action":"pass","Package":"sdk.test.js","Test":"goes well (1.1, PITFALLS 2)"}`,
	`not an event`,
}

// The page of the sample, written, compared and compared again with a difference.
func TestRun(t *testing.T) {
	t.Parallel()
	root, result := module(t, sampleFiles(), sampleEvents...)
	var out bytes.Buffer
	if err := run(root, []string{result}, true, &out); err != nil {
		t.Fatal(err)
	}
	if want := "6 items: works 3, deviates 1, not yet 1, client 1\n"; out.String() != want {
		t.Errorf("said %q, want %q", out.String(), want)
	}
	page, err := os.ReadFile(filepath.Join(root, pageFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"| works | 3 | shown by tests |",
		"## 1. First",
		"| 1.1 | Works | works | a TestS/with a name; clients sdk: goes well; … |",
		`| 1.2 | Has a \| in it | deviates: another \| reason | a TestA |`,
		"| 1.3 | Comes later | not yet: webhooks |  |",
		"| 1.3a | Is a client's | client: nothing to do |  |",
		"| 1.5 | Works too | works | a TestB; … |",
		"| 2.2 | In a transcript | works | t.txt |",
	} {
		if !strings.Contains(string(page), line+"\n") {
			t.Errorf("the page has no line %s\n%s", line, page)
		}
	}
	if err := run(root, []string{result}, false, &out); err != nil {
		t.Errorf("compared: %v", err)
	}
	changed := strings.Replace(string(page), "Works too", "Worked", 1)
	if err := os.WriteFile(filepath.Join(root, pageFile), []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
	err = run(root, []string{result}, false, &out)
	if err == nil || !strings.Contains(err.Error(), "\n-| 1.5 | Worked | works | a TestB; … |\n+| 1.5 | Works too | works | a TestB; … |") {
		t.Errorf("compared with a difference: %v", err)
	}
}

// What must not pass.
func TestRunRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		file, text  string // replaces a file
		event, want string // more of the results
	}{
		{"a failed test", "", "", `{"Action":"fail","Package":"dunlin/a","Test":"TestB"}`, "1.5 (Works too): failed: a TestB"},
		{"failed once of twice", "", "", `{"Action":"fail","Package":"sdk.test.js","Test":"goes well (1.1, PITFALLS 2)"}`, "1.1 (Works): failed: clients sdk: goes well"},
		{"a transcript on one transport", "", "", `{"Action":"fail","Package":"dunlin/test/e2e","Test":"TestTranscripts/other/t"}`, "2.2 (In a transcript): failed: t.txt"},
		{"not cited", "test/e2e/testdata/t.txt", "# nothing\n", "", "2.2 (In a transcript): no test that cites it has passed"},
		{"unknown item in a comment", "a/a_test.go", "package a\n// PROTOCOL 9.9\nfunc TestA(t *testing.T) {}\n", "", "a/a_test.go:3: TestA: there is no item 9.9"},
		{"unknown item in a transcript", "test/e2e/testdata/t.txt", "# PROTOCOL 2.2, 2.3\n", "", "t.txt: there is no item 2.3"},
		{"unknown item in a name", "", "", `{"Action":"pass","Package":"dunlin/a","Test":"TestS/9.9"}`, "dunlin/a TestS/9.9: there is no item 9.9"},
		{"a broken source", "a/a_test.go", "package", "", "expected 'IDENT'"},
		{"a broken list", listFile, "1.1 x", "", "before the first heading"},
		{"no page", "", "", "", "conformance.md"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			files := sampleFiles()
			if c.file != "" {
				files[c.file] = c.text
			}
			root, result := module(t, files, append(slices.Clone(sampleEvents), c.event)...)
			if err := run(root, []string{result}, false, new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	if err := run(".", nil, false, nil); err == nil {
		t.Error("no results are enough")
	}
	root, empty := module(t, sampleFiles())
	if err := run(root, []string{empty}, false, nil); err == nil || !strings.Contains(err.Error(), "no test ended") {
		t.Errorf("an empty file: %v", err)
	}
	if err := run(root, []string{empty + ".missing"}, false, nil); err == nil {
		t.Error("a missing file is enough")
	}
}

// Skipped tests show nothing, and take nothing away.
func TestSkipped(t *testing.T) {
	t.Parallel()
	r := results{}
	for _, action := range []string{"skip", "pass", "skip"} {
		r.add(event{Action: action, Package: "p", Test: "T"})
	}
	if r[[2]string{"p", "T"}] != "pass" {
		t.Errorf("%v", r)
	}
	e := newEvidence()
	e.note(shown{goTest, "T"}, []string{"1.1"}, "skip")
	if len(e.tests) != 0 {
		t.Errorf("%v", e.tests)
	}
}

// The module's own list and citations, without results: what is wrong there need
// not wait for all tests to run.
func TestThisModule(t *testing.T) {
	t.Parallel()
	const root = "../.."
	l, err := readList(filepath.Join(root, listFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := collect(root, l, results{}, newEvidence()); err != nil {
		t.Error(err)
	}
}

func TestShow(t *testing.T) {
	t.Parallel()
	line := func(action, pkg, test, output string) string {
		b := `{"Action":"` + action + `","Package":"` + pkg + `"`
		if test != "" {
			b += `,"Test":"` + test + `"`
		}
		return b + `,"Output":"` + output + `"}` + "\n"
	}
	said := func(pkg, test, output string) string { return line("output", pkg, test, output+`\n`) }
	for _, c := range []struct{ name, in, want string }{
		{"passed", said("p", "TestA", "=== RUN   TestA") + said("p", "TestA", "    a_test.go:1: quiet") + said("p", "TestA", "--- PASS: TestA") +
			line("pass", "p", "TestA", "") + said("p", "", "PASS") + said("p", "", "ok  p  1s") + line("pass", "p", "", ""), "ok  p  1s\n"},
		{"failed", said("p", "TestA", "=== RUN   TestA") + said("p", "TestB", "quiet") + said("p", "TestA/x", "loud") + said("p", "TestA", "--- FAIL: TestA") +
			said("p", "TestA/x", "--- FAIL: TestA/x") + said("p", "TestA/y", "--- PASS") + line("pass", "p", "TestA/y", "") + line("fail", "p", "TestA/x", "") +
			line("fail", "p", "TestA", "") + line("pass", "p", "TestB", "") + said("p", "", "FAIL") + line("fail", "p", "", ""),
			"loud\n--- FAIL: TestA/x\n--- FAIL: TestA\nFAIL\n"},
		{"a panic while another runs", said("p", "TestA", "panic: x") + said("p", "TestB", "B runs") + line("fail", "p", "TestA", "") + said("p", "", "FAIL") + line("fail", "p", "", ""),
			"panic: x\nB runs\nFAIL\n"},
		{"a race", said("p", "TestA", "WARNING: DATA RACE") + line("pass", "p", "TestA", "") + said("p", "TestB", "race detected") + line("fail", "p", "TestB", "") + line("fail", "p", "", ""),
			"WARNING: DATA RACE\nrace detected\n"},
		{"no test failed", said("p", "TestA", "A") + line("pass", "p", "TestA", "") + said("p", "", "exit status 1") + line("fail", "p", "", ""), "A\nexit status 1\n"},
		{"a broken build", `{"Action":"build-output","ImportPath":"p","Output":"a.go:1: no\n"}` + "\n" + `{"Action":"build-fail","ImportPath":"p"}` + "\n" +
			said("p", "", "FAIL p [build failed]") + line("fail", "p", "", ""), "a.go:1: no\nFAIL p [build failed]\n"},
		{"no event", "go: warning\n", "go: warning\n"},
		{"stopped", said("p", "TestA", "A"), "A\n"},
	} {
		var out bytes.Buffer
		if err := show(strings.NewReader(c.in), &out); err != nil || out.String() != c.want {
			t.Errorf("%s: %v\ngot  %q\nwant %q", c.name, err, out.String(), c.want)
		}
	}
}
