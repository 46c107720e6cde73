//go:build linux

package main

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"

	"dunlin/internal/load"
	"dunlin/protocol"
)

// roleVariable makes the test binary be the program.
const roleVariable = "BE_PROTO"

func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) != "" {
		main()
	}
	os.Exit(m.Run())
}

// TestProto: the load maker gets all of its events, also where they are gathered.
func TestProto(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"-coalesce"}} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
		cmd.Env = append(os.Environ(), roleVariable+"=1")
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		o := load.Defaults(load.Fanout)
		o.URL, o.Secret = "http://"+strings.Fields(line)[2], protocol.NewSecret("any")
		o.Connections, o.Events, o.Publishers = 50, 100, 4
		r, err := load.Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if d := r.Deliveries; d.Received != 5000 || d.Lost != 0 || d.Repeated != 0 || r.Connections.Ready != 50 {
			t.Errorf("%q: %+v", args, d)
		}
		cmd.Process.Kill()
		cmd.Wait() // says that it was killed
	}
}
