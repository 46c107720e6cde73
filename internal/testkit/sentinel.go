package testkit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Watched is a Redis with a replica, and the Sentinel that watches them.
type Watched struct {
	URL             string
	Master, Replica *Redis
}

// StartSentinel starts a master, its replica, and a Sentinel that puts the replica
// in the place of a master that has not answered for a second. In the URL another
// Sentinel stands first, which does not answer.
func StartSentinel(t testing.TB) *Watched {
	t.Helper()
	port := func(n int) []string { return []string{"--port", strconv.Itoa(n)} }
	w := &Watched{Master: StartRedisOn(t, port)}
	host, master, _ := strings.Cut(w.Master.Addr, ":")
	w.Replica = StartRedisOn(t, func(n int) []string {
		return append(port(n), "--replicaof", host, master, "--repl-diskless-sync-delay", "0")
	})
	Until(t, "the replica follows", func() bool {
		info, err := exec.Command("redis-cli", "-s", w.Replica.Socket, "info", "replication").Output()
		return err == nil && strings.Contains(string(info), "master_link_status:up")
	})
	sentinel := startSentinel(t, host, master)
	w.URL = fmt.Sprintf("redis-sentinel://127.0.0.1:1,%s/main/0", sentinel)
	return w
}

// startSentinel starts a Sentinel that knows of the master and of its replica.
func startSentinel(t testing.TB, host, master string) (addr string) {
	t.Helper()
	port := strconv.Itoa(FreePort(t))
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("port %s\nbind 127.0.0.1\nsentinel monitor main %s %s 1\nsentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 5000\n", port, host, master)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("redis-server", file, "--sentinel")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait() // it was killed
	})
	Until(t, "the Sentinel knows the replica", func() bool {
		out, err := exec.Command("redis-cli", "-p", port, "sentinel", "replicas", "main").Output()
		return err == nil && strings.Contains(string(out), "runid")
	})
	return "127.0.0.1:" + port
}
