package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// TestHealthcheck asks running servers as a container's probe does, over TCP, a unix
// socket and TLS, and one that is not there.
func TestHealthcheck(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "d.sock")
	s, err := serveText(t, fmt.Sprintf("server: {host: [127.0.0.1, 'unix:%s'], port: 0, drain: 0}\nops: {enabled: false}\n%s", socket, oneApp), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(s.stdout.String(), "http://127.0.0.1:")
	port, _, _ := strings.Cut(rest, "\n")
	sick := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ready" {
			w.WriteHeader(http.StatusServiceUnavailable)
			io.WriteString(w, `{"ready":false,"reasons":["draining"]}`)
		}
	}))
	t.Cleanup(sick.Close)
	config := map[string]string{"c.yaml": "server: {host: 127.0.0.1, port: " + port + "}\n" + oneApp}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--config", "c.yaml"}, 0, "OK\n"},
		{[]string{"--config", "c.yaml", "--ready"}, 0, `{"ready":true}` + "\n"},
		{[]string{"--url", "http://127.0.0.1:" + port + "/"}, 0, "OK\n"},
		{[]string{"--socket", socket}, 0, "OK\n"},
		{[]string{"--socket", socket + "2"}, 1, "no such file"},
		{[]string{"--url", sick.URL}, 1, "--insecure takes any certificate"},
		{[]string{"--url", sick.URL, "--insecure"}, 0, "200 OK\n"},
		{[]string{"--url", sick.URL, "--insecure", "--ready"}, 1, `the server answered 503: {"ready":false,"reasons":["draining"]}`},
		{[]string{"--url", "x", "--socket", "y"}, 1, "either --url or --socket"},
		{[]string{"--timeout", "soon"}, 2, "invalid argument"},
		{[]string{"more"}, 2, "more"},
	} {
		code, out, errs := runCLI(config, nil, append([]string{"healthcheck"}, c.args...)...)
		if code != c.code || !strings.Contains(out+errs, c.says) {
			t.Errorf("%q: %d %s%s; want %d %s", c.args, code, out, errs, c.code, c.says)
		}
	}
	s.stop()
	if err := <-s.done; err != nil {
		t.Error(err)
	}
	if code, _, errs := runCLI(config, nil, "healthcheck", "--config", "c.yaml"); code != 1 || !strings.Contains(errs, "refused") {
		t.Errorf("after the end: %d %s", code, errs)
	}
}

// TestLogLevel changes what a running server logs.
func TestLogLevel(t *testing.T) {
	t.Parallel()
	var log lineWriter
	s, err := serveText(t, "server: {port: 0, drain: 0}\nops: {port: 0, admin_token: hush}\nlog: {format: json, level: info}\n"+oneApp, &log)
	if err != nil {
		t.Fatal(err)
	}
	m := opsAddress.FindStringSubmatch(log.String())
	if m == nil {
		t.Fatalf("no ops address in %s", log.String())
	}
	command := func(args ...string) (int, string, string) {
		return runCLI(nil, nil, append(append([]string{"log"}, args...), "--url", "http://"+m[1], "--token", "hush")...)
	}
	for _, c := range []struct {
		args []string
		code int
		out  string
	}{{nil, 0, "info\n"}, {[]string{"debug"}, 0, "debug\n"}, {nil, 0, "debug\n"}, {[]string{"error"}, 0, "error\n"}, {[]string{"loud"}, 2, ""}, {nil, 0, "error\n"}} {
		if code, out, errs := command(c.args...); code != c.code || out != c.out {
			t.Errorf("%q: %d %s %s", c.args, code, out, errs)
		}
	}
	if !strings.Contains(log.String(), `"msg":"the log's level was changed","to":"DEBUG"`) {
		t.Errorf("the log does not say so: %s", log.String())
	}
	s.stop()
	if err := <-s.done; err != nil {
		t.Error(err)
	}
	if strings.Contains(log.String(), `"msg":"stopped"`) {
		t.Error("what is below the level is logged")
	}
}
