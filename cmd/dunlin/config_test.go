package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"dunlin/apps"
	"dunlin/protocol"
	"dunlin/transport"
)

var update = flag.Bool("update", false, "rewrite golden files and generated documentation")

// surroundings is an environment with these variables ("NAME=value") and files.
func surroundings(files map[string]string, vars ...string) *environment {
	e := newEnvironment(vars)
	e.readFile = func(name string) ([]byte, error) {
		if text, ok := files[name]; ok {
			return []byte(text), nil
		}
		return nil, fmt.Errorf("open %s: %w", name, fs.ErrNotExist)
	}
	return e
}

const oneApp = "apps: [{id: a, key: k, secret: s}]\n"

// loadText loads a file with this text.
func loadText(text string, flags map[string]string, vars ...string) (*Config, error) {
	env := surroundings(map[string]string{"c.yaml": text, "empty": "\n", "token": "from file\r\n"}, vars...)
	return loadConfig(sources{file: "c.yaml", flags: flags, env: env})
}

func mustLoad(t *testing.T, text string, flags map[string]string, vars ...string) *Config {
	t.Helper()
	cfg, err := loadText(text, flags, vars...)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	got := mustLoad(t, oneApp, nil)
	if s := got.Engine.Redis.URL.Reveal(); s != "redis://127.0.0.1:6379/0" {
		t.Errorf("engine.redis.url: %q", s)
	}
	got.Engine.Redis.URL, got.Apps[0].Secrets, got.settings = nil, nil, nil // not comparable
	want := &Config{
		File: "c.yaml",
		Server: ServerConfig{
			Host: []string{"127.0.0.1"}, Port: 6001, Transport: "auto", HandshakeTimeout: 10 * time.Second, ActivityTimeout: 2 * time.Minute, AuthorizeWithin: 30 * time.Second,
			MaxMessageBytes: 100 << 10, MaxRequestBytes: 1 << 20, MaxPendingBytes: 1 << 20, Drain: 10 * time.Second, AcceptMemory: 85, Watch: true,
			TLS:         TLSConfig{Port: samePort, ACME: ACMEConfig{Folder: "dunlin-acme", Directory: "https://acme-v02.api.letsencrypt.org/directory"}},
			Compression: CompressionConfig{MinBytes: 256},
		},
		Ops:    OpsConfig{Enabled: true, Host: "127.0.0.1", Port: 9601, MetricsApps: 100},
		Engine: EngineConfig{Type: "memory", Redis: RedisConfig{Prefix: "dunlin", Lease: 8 * time.Second, Detach: 30 * time.Second}},
		Webhooks: WebhooksConfig{
			Queue: "memory", Path: "dunlin-webhooks.db", Timeout: 4 * time.Second, GiveUpAfter: 5 * time.Minute, Flush: 5 * time.Second,
			AllowPrivateTargets: true,
		},
		Cache:   CacheConfig{TTL: 30 * time.Minute, MaxBytes: 64 << 20},
		Log:     LogConfig{Level: "info", Format: "auto"},
		Tracing: TracingConfig{OneIn: 100},
		Apps:    []*apps.App{{ID: "a", Key: "k", Enabled: true, SubscriptionErrors: true, Limits: apps.DefaultLimits()}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v %+v\nwant %+v %+v", got, got.Apps[0], want, want.Apps[0])
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	cfg := mustLoad(t, `
server:
  host: [127.0.0.1, '[::1]', localhost, "unix:/run/dunlin.sock"]
  port: 0
  path_prefix: /ws
  drain: 0
  max_message_bytes: 1 MiB
ops: {enabled: false}
engine:
log: {level: debug, format: json}
apps:
  - id: 123456
    key: 0123abc
    secrets: [one, env:TWO, "file:token"]
    enabled: false
    client_events: TRUE
    subscription_errors: false
    limits: &small {event_bytes: 20KiB, presence_members: 0, channels_per_connection: 7}
  - {id: b, key: b, secret: 42, limits: *small}
`, nil, "TWO=from environment")
	if !reflect.DeepEqual(cfg.Server.Host, []string{"127.0.0.1", "::1", "localhost", "unix:/run/dunlin.sock"}) ||
		cfg.Server.Port != 0 || cfg.Server.PathPrefix != "/ws" || cfg.Server.Drain != 0 || cfg.Server.MaxMessageBytes != 1<<20 {
		t.Errorf("server: %+v", cfg.Server)
	}
	if cfg.Ops.Enabled || cfg.Log != (LogConfig{"debug", "json"}) {
		t.Errorf("ops %+v, log %+v", cfg.Ops, cfg.Log)
	}
	a, b := cfg.Apps[0], cfg.Apps[1]
	if a.ID != "123456" || a.Key != "0123abc" || a.Enabled || !a.ClientEvents || a.SubscriptionErrors {
		t.Errorf("first app: %+v", a)
	}
	if got := revealed(a.Secrets); got != "one|from environment|from file" {
		t.Errorf("secrets: %s", got)
	}
	if got := revealed(b.Secrets); got != "42" {
		t.Errorf("secret: %s", got)
	}
	want := apps.DefaultLimits()
	want.EventBytes, want.PresenceMembers, want.ChannelsPerConnection = 20<<10, 0, 7
	if a.Limits != want || b.Limits != want {
		t.Errorf("limits: %+v, %+v", a.Limits, b.Limits)
	}
}

func revealed(list []*protocol.Secret) string {
	var texts []string
	for _, s := range list {
		texts = append(texts, s.Reveal())
	}
	return strings.Join(texts, "|")
}

// TestMistakes loads bad files; their mistakes stand in testdata, to the letter.
func TestMistakes(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/mistakes/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no bad files", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".yaml"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			_, err = loadText(string(text), nil, "EMPTY=")
			if !errors.As(err, &Mistakes{}) {
				t.Fatalf("got %v, want mistakes", err)
			}
			golden(t, strings.TrimSuffix(name, ".yaml")+".txt", err.Error()+"\n")
			if strings.Contains(err.Error(), "do-not-show") {
				t.Error("a secret is shown")
			}
		})
	}
}

// golden compares with a file, or writes it with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant, as in %s,\n%s", got, name, want)
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		hosts string
		want  []transport.Address
	}{
		{"127.0.0.1", []transport.Address{{Network: "tcp4", Address: "127.0.0.1:80"}}},
		{"0.0.0.0", []transport.Address{{Network: "tcp4", Address: "0.0.0.0:80"}}},
		{"::", []transport.Address{{Network: "tcp", Address: "[::]:80"}}},
		{"::,0.0.0.0", []transport.Address{{Network: "tcp6", Address: "[::]:80"}, {Network: "tcp4", Address: "0.0.0.0:80"}}},
		{"fe80::1%eth0", []transport.Address{{Network: "tcp", Address: "[fe80::1%eth0]:80"}}},
		{"localhost, unix:/a/b", []transport.Address{{Network: "tcp", Address: "localhost:80"}, {Network: "unix", Address: "/a/b"}}},
	} {
		cfg := mustLoad(t, oneApp, map[string]string{"server.host": c.hosts, "server.port": "80"})
		if got := cfg.Server.Addresses(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.hosts, got, c.want)
		}
	}
	if got := mustLoad(t, oneApp, nil).Ops.Address(); got != (transport.Address{Network: "tcp4", Address: "127.0.0.1:9601"}) {
		t.Errorf("ops: %v", got)
	}
}

func TestSuggestions(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{
		{"", "server", "server"}, {"", "app", "apps"}, {"", "sever", "server"}, {"", "engin", "engine"},
		{"server", "pathPrefix", "server.path_prefix"}, {"server", "max_mesage_bytes", "server.max_message_bytes"},
		{"server", "prot", "server.port"}, {"", "drain", "server.drain"}, {"log", "max_bytes", "cache.max_bytes"}, {"server", "zzz", ""},
	} {
		if got := serverTable.suggest(c[0], c[1]); got != c[2] {
			t.Errorf("%s in %q: got %q, want %q", c[1], c[0], got, c[2])
		}
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"", "abc", 3}, {"port", "prot", 1}, {"ab", "ba", 1}, {"abcd", "badc", 2}, {"a", "aaaaaaaaaaaaaaaaaaaaaaaa", 16}, {"kitten", "sitting", 3}, {"same", "same", 0}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%q, %q: got %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
