// Package testkit runs the real binary for tests: built once, started on free
// ports, stopped by its own process id. Only tests import it.
package testkit

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dunlin/internal/client"
	"dunlin/protocol"
)

// Patience is how long anything that must happen may take.
const Patience = 20 * time.Second

// The app of Config's default.
const (
	AppID  = "app-id"
	Key    = "app-key"
	Secret = "app-secret"
)

// DefaultConfig has one app, with client events, and free ports.
const DefaultConfig = `
server: {port: 0, drain: 1s}
ops: {port: 0}
apps:
  - {id: app-id, key: app-key, secret: app-secret, client_events: true}
  - {id: off, key: off-key, secret: off-secret, enabled: false}
`

var build struct {
	once sync.Once
	path string
	err  error
}

// Binary builds dunlin, once a process, and returns its path. RemoveBinary takes
// it away again.
func Binary() (string, error) {
	build.once.Do(func() {
		dir, err := os.MkdirTemp("", "dunlin-test-")
		if err != nil {
			build.err = err
			return
		}
		build.path = filepath.Join(dir, "dunlin")
		args := append(append([]string{"build"}, raceFlag...), "-o", build.path, "dunlin/cmd/dunlin")
		if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
			build.err = fmt.Errorf("building dunlin: %w\n%s", err, out)
		}
	})
	return build.path, build.err
}

// RemoveBinary is for the end of TestMain.
func RemoveBinary() {
	if build.path != "" {
		os.RemoveAll(filepath.Dir(build.path))
	}
}

// Server is a running dunlin.
type Server struct {
	Addr string // host:port of clients and backends
	TLS  string // the same with TLS
	Ops  string // host:port of operators
	File string // its configuration
	API  *client.API

	t    testing.TB
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	err  error         // of its end; after done

	mu sync.Mutex
	// Guarded by mu
	log strings.Builder
}

// Options of Start. Zero values are defaults.
type Options struct {
	Config string     // YAML; DefaultConfig
	File   string     // has the configuration already, in place of Config
	TLS    bool       // it listens with TLS, perhaps nowhere else
	Env    []string   // "NAME=value", beside the test's own
	Args   []string   // after "serve --config FILE"
	Wrap   []string   // a command that runs the binary, such as prlimit
	Files  []*os.File // that it has open as 3, 4 and so on
}

// Start starts a server and has it stopped at the end of the test.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	bin, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	if o.Config == "" {
		o.Config = DefaultConfig
	}
	file := o.File
	if file == "" {
		file = filepath.Join(t.TempDir(), "apps.yaml")
		if err := os.WriteFile(file, []byte(o.Config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := append(append(append([]string{}, o.Wrap...), bin, "serve", "--config", file), o.Args...)
	s := &Server{File: file, t: t, cmd: exec.Command(args[0], args[1:]...), done: make(chan struct{})}
	s.cmd.Env, s.cmd.ExtraFiles = append(os.Environ(), o.Env...), o.Files
	out, in := io.Pipe()
	s.cmd.Stdout, s.cmd.Stderr = in, in
	if err := s.cmd.Start(); err != nil {
		t.Fatalf("starting dunlin: %v", err)
	}
	go func() {
		s.err = s.cmd.Wait()
		in.Close()
		close(s.done)
	}()
	t.Cleanup(func() { s.end() })
	s.follow(out, o.TLS)
	s.API = client.NewAPI("http://"+s.Addr, AppID, Key, protocol.NewSecret(Secret))
	return s
}

// follow reads the log until the server listens, and on in the background.
func (s *Server) follow(out io.Reader, secure bool) {
	s.t.Helper()
	listening := make(chan struct{})
	go func() {
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			s.mu.Lock()
			s.log.WriteString(lines.Text() + "\n")
			s.mu.Unlock()
			var l struct{ Msg, Address string }
			if json.Unmarshal(lines.Bytes(), &l) != nil {
				continue
			}
			switch {
			case l.Msg == "serving operators":
				s.Ops = l.Address
			case l.Msg == "listening" && s.Addr == "":
				s.Addr = l.Address
				if !secure {
					close(listening)
				}
			case l.Msg == "listening with TLS" && s.TLS == "": // behind the others
				s.TLS = l.Address
				close(listening)
			}
		}
	}()
	select {
	case <-listening:
	case <-s.done:
		s.t.Fatalf("dunlin ended at its start: %v\n%s", s.err, s.Log())
	case <-time.After(Patience):
		s.t.Fatalf("dunlin does not listen\n%s", s.Log())
	}
}

// Log is what the server printed so far.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// Pid is the server's process id.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

// Signal sends the server a signal.
func (s *Server) Signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Errorf("signal: %v", err)
	}
}

// Wait waits for the server's end and returns what exec.Cmd.Wait did.
func (s *Server) Wait() error {
	s.t.Helper()
	select {
	case <-s.done:
	case <-time.After(Patience):
		s.t.Fatalf("dunlin does not end\n%s", s.Log())
	}
	return s.err
}

// end stops the server if it still runs. A panic or a race that it logged fails
// the test.
func (s *Server) end() {
	select {
	case <-s.done:
	default:
		s.Signal(syscall.SIGTERM)
		select {
		case <-s.done:
		case <-time.After(Patience):
			s.cmd.Process.Kill()
			<-s.done
			s.t.Errorf("dunlin did not end on SIGTERM")
		}
	}
	if log := s.Log(); strings.Contains(log, "DATA RACE") || strings.Contains(log, "panic") || strings.Contains(log, "goroutine 1 ") {
		s.t.Errorf("dunlin's log:\n%s", log)
	}
}

// Context ends with the test's patience.
func Context(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	t.Cleanup(cancel)
	return ctx
}

// Dial connects a client of the default app.
func (s *Server) Dial() *client.Conn {
	s.t.Helper()
	c, err := client.Dial(Context(s.t), "http://"+s.Addr, Key, client.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Drop)
	return c
}

var metricLine = regexp.MustCompile(`(?m)^([a-z_]+(?:\{.*\})?) ([0-9.e+-]+)$`)

// Metric reads a figure from the ops port, by the name and labels it has there. A
// figure that is not there fails the test: all of them are there from the start.
func (s *Server) Metric(name string) float64 {
	s.t.Helper()
	r, err := http.Get("http://" + s.Ops + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, m := range metricLine.FindAllStringSubmatch(string(text), -1) {
		if m[1] == name {
			v, _ := strconv.ParseFloat(m[2], 64)
			return v
		}
	}
	s.t.Fatalf("no metric %s in\n%s", name, text)
	return 0
}

// Until polls ok until it holds.
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(Patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}
