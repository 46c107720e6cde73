//go:build deploy

// Package deploy tries what stands in deploy/ on the programs that it is for: proxies
// in front of the real binary, systemd's own checker, the kernel's list of settings.
// Its tag says that those are there.
package deploy

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"dunlin/internal/client"
	"dunlin/internal/testkit"
	"dunlin/protocol"
)

const folder = "../../deploy/"

func TestMain(m *testing.M) {
	code := m.Run()
	testkit.RemoveBinary()
	os.Exit(code)
}

// changed returns a file of deploy/ with each of these texts, which it must have,
// replaced.
func changed(t *testing.T, name string, pairs ...string) string {
	t.Helper()
	b, err := os.ReadFile(folder + name)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("%s has no %q", name, pairs[i])
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// proxy is a proxy with its example, listening on a unix socket.
type proxy struct {
	name  string
	start func(t *testing.T, dir, socket, backend string) *exec.Cmd
}

var proxies = []proxy{
	{"nginx", func(t *testing.T, dir, socket, backend string) *exec.Cmd {
		cert, key := testkit.Certificate(t)
		config := changed(t, "proxies/nginx.conf", "listen 443 ssl;", "listen unix:"+socket+" ssl;", "127.0.0.1:6001", backend,
			"/etc/ssl/certs/ws.example.com.pem", cert, "/etc/ssl/private/ws.example.com.key", key,
			"worker_processes auto;", "worker_processes 1; daemon off; user root; pid "+dir+"/nginx.pid;",
			"worker_rlimit_nofile 1048576;", "", "worker_connections 100000;", "worker_connections 1000;",
			"http {\n", "http {\n\taccess_log off;\n")
		return exec.Command("nginx", "-p", dir, "-e", "stderr", "-c", write(t, dir, "nginx.conf", config))
	}},
	{"caddy", func(t *testing.T, dir, socket, backend string) *exec.Cmd {
		config := changed(t, "proxies/Caddyfile", "127.0.0.1:6001", backend, "\nws.example.com {", // names and ports of this machine are not Caddy's to get certificates for
			"\n{\n\tadmin off\n\tlocal_certs\n\tskip_install_trust\n\tauto_https disable_redirects\n}\nhttps://ws.example.com {\n\tbind unix/"+socket)
		cmd := exec.Command("caddy", "run", "--adapter", "caddyfile", "--config", write(t, dir, "Caddyfile", config))
		cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
		return cmd
	}},
}

// Through each proxy a client connects with TLS, a backend publishes, the client
// hears it, and what lies between two pings ends no connection.
func TestProxies(t *testing.T) {
	t.Parallel()
	for _, p := range proxies {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			s := testkit.Start(t, testkit.Options{})
			dir, err := os.MkdirTemp("", "dunlin-deploy-")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			socket := filepath.Join(dir, "p.sock")
			run(t, p.start(t, dir, socket, s.Addr))
			secure := &tls.Config{ServerName: "ws.example.com", InsecureSkipVerify: true}
			testkit.Until(t, p.name+" has a certificate", func() bool {
				nc, err := tls.Dial("unix", socket, secure)
				if err == nil {
					nc.Close()
				}
				return err == nil
			})
			way := &http.Client{Transport: &http.Transport{
				DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					return (&net.Dialer{}).DialContext(ctx, "unix", socket)
				},
				TLSClientConfig: secure,
			}}
			talk(t, "https://ws.example.com", way)
		})
	}
}

// run runs a program until the end of the test.
func run(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		over := time.AfterFunc(testkit.Patience, func() { cmd.Process.Kill() })
		cmd.Wait()
		over.Stop()
		if t.Failed() {
			t.Logf("%s:\n%s", cmd.Path, out.String())
		}
	})
}

func talk(t *testing.T, url string, way *http.Client) {
	t.Helper()
	ctx := testkit.Context(t)
	c, err := client.Dial(ctx, url, testkit.Key, client.Options{HTTPClient: way})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Drop()
	if err := c.Subscribe(ctx, "room", client.Authorization{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Await(ctx, client.SubscriptionSucceeded, "room"); err != nil {
		t.Fatal(err)
	}
	api := client.NewAPI(url, testkit.AppID, testkit.Key, protocol.NewSecret(testkit.Secret))
	api.HTTPClient = way
	for _, data := range []string{"one", strings.Repeat("long", 2000)} {
		if _, err := api.Trigger(ctx, client.Publication{Name: "e", Channel: "room", Data: data}); err != nil {
			t.Fatal(err)
		}
		if e, err := c.Await(ctx, "e", "room"); err != nil || e.Text() != data {
			t.Fatalf("%v %.100s", err, e.Text())
		}
	}
}

// systemd finds no fault with the units, with the binary where they look for it.
func TestUnits(t *testing.T) {
	t.Parallel()
	bin, err := testkit.Binary()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, "dunlin.socket", changed(t, "systemd/dunlin.socket"))
	unit := write(t, dir, "dunlin.service", changed(t, "systemd/dunlin.service", "/usr/bin/dunlin", bin))
	out, err := exec.Command("systemd-analyze", "verify", "--man=no", unit).CombinedOutput()
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		if strings.Contains(line, dir) || strings.Contains(line, "dunlin.") {
			t.Error(line)
		}
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The kernel has every setting of the sysctl file.
func TestSysctl(t *testing.T) {
	t.Parallel()
	settings := 0
	for line := range strings.Lines(changed(t, "systemd/90-dunlin.conf")) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " = ")
		if strings.HasPrefix(line, "#") || !ok {
			continue
		}
		settings++
		now, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
		if err != nil {
			t.Error(err)
		} else if len(strings.Fields(string(now))) != len(strings.Fields(value)) {
			t.Errorf("%s is %q, not like %q", name, now, value)
		}
	}
	if settings < 8 {
		t.Errorf("%d settings", settings)
	}
}

// The configuration in the manifests is one that dunlin takes.
func TestConfigMap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, secret := range []string{"app-secret", "admin-token"} {
		write(t, dir, secret, "hush")
	}
	write(t, dir, "redis-url", "redis://:hush@redis:6379/0")
	var m struct{ Data map[string]string }
	if err := yaml.Unmarshal([]byte(changed(t, "kubernetes/configmap.yaml", "/etc/dunlin/secrets", dir)), &m); err != nil {
		t.Fatal(err)
	}
	bin, err := testkit.Binary()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(bin, "check", "--config", write(t, dir, "apps.yaml", m.Data["apps.yaml"])).CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "ok: ") {
		t.Errorf("%v\n%s", err, out)
	}
}

// What docs/deploying.md has installed is what the unit's user may read and run.
func TestUnitReadsItsConfiguration(t *testing.T) {
	t.Parallel()
	unit, err := os.ReadFile("../../deploy/systemd/dunlin.service")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/deploying.md")
	if err != nil {
		t.Fatal(err)
	}
	group := regexp.MustCompile(`(?m)^Group=(\S+)$`).FindSubmatch(unit)
	if group == nil {
		t.Fatal("the unit has no group, so that nobody can give it a file")
	}
	for _, want := range []string{" " + string(group[1]) + "\n", "install -D -m 640 -g " + string(group[1]) + " apps.yaml /etc/dunlin/apps.yaml\n"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("no %q", want)
		}
	}
}
