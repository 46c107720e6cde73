package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"dunlin/apps"
)

func TestPrecedence(t *testing.T) {
	t.Parallel()
	const file = "server: {port: 2, host: 10.0.0.2, drain: 2s}\n" + oneApp
	flags := map[string]string{"server.port": "5", "server.host": "10.0.0.5"}
	for _, c := range []struct {
		name  string
		file  string
		flags map[string]string
		vars  []string
		port  int
		host  string
	}{
		{"default", oneApp, nil, nil, 6001, "127.0.0.1"},
		{"file over default", file, nil, nil, 2, "10.0.0.2"},
		{"short variable over file", file, nil, []string{"DUNLIN_PORT=3", "DUNLIN_HOST=10.0.0.3"}, 3, "10.0.0.3"},
		{"long variable over short", file, nil,
			[]string{"DUNLIN_PORT=3", "DUNLIN_HOST=10.0.0.3", "DUNLIN_SERVER_PORT=4", "DUNLIN_SERVER_HOST=10.0.0.4"}, 4, "10.0.0.4"},
		{"flag over all", file, flags, []string{"DUNLIN_PORT=3", "DUNLIN_SERVER_HOST=10.0.0.4"}, 5, "10.0.0.5"},
		{"flag over default", oneApp, flags, nil, 5, "10.0.0.5"},
		{"empty variables do not count", file, nil, []string{"DUNLIN_PORT=", "DUNLIN_SERVER_HOST="}, 2, "10.0.0.2"},
		{"nor do those of Kubernetes", file, nil, []string{"DUNLIN_PORT=tcp://10.1.1.1:6001"}, 2, "10.0.0.2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := mustLoad(t, c.file, c.flags, c.vars...)
			if cfg.Server.Port != c.port || !reflect.DeepEqual(cfg.Server.Host, []string{c.host}) {
				t.Errorf("got %v:%d, want %s:%d", cfg.Server.Host, cfg.Server.Port, c.host, c.port)
			}
		})
	}
}

// TestEnvironment sets a variable for each kind of setting.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	cfg := mustLoad(t, oneApp, nil, "DUNLIN_SERVER_HOST=127.0.0.1, ::1", "DUNLIN_SERVER_DRAIN=1m30s",
		"DUNLIN_SERVER_MAX_MESSAGE_BYTES= 1MiB ", "DUNLIN_OPS_ENABLED=False", "DUNLIN_LOG_LEVEL=debug", "DUNLIN_SERVER_PATH_PREFIX=/p")
	if s := cfg.Server; !reflect.DeepEqual(s.Host, []string{"127.0.0.1", "::1"}) || s.Drain != 90*time.Second ||
		s.MaxMessageBytes != 1<<20 || s.PathPrefix != "/p" {
		t.Errorf("server: %+v", s)
	}
	if cfg.Ops.Enabled || cfg.Log.Level != "debug" {
		t.Errorf("ops %+v, log %+v", cfg.Ops, cfg.Log)
	}
}

func TestEveryServerSettingHasAVariable(t *testing.T) {
	t.Parallel()
	for _, s := range serverTable.list {
		want := "DUNLIN_" + strings.ToUpper(strings.ReplaceAll(s.path, ".", "_"))
		_, err := loadText(oneApp, nil, want+"=\x01")
		if list := (Mistakes{}); !errors.As(err, &list) || len(list) != 1 || list[0].Source != want {
			t.Errorf("%s: %v", s.path, err)
		}
	}
}

func TestMistakesOutsideTheFile(t *testing.T) {
	t.Parallel()
	_, err := loadText("server: {port: x}\n"+oneApp, map[string]string{"server.port": "http", "server.host": ""},
		"DUNLIN_PORT=x", "DUNLIN_SERVER_PORT=70000", "DUNLIN_SERVER_DRAIN=10", "DUNLIN_OPS_ENABLED=1",
		"DUNLIN_ENGINE_TYPE=nats", "DUNLIN_OPS_ADMIN_TOKEN=do-not-show", "DUNLIN_HOST=a,,b",
		"DUNLIN_APP_ID=a", "DUNLIN_APP_KEY=b", "DUNLIN_APP_SECRET=env:NOT_SET")
	want := `c.yaml:1: server.port: must be a whole number from 0 to 65535, not "x"
DUNLIN_HOST: must be an address; 0.0.0.0 is every IPv4 address, "::" every address
DUNLIN_PORT: must be a whole number from 0 to 65535, not "x"
DUNLIN_SERVER_PORT: must be a whole number from 0 to 65535, not "70000"
DUNLIN_SERVER_DRAIN: must be a duration with its unit, such as 10s or 1m30s, not "10"
DUNLIN_OPS_ENABLED: must be true or false, not "1"
DUNLIN_ENGINE_TYPE: must be memory or redis, not "nats"
--host: must be an address; 0.0.0.0 is every IPv4 address, "::" every address
--port: must be a whole number from 0 to 65535, not "http"
DUNLIN_APP_SECRET: the environment variable NOT_SET is not set
DUNLIN_APP_ID: "a" is taken; first by c.yaml:2: apps[0].id`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestAppFromEnvironment(t *testing.T) {
	t.Parallel()
	env := surroundings(map[string]string{"/run/secret": "s\n", defaultFile: "apps: wrong\n"},
		"DUNLIN_APP_ID=1", "DUNLIN_APP_KEY=true", "DUNLIN_APP_SECRET=file:/run/secret",
		"DUNLIN_APP_CLIENT_EVENTS=true", "DUNLIN_APP_LIMITS_EVENT_BYTES=1MiB", "DUNLIN_PORT=7")
	cfg, err := loadConfig(sources{env: env}) // does not read ./apps.yaml
	if err != nil {
		t.Fatal(err)
	}
	a := cfg.Apps[0]
	if len(cfg.Apps) != 1 || a.ID != "1" || a.Key != "true" || revealed(a.Secrets) != "s" || !a.Enabled || !a.ClientEvents {
		t.Errorf("got %+v", a)
	}
	if want := apps.DefaultLimits().PresenceMembers; a.Limits.PresenceMembers != want || a.Limits.EventBytes != 1<<20 {
		t.Errorf("limits: %+v", a.Limits)
	}
	if cfg.Server.Port != 7 || cfg.File != "" {
		t.Errorf("got %+v", cfg)
	}
}

func TestAppFromEnvironmentBesideAFile(t *testing.T) {
	t.Parallel()
	vars := []string{"DUNLIN_APP_ID=1", "DUNLIN_APP_KEY=1", "DUNLIN_APP_SECRETS=new,old"}
	cfg := mustLoad(t, oneApp, nil, vars...)
	if len(cfg.Apps) != 2 || cfg.Apps[1].ID != "1" || revealed(cfg.Apps[1].Secrets) != "new|old" {
		t.Errorf("got %+v", cfg.Apps)
	}
	if cfg := mustLoad(t, "log: {level: warn}\n", nil, vars...); len(cfg.Apps) != 1 || cfg.Log.Level != "warn" {
		t.Errorf("got %+v", cfg)
	}
}

func TestHalfAnAppInTheEnvironment(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ vars, want string }{
		{"DUNLIN_APP_ID=1", "DUNLIN_APP_KEY: is not set, but DUNLIN_APP_ID is\nDUNLIN_APP_SECRET: is not set, but DUNLIN_APP_ID is"},
		{"DUNLIN_APP_KEY=1 DUNLIN_APP_SECRET=1", "DUNLIN_APP_ID: is not set, but DUNLIN_APP_KEY is"},
		{"DUNLIN_APP_CLIENT_EVENTS=maybe DUNLIN_APP_ID=a/b DUNLIN_APP_KEY=k DUNLIN_APP_SECRET=s DUNLIN_APP_SECRETS=t",
			"DUNLIN_APP_ID: must be 1 to 64 of the characters A-Z a-z 0-9 _ -, not \"a/b\"\n" +
				"DUNLIN_APP_CLIENT_EVENTS: must be true or false, not \"maybe\"\n" +
				"DUNLIN_APP_SECRETS: give either secret or secrets, not both"},
	} {
		_, err := loadConfig(sources{env: surroundings(nil, strings.Fields(c.vars)...)})
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: got\n%v\nwant\n%s", c.vars, err, c.want)
		}
	}
}

func TestWhichFile(t *testing.T) {
	t.Parallel()
	files := map[string]string{"flag.yaml": oneApp, "env.yaml": oneApp, defaultFile: oneApp}
	for _, c := range []struct{ flag, variable, want string }{
		{"", "", defaultFile}, {"", "env.yaml", "env.yaml"}, {"flag.yaml", "env.yaml", "flag.yaml"},
	} {
		cfg, err := loadConfig(sources{file: c.flag, env: surroundings(files, "DUNLIN_CONFIG="+c.variable)})
		if err != nil || cfg.File != c.want {
			t.Errorf("%+v: got %+v, %v", c, cfg, err)
		}
	}
	_, err := loadConfig(sources{env: surroundings(nil)})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "--config FILE") || !strings.Contains(err.Error(), "DUNLIN_APP_ID") {
		t.Errorf("without a file: %v", err)
	}
	_, err = loadConfig(sources{file: "other.yaml", env: surroundings(nil)})
	if !errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "DUNLIN_APP_ID") {
		t.Errorf("with a file that does not exist: %v", err)
	}
}

func TestWarnsOfUnknownVariables(t *testing.T) {
	t.Parallel()
	cfg := mustLoad(t, oneApp, nil, "DUNLIN_SERVER_PROT=1", "DUNLIN_XYZZY=1", "DUNLIN_OPPS_PORT=80", "DUNLIN_NAME_PORT=tcp://10.0.0.1:80", "OTHER=1", "DUNLIN_SERVICE_HOST=1",
		"DUNLIN_SERVICE_PORT_HTTP=1", "DUNLIN_PORT_6001_TCP_ADDR=1", "DUNLIN_OPS_PORT=tcp://10.0.0.1:80")
	want := []string{"DUNLIN_OPPS_PORT: no such setting; did you mean DUNLIN_OPS_PORT?",
		"DUNLIN_SERVER_PROT: no such setting; did you mean DUNLIN_SERVER_PORT?", "DUNLIN_XYZZY: no such setting"}
	if !reflect.DeepEqual(cfg.Warnings, want) {
		t.Errorf("got %q, want %q", cfg.Warnings, want)
	}
}

// TestFilesOfSecrets reads real files, beside the configuration's.
func TestFilesOfSecrets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := filepath.Join(dir, "c.yaml")
	text := "apps: [{id: a, key: k, secrets: ['file:s', 'file:" + dir + "/s', 'file:large', 'file:" + dir + "']}]\n"
	for name, data := range map[string]string{"c.yaml": text, "s": "hush\n", "large": strings.Repeat("x", maxFile+1)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err := loadConfig(sources{file: config, env: newEnvironment(nil)})
	if err == nil || !strings.Contains(err.Error(), "3. secret: its file can not be read: "+dir+"/large: larger than 16MiB") {
		t.Errorf("got %v", err)
	}
}
