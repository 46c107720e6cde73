// Package model plays random conversations of many clients and backends against
// the real binary, beside a model that knows what everybody must hear.
//
// There are two ways to play. In a conversation (TestConversations) one operation
// is done at a time: the model predicts every frame of every connection, and every
// answer of the HTTP API, and nothing else may come. In a burst (TestBursts) all
// clients act at once, messages are sent without waiting for answers, and what
// everybody heard is judged afterwards: one order for all, nothing lost or twice,
// snapshots and member events that add up to the truth, counts that return to it,
// cached events that are never old.
//
// Both run on each transport. A failure prints the seed and a script, cut down to
// the operations that are needed for it:
//
//	go test ./test/model                                # a few seconds, other seeds each time
//	go test ./test/model -rounds 1000 -timeout 2h       # long
//	go test ./test/model -seed 7 -rounds 1              # what was printed, again
//	go test ./test/model -run Scripts -script FILE      # one script; FILE as seen from this folder
//	go test ./test/model -ops 400                       # longer conversations
//
// Scripts of what once went wrong stand in testdata/ and are played on each
// transport every time. Their language is described at parseScript.
//
// The model has no nodes in it: where a client is connected makes no difference to
// what it hears. A table has several nodes, clients and backends are spread over
// them, and -nodes says how many; what nodes share is a matter of nodeConfig.
package model

import (
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"dunlin/internal/testkit"
)

var (
	seedFlag   = flag.Int64("seed", 0, "of the first round; 0: another one each time")
	roundsFlag = flag.Int("rounds", 8, "rounds of each kind on each transport")
	opsFlag    = flag.Int("ops", 120, "operations of a round")
	nodesFlag  = flag.Int("nodes", 1, "servers that share their state")
	shrinkFlag = flag.Duration("shrink", time.Minute, "how long a failing script is made shorter")
	scriptFlag = flag.String("script", "", "a file to be played, instead of those in testdata")
)

func TestMain(m *testing.M) {
	code := m.Run()
	testkit.RemoveBinary()
	os.Exit(code)
}

// transports are those of this system.
func transports() []string {
	if runtime.GOOS == "linux" {
		return []string{"epoll", "stream"}
	}
	return []string{"stream"}
}

// TestConversations predicts every frame and every answer: PROTOCOL 1.34, 1.41–1.43, 2.4,
// 2.7–2.9, 2.11, 2.12, 2.14, 2.19, 2.21, 2.25–2.27, 2.30–2.37, 2.39–2.39b, 2.40, 2.41,
// 2.44–2.48, 2.50–2.52, 2.54–2.56, 2.58, 3.1–3.9, 3.11, 4.5–4.8, 4.15, 4.16, 4.20, 4.21,
// 4.25–4.29, 5.20–5.24, 5.33, 5.35, 5.36, 5.38, 5.40–5.46, 5.48.
func TestConversations(t *testing.T) {
	t.Parallel()
	eachTransport(t, func(t *testing.T, transport string) {
		playRounds(t, transport, "conversation", conversation)
	})
}

// TestBursts judges what everybody heard while all acted at once: PROTOCOL 1.34, 2.11, 2.24,
// 2.38, 2.39a, 2.40, 2.41, 2.51, 3.4, 3.6, 4.20, 4.25–4.29, 5.21, 5.22, 5.32; PITFALLS 8, 10, 16, 26.
func TestBursts(t *testing.T) {
	t.Parallel()
	eachTransport(t, func(t *testing.T, transport string) {
		playRounds(t, transport, "burst", burst)
	})
}

func eachTransport(t *testing.T, test func(*testing.T, string)) {
	for _, name := range transports() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, name)
		})
	}
}

// playRounds plays rounds with seeds one after the other, all on the same servers:
// what one leaves behind would disturb the next.
func playRounds(t *testing.T, transport, mode string, generate func(seed int64, ops int) script) {
	nodes := startNodes(t, transport, *nodesFlag)
	seed := *seedFlag
	if seed == 0 {
		seed = time.Now().UnixNano() % 1e9
	}
	for i := range *roundsFlag {
		s := generate(seed+int64(i), *opsFlag)
		if f := attempt(t, func(tb testing.TB, at *progress) { s.play(tb, nodes, at, testkit.Patience) }); f != nil {
			t.Logf("%s on %s, seed %d: %s", mode, transport, seed+int64(i), f.text)
			report(t, transport, s, f)
			return // the servers may be broken
		}
	}
}

// report fails the test with the shortest script that still fails.
func report(t *testing.T, transport string, s script, f *failure) {
	small, f := minimize(t, transport, s, f)
	t.Errorf("%s\n\nthe script, to be put into a file and played with -run Scripts -script FILE:\n\n%s", f.text, small)
}

// TestScripts plays the scripts of testdata, each a fault that once was.
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if *scriptFlag != "" {
		files = []string{*scriptFlag}
	}
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	eachTransport(t, func(t *testing.T, transport string) {
		nodes := startNodes(t, transport, *nodesFlag)
		for _, file := range files {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { playFile(t, nodes, file) })
		}
	})
}

func playFile(t *testing.T, nodes []*testkit.Server, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := parseScript(string(text))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	for range s.times {
		s.play(t, nodes, &progress{}, testkit.Patience)
	}
}

// startNodes starts servers that share their state.
func startNodes(t testing.TB, transport string, n int) (nodes []*testkit.Server) {
	t.Helper()
	env := []string{"DUNLIN_SERVER_TRANSPORT=" + transport}
	if n > 1 {
		env = append(env, "DUNLIN_ENGINE_TYPE=redis", "DUNLIN_ENGINE_REDIS_URL="+testkit.StartRedis(t).URL())
	}
	for range n {
		nodes = append(nodes, testkit.Start(t, testkit.Options{Config: nodeConfig, Env: env}))
	}
	return nodes
}
