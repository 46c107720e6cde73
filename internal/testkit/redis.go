package testkit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Redis is a redis-server of a test's own, on a unix socket.
type Redis struct {
	Socket string
	Addr   string // of StartRedisOn

	t    testing.TB
	dir  string
	args []string

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
}

// StartRedis starts a redis-server and has it stopped at the end of the test. args
// are added to its command line, such as "--appendonly", "yes".
func StartRedis(t testing.TB, args ...string) *Redis {
	t.Helper()
	dir, err := os.MkdirTemp("", "dunlin-redis-") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	r := &Redis{Socket: filepath.Join(dir, "redis.sock"), t: t, dir: dir, args: args}
	t.Cleanup(func() {
		r.Kill()
		os.RemoveAll(dir)
	})
	r.Start()
	return r
}

// URL names it.
func (r *Redis) URL() string { return "unix://" + r.Socket }

// Start starts it, at first or again, with what data it left on disk.
func (r *Redis) Start() {
	r.t.Helper()
	if !r.start() {
		r.t.Fatal("redis-server ended at its start")
	}
}

// start reports false when the process ended instead of answering.
func (r *Redis) start() (ok bool) {
	r.t.Helper()
	args := append([]string{"--port", "0", "--unixsocket", r.Socket, "--dir", r.dir, "--save", ""}, r.args...)
	cmd := exec.Command("redis-server", args...)
	dieWithUs(cmd)
	done, started := make(chan struct{}), make(chan error)
	go func() {
		runtime.LockOSThread() // with this thread, which waits, the process would die
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // it is killed
		}
		close(done)
	}()
	if err := <-started; err != nil {
		r.t.Fatalf("starting redis-server: %v", err)
	}
	r.mu.Lock()
	r.cmd, r.done = cmd, done
	r.mu.Unlock()
	Until(r.t, "redis-server answers", func() bool {
		select {
		case <-done:
			return true
		default:
		}
		answer, err := r.Do("PING")
		ok = err == nil && answer == "+PONG"
		return ok
	})
	return ok
}

// Kill kills it, if it runs.
func (r *Redis) Kill() {
	r.mu.Lock()
	cmd, done := r.cmd, r.done
	r.cmd = nil
	r.mu.Unlock()
	if cmd != nil {
		_ = cmd.Process.Signal(syscall.SIGCONT) // it may be stopped
		_ = cmd.Process.Kill()
		<-done
	}
}

// Wipe takes away what it left on disk, while it does not run.
func (r *Redis) Wipe() {
	r.t.Helper()
	files, err := filepath.Glob(filepath.Join(r.dir, "*"))
	for _, f := range files {
		err = errors.Join(err, os.RemoveAll(f))
	}
	if err != nil {
		r.t.Errorf("wiping redis-server's data: %v", err)
	}
}

// Signal sends it a signal, such as SIGSTOP.
func (r *Redis) Signal(sig os.Signal) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.cmd.Process.Signal(sig); err != nil {
		r.t.Errorf("signalling redis-server: %v", err)
	}
}

// Do sends a command and returns the first line of the answer, or the text where the
// answer is one.
func (r *Redis) Do(command ...string) (string, error) {
	c, err := net.DialTimeout("unix", r.Socket, time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	fmt.Fprintf(c, "*%d\r\n", len(command))
	for _, word := range command {
		fmt.Fprintf(c, "$%d\r\n%s\r\n", len(word), word)
	}
	in := bufio.NewReader(c)
	line, err := in.ReadString('\n')
	if n, bad := strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(line), "$")); err == nil && bad == nil && line[0] == '$' && n >= 0 {
		text := make([]byte, n)
		_, err = io.ReadFull(in, text)
		return string(text), err
	}
	return strings.TrimSpace(line), err
}

// StartRedisOn is StartRedis for a server with a port of 127.0.0.1 as well; args
// makes what has to be added to the command line.
func StartRedisOn(t testing.TB, args func(port int) []string) *Redis {
	t.Helper()
	dir, err := os.MkdirTemp("", "dunlin-redis-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for range 20 {
		port := FreePort(t)
		if port > 50_000 {
			continue
		}
		r := &Redis{
			Socket: filepath.Join(dir, "redis.sock"), Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
			t: t, dir: dir, args: append([]string{"--bind", "127.0.0.1"}, args(port)...),
		}
		t.Cleanup(r.Kill)
		if r.start() {
			return r
		}
		r.Kill()
	}
	t.Fatal("no port is free for a redis-server")
	return nil
}

// FreePort is a port of the loopback that nobody listens on now, for programs that can
// not be given port 0.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
