// Package e2e tests the real binary from outside: golden transcripts of
// conversations, and what hostile or unlucky peers send. Everything runs on each
// transport, with the same expectations.
package e2e

import (
	"os"
	"runtime"
	"testing"

	"dunlin/internal/testkit"
)

func TestMain(m *testing.M) {
	os.Setenv("PEBBLE_VA_NOSLEEP", "1") // the authority of TestACME is not to dawdle
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

// eachTransport runs a test against one server on each transport.
func eachTransport(t *testing.T, config string, test func(*testing.T, *testkit.Server)) {
	for _, name := range transports() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, testkit.Start(t, testkit.Options{Config: config, Env: []string{"DUNLIN_SERVER_TRANSPORT=" + name}}))
		})
	}
}
