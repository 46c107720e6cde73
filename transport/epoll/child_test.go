//go:build linux

package epoll

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// childVariable makes the test binary one of servers instead. Their output
// begins with their address.
const childVariable = "DUNLIN_TEST_SERVER"

var servers = map[string]func() error{"limited": limitedServer, "publishing": publishingServer, "busy": busyServer}

func TestMain(m *testing.M) {
	serve, ok := servers[os.Getenv(childVariable)]
	if !ok {
		os.Exit(m.Run())
	}
	if err := serve(); err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
}

// child is the test binary, run as a server.
type child struct {
	t    testing.TB
	addr string
	in   io.Writer
	out  *bufio.Reader
}

// startChild runs one of servers, with more variables for its environment.
func startChild(t testing.TB, server string, more ...string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), childVariable+"="+server), more...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	c := &child{t: t, in: in, out: bufio.NewReader(out)}
	c.addr = c.line()
	return c
}

func (c *child) line() string {
	c.t.Helper()
	s, err := c.out.ReadString('\n')
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimSpace(s)
}
