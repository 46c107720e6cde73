// Package house holds the rules of the house, as far as a program can check them:
// who may import whom, how long a file may be, what has no place in a test. Its
// test runs them on the whole module.
package house

import (
	"fmt"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// module is the module's path; imports that begin with it are of this house.
const module = "dunlin/"

// Package is what "go list -json" says of a package, as far as rules need it.
type Package struct {
	ImportPath   string
	Dir          string
	GoFiles      []string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Standard     bool
	Error        *struct{ Err string }
}

// name is the package's path inside the module.
func (p Package) name() string { return strings.TrimPrefix(p.ImportPath, module) }

// Floors, from below. Packages that nothing may import stand on the roof.
const (
	ground    = 0
	tools     = 5 // what needs something on the ground
	contracts = 10
	framing   = 15 // what the implementations of one contract share
	workers   = 20
	state     = 30
	doors     = 40
	program   = 50
	roof      = 60
)

// floors says on which floor a package stands. A name that ends in "/" is all
// packages below it that are not named.
var floors = map[string]int{
	"protocol": ground, "metrics": ground, "internal/mailbox": ground, "internal/handover": ground, "internal/lograte": ground, "internal/bucket": ground,
	"internal/tracing": tools, "internal/addrlimit": tools,
	"transport": contracts, "cluster": contracts, "webhooks": contracts, "apps": contracts,
	"transport/wire": framing, "internal/redis": framing, "webhooks/ledger": framing,
	"transport/": workers, "cluster/": workers, "webhooks/": workers, "apps/": workers, "internal/client": workers,
	"channels": state,
	"httpapi":  doors, "ops": doors, "internal/load": doors,
	"cmd/dunlin":     program,
	"internal/house": roof, "internal/testkit": roof, "internal/conformance": roof, "test/": roof,
}

// floorOf returns a package's floor; ok is false when it has none.
func floorOf(name string) (floor int, ok bool) {
	if floor, ok = floors[name]; ok {
		return floor, true
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if floor, ok = floors[dir+"/"]; ok {
			return floor, true
		}
	}
	return 0, false
}

// The rules, as they are quoted.
const (
	ruleFloor     = "a floor imports only floors below it"
	ruleHome      = "every package stands on a floor, named in internal/house"
	ruleContracts = "above the implementations, only contracts are known"
	ruleWire      = "in cmd/dunlin only files that begin with wire or transports name implementations"
	ruleTestOnly  = "contract tests and the test kit are imported by tests only"
	ruleProtocol  = "protocol: standard library and a JSON reader only, no goroutines, no I/O, no clock"
)

// mandate is a library with a fixed place.
type mandate struct {
	library []string // beginnings of import paths
	homes   []string // packages that may import it; "/x" is any whose last element is x
	rule    string
}

var mandates = []mandate{
	{[]string{"github.com/gobwas/"}, []string{"transport/wire"},
		"gobwas/ws lives in transport/wire; no ws.OpCode outside"},
	{[]string{"github.com/valyala/fasthttp"}, []string{"httpapi", "webhooks/deliver", "internal/load", "internal/client", "test/floor/bare"},
		"fasthttp enters in httpapi (server) and webhooks/deliver (client)"},
	{[]string{"github.com/redis/", "github.com/go-redis/"}, []string{"/redis"},
		"go-redis only in packages named redis; no redis.Nil outside"},
	{[]string{"github.com/spf13/"}, []string{"cmd/dunlin"},
		"viper and cobra only in cmd/dunlin"},
	{[]string{"github.com/prometheus/"}, []string{"metrics", "ops", "cmd/dunlin"},
		"prometheus only in metrics, ops and cmd/dunlin"},
	{[]string{"github.com/HdrHistogram/"}, []string{"internal/load"},
		"histograms of latencies only in internal/load"},
	{[]string{"github.com/schollz/progressbar"}, []string{"cmd/dunlin"},
		"what draws on a terminal only in cmd/dunlin"},
	{[]string{"gonum.org/", "codeberg.org/", "git.sr.ht/"}, []string{"test/plot"},
		"what draws pictures only in test/plot"},
	{[]string{"go.etcd.io/bbolt"}, []string{"webhooks/spool"},
		"the embedded store only in webhooks/spool"},
	{[]string{"go.opentelemetry.io/"}, []string{"internal/tracing"},
		"OpenTelemetry only in internal/tracing"},
}

func (m mandate) allows(name string) bool {
	return slices.ContainsFunc(m.homes, func(home string) bool {
		last, any := strings.CutPrefix(home, "/")
		return name == home || any && path.Base(name) == last
	})
}

// notInProtocol are the packages of the standard library that wait, read a clock
// or reach outside.
var notInProtocol = []string{"bufio", "context", "io", "log", "net", "os", "os/exec", "plugin", "syscall", "time"}

// CheckImports returns every import that breaks a rule, and quotes the rule.
func CheckImports(list []Package) (broken []string) {
	for _, p := range list {
		floor, ok := floorOf(p.name())
		if !ok {
			broken = append(broken, quote(p.name(), "stands on no floor", ruleHome))
		}
		for _, i := range p.Imports {
			broken = append(broken, checkImport(p.name(), floor, i)...)
		}
		for _, i := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			broken = append(broken, checkMandates(p.name(), i)...)
		}
	}
	return slices.Compact(broken)
}

func quote(where, what, rule string) string { return fmt.Sprintf("%s %s: %q", where, what, rule) }

// checkImport judges one import of code that is not a test.
func checkImport(name string, floor int, path string) (broken []string) {
	add := func(rule string) { broken = append(broken, quote(name, "imports "+path, rule)) }
	other, ours := strings.CutPrefix(path, module)
	if name == "protocol" && (ours || !plainLibrary(path)) {
		add(ruleProtocol)
	}
	if !ours {
		return broken
	}
	switch below, ok := floorOf(other); {
	case testOnly(other) && !testOnly(name) && floor < roof:
		add(ruleTestOnly)
	case ok && below >= floor:
		add(ruleFloor)
	case isImplementation(other) && floor > workers && floor < program:
		add(ruleContracts)
	}
	return broken
}

func checkMandates(name, path string) (broken []string) {
	for _, m := range mandates {
		if m.allows(name) {
			continue
		}
		for _, library := range m.library {
			if strings.HasPrefix(path, library) {
				broken = append(broken, quote(name, "imports "+path, m.rule))
			}
		}
	}
	return broken
}

// plainLibrary reports whether protocol may import a package.
func plainLibrary(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	if strings.Contains(first, ".") {
		return path == "github.com/tidwall/gjson"
	}
	return !slices.ContainsFunc(notInProtocol, func(no string) bool {
		return path == no || strings.HasPrefix(path, no+"/")
	})
}

// testOnly reports whether a package is there for tests.
func testOnly(name string) bool {
	return path.Base(name) == "contract" || name == "internal/testkit"
}

// isImplementation reports whether a package implements a contract.
func isImplementation(name string) bool {
	floor, ok := floorOf(name)
	return ok && floor == workers && !testOnly(name) && !strings.HasPrefix(name, "internal/")
}

// CheckWiring returns the files of the program, but for those meant for it, that
// name implementations.
func CheckWiring(list []Package) (broken []string, err error) {
	for _, p := range list {
		if p.name() != "cmd/dunlin" {
			continue
		}
		for _, file := range p.GoFiles {
			if strings.HasPrefix(file, "wire") || strings.HasPrefix(file, "transports") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.ImportsOnly)
			if err != nil {
				return nil, err
			}
			for _, spec := range f.Imports {
				path, _ := strconv.Unquote(spec.Path.Value) // the parser has checked it
				if other, ours := strings.CutPrefix(path, module); ours && isImplementation(other) {
					broken = append(broken, quote("cmd/dunlin/"+file, "imports "+path, ruleWire))
				}
			}
		}
	}
	return broken, nil
}
