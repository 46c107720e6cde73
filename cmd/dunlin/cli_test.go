package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"

	"dunlin/apps"
	"dunlin/protocol"
)

// roleVariable makes the test binary play a part in a process of its own.
const roleVariable = "PLAY_A_PART"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "dunlin":
		main()
	case "stubborn": // does not end when it is asked to
		ctx, _ := untilSignal()
		fmt.Println("waiting")
		<-ctx.Done()
		fmt.Println("stopping")
		select {}
	default:
		os.Exit(m.Run())
	}
}

// runCLI runs a command line with these files and variables.
func runCLI(files map[string]string, vars []string, args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(args, &out, &err, surroundings(files, vars...))
	return code, out.String(), err.String()
}

func TestCommands(t *testing.T) {
	t.Parallel()
	files := map[string]string{"good.yaml": oneApp, "bad.yaml": "server: {port: x}\nlog: {levl: info}\n" + oneApp}
	for _, c := range []struct {
		args   string
		vars   []string
		code   int
		stdout string
		stderr string
	}{
		{"check --config good.yaml", nil, 0, "ok: good.yaml: 1 app\n", ""},
		{"check -c good.yaml", []string{"DUNLIN_LGO=1"}, 0, "ok: good.yaml: 1 app\n", "warning: DUNLIN_LGO: no such setting\n"},
		{"check", []string{"DUNLIN_APP_ID=a", "DUNLIN_APP_KEY=a", "DUNLIN_APP_SECRET=a"}, 0, "ok: the environment: 1 app\n", ""},
		{"check --config bad.yaml", []string{"DUNLIN_SERVER_PROT=1"}, 1, "",
			"warning: DUNLIN_SERVER_PROT: no such setting; did you mean DUNLIN_SERVER_PORT?\n" +
				"bad.yaml:1: server.port: must be a whole number from 0 to 65535, not \"x\"\n" +
				"bad.yaml:2: log.levl: no such setting; did you mean log.level?\n2 mistakes\n"},
		{"check --config none.yaml", nil, 1, "", "dunlin: reading the configuration: open none.yaml: file does not exist\n"},
		{"serve --config good.yaml --port http --host 1.2.3", nil, 1, "",
			"--host: must be an IP address, a host name or unix:/path, not \"1.2.3\"\n" +
				"--port: must be a whole number from 0 to 65535, not \"http\"\n2 mistakes\n"},
		{"check good.yaml", nil, 2, "", "dunlin: unknown command \"good.yaml\" for \"dunlin check\"\nTry dunlin --help\n"},
		{"webhooks nosuch", nil, 2, "", "dunlin: unknown command \"nosuch\" for \"dunlin webhooks\"\nTry dunlin --help\n"},
		{"trigger a b \xff -c good.yaml", nil, 1, "", "dunlin: DATA must be text in UTF-8; encode anything else, such as with base64\n"},
		{"trigger a b --url 127.0.0.1:6001 -c good.yaml", nil, 1, "", "dunlin: --url must be an http or https URL, not \"127.0.0.1:6001\"\n"},
		{"tail a --url ftp://h -c good.yaml", nil, 1, "", "dunlin: --url must be an http or https URL, not \"ftp://h\"\n"},
		{"channels --url http://h?a=b -c good.yaml", nil, 1, "", "dunlin: --url must be an http or https URL, not \"http://h?a=b\"\n"},
		{"tail a --count -1 -c good.yaml", nil, 1, "", "dunlin: --count must not be negative\n"},
		{"check --file x", nil, 2, "", "dunlin: unknown flag: --file\nTry dunlin --help\n"},
		{"chek", nil, 2, "", "dunlin: unknown command \"chek\" for \"dunlin\"\n\nDid you mean this?\n\tcheck\n\nTry dunlin --help\n"},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := runCLI(files, c.vars, strings.Fields(c.args)...)
			if code != c.code || stdout != c.stdout || stderr != c.stderr {
				t.Errorf("got %d\n%s%s\nwant %d\n%s%s", code, stdout, stderr, c.code, c.stdout, c.stderr)
			}
		})
	}
}

func TestHelpAndVersion(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{
		{"", "Available Commands:"}, {"help", "Available Commands:"}, {"serve --help", "$DUNLIN_PORT"}, {"check --help", "$DUNLIN_CONFIG"},
		{"version", "dunlin dev\ncommit "},
	} {
		code, stdout, stderr := runCLI(nil, nil, strings.Fields(c[0])...)
		if code != 0 || !strings.Contains(stdout, c[1]) || stderr != "" {
			t.Errorf("%s: %d %s %s", c[0], code, stdout, stderr)
		}
	}
}

func TestCommit(t *testing.T) {
	t.Parallel()
	info := &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"}}}
	if got := commitOf(info, true); got != "abc with changes" {
		t.Error(got)
	}
	if got := commitOf(nil, false); got != "unknown" {
		t.Error(got)
	}
}

// serving is a server that runs inside the test.
type serving struct {
	stop   context.CancelFunc
	stdout *lineWriter
	done   chan error
}

// serveText starts a server on a file with this text and waits until it has
// greeted.
func serveText(t *testing.T, text string, stderr io.Writer) (*serving, error) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	s := &serving{stop: stop, stdout: &lineWriter{seen: make(chan struct{})}, done: make(chan error, 1)}
	c := &cli{stdout: s.stdout, stderr: stderr, env: surroundings(map[string]string{"c.yaml": text})}
	go func() { s.done <- c.serve(ctx, sources{file: "c.yaml", env: c.env}) }()
	select {
	case <-s.stdout.seen:
		return s, nil
	case err := <-s.done:
		stop()
		return nil, err
	}
}

// lineWriter says when a greeting was written.
type lineWriter struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	once sync.Once
	seen chan struct{}
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf.Write(p)
	if strings.Contains(w.buf.String(), "channel.bind") {
		w.once.Do(func() { close(w.seen) })
	}
	return len(p), nil
}

func (w *lineWriter) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}

func TestServe(t *testing.T) {
	t.Parallel()
	const apps = "apps: [{id: first, key: first-key, secret: hush-1}, {id: second, key: k, secrets: [hush-2], enabled: false}]\n"
	const config = "server: {port: %s, drain: 0}\nops: {port: 0}\nlog: {format: json}\n" + apps
	var log lineWriter
	s, err := serveText(t, fmt.Sprintf(config, "0"), &log)
	if err != nil {
		t.Fatal(err)
	}
	out := s.stdout.String()
	_, rest, _ := strings.Cut(out, "http://127.0.0.1:")
	port, _, _ := strings.Cut(rest, "\n")
	for _, want := range []string{"id first ", "key first-key", "id second", "(disabled)", "new Pusher(\"first-key\", {wsHost: \"127.0.0.1\", wsPort: " + port + ","} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if _, err := serveText(t, fmt.Sprintf(config, port), io.Discard); err == nil || !strings.Contains(err.Error(), ":"+port) {
		t.Errorf("a second start on a taken port: %v", err)
	}
	s.stop()
	if err := <-s.done; err != nil {
		t.Error(err)
	}
	if all := out + log.String(); strings.Contains(all, "hush") || !strings.Contains(all, `"msg":"listening","address":"127.0.0.1:`+port) {
		t.Errorf("printed\n%s", all)
	}
}

func TestGreeting(t *testing.T) {
	t.Parallel()
	cfg := &Config{Server: ServerConfig{PathPrefix: "/ws"}, Apps: []*apps.App{{ID: "off", Key: "x"}, {ID: "on", Key: "y", Enabled: true}}}
	addrs := []net.Addr{&net.UnixAddr{Net: "unix", Name: "/run/d.sock"}, &net.TCPAddr{IP: net.IPv4zero, Port: 6001}, &net.TCPAddr{IP: net.IPv6loopback, Port: 6001}}
	var out strings.Builder
	if err := greet(&out, cfg, addrs, []net.Addr{&net.TCPAddr{IP: net.IPv4zero, Port: 6443}}); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/greeting.txt", out.String())
	if got := snippet(cfg, addrs[:1], nil); got != "" {
		t.Errorf("a page cannot reach a unix socket: %s", got)
	}
	for ip, want := range map[string]string{"::": "[::1]", "fe80::1": "[fe80::1]", "10.0.0.1": "10.0.0.1"} {
		if got := pageHost(net.ParseIP(ip)); got != want {
			t.Errorf("%s: got %s, want %s", ip, got, want)
		}
	}
}

func TestWarnsOfExampleSecrets(t *testing.T) {
	t.Parallel()
	example := protocol.NewSecret("app-secret")
	for _, c := range []struct {
		addr    net.Addr
		secret  *protocol.Secret
		enabled bool
		warns   bool
	}{
		{&net.TCPAddr{IP: net.IPv4zero}, example, true, true},
		{&net.TCPAddr{IP: net.IPv6unspecified}, example, true, true},
		{&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}, example, true, true},
		{&net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}, example, true, false},
		{&net.TCPAddr{IP: net.IPv6loopback}, example, true, false},
		{&net.UnixAddr{Name: "/a", Net: "unix"}, example, true, false},
		{&net.TCPAddr{IP: net.IPv4zero}, example, false, false},
		{&net.TCPAddr{IP: net.IPv4zero}, protocol.NewSecret("own"), true, false},
	} {
		var out bytes.Buffer
		list := []*apps.App{{ID: "a", Secrets: []*protocol.Secret{protocol.NewSecret("new"), c.secret}, Enabled: c.enabled}}
		warnExamples(slog.New(slog.NewTextHandler(&out, nil)), list, []net.Addr{&net.TCPAddr{IP: net.IPv6loopback}, c.addr})
		if got := strings.Contains(out.String(), "level=WARN"); got != c.warns || strings.Contains(out.String(), "app-secret") {
			t.Errorf("%v %v: %s", c.addr, c.enabled, out.String())
		}
	}
}

func TestLogger(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ level, format, want string }{
		{"info", "auto", `"level":"INFO","msg":"i"}`}, {"info", "text", "level=INFO msg=i"},
		{"debug", "text", "level=DEBUG msg=d"}, {"warn", "json", ""},
	} {
		var out bytes.Buffer
		log := newLogger(LogConfig{Level: c.level, Format: c.format}, &out, &slog.LevelVar{})
		log.Debug("d")
		log.Info("i")
		if got := out.String(); !strings.Contains(got, c.want) || c.want == "" && got != "" || strings.Contains(got, "DEBUG") != (c.level == "debug") {
			t.Errorf("%+v: got %s", c, got)
		}
	}
}

// process starts the test binary in another part and returns what it prints.
func process(t *testing.T, role string, args ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(stdout)
}

func waitFor(t *testing.T, lines *bufio.Scanner, part string) {
	t.Helper()
	for lines.Scan() {
		if strings.Contains(lines.Text(), part) {
			return
		}
	}
	t.Fatalf("it ended without printing %q", part)
}

func signalTo(t *testing.T, cmd *exec.Cmd, s os.Signal) {
	t.Helper()
	if err := cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func TestFirstSignalStops(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "c.yaml")
	text := "server: {port: 0, drain: 0}\nops: {enabled: false}\nlog: {level: error}\n" + oneApp
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		cmd, lines := process(t, "dunlin", "serve", "--config", file)
		waitFor(t, lines, "channel.bind")
		signalTo(t, cmd, s)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v", s, err)
		}
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	cmd, lines := process(t, "stubborn")
	waitFor(t, lines, "waiting")
	signalTo(t, cmd, syscall.SIGTERM)
	waitFor(t, lines, "stopping")
	signalTo(t, cmd, syscall.SIGTERM)
	_ = cmd.Wait() // says how it ended, which is looked at here
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %v", cmd.ProcessState)
	}
}
