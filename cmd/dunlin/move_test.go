package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestMigrate translates every file in testdata/move. What is printed is read by
// check, and means what the other server's file means to serve.
func TestMigrate(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/move/*.*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		if strings.HasSuffix(name, ".txt") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			from, _, _ := strings.Cut(strings.TrimSuffix(name, filepath.Ext(name)), "-")
			given := map[string]string{name: string(data)}
			code, stdout, stderr := runCLI(given, nil, "migrate", "--from", from, "--config", name)
			golden(t, file+".txt", stdout+"---\n"+stderr)
			if wrong := strings.Contains(name, "mistakes"); (code != 0) != wrong {
				t.Fatalf("exit code %d", code)
			} else if wrong {
				return
			}
			given["apps.yaml"] = stdout
			if code, stdout, stderr := runCLI(given, nil, "check"); code != 0 || stderr != "" {
				t.Errorf("check: %d %s%s", code, stdout, stderr)
			}
			meant, err := loadConfig(sources{file: name, env: surroundings(given)})
			if err != nil {
				t.Fatal(err)
			}
			printed, err := loadConfig(sources{env: surroundings(given)})
			if err != nil {
				t.Fatal(err)
			}
			if different := changedSettings(meant, printed); len(different) > 0 {
				t.Errorf("settings that differ: %v", different)
			}
			if added, removed, changed := compareApps(meant.Apps, printed.Apps); len(added)+len(removed)+len(changed) > 0 {
				t.Errorf("apps that differ: %v %v %v", added, removed, changed)
			}
		})
	}
}

// serve reads the environment of another server, alone.
func TestOtherEnvironments(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		vars []string
		host string
		port int
		app  string
	}{
		{"Soketi's app", []string{"SOKETI_DEFAULT_APP_ID=1", "SOKETI_DEFAULT_APP_KEY=k", "SOKETI_DEFAULT_APP_SECRET=s"}, "0.0.0.0", 6001, "1 k s"},
		{"Soketi's default app", []string{"SOKETI_PORT=6002"}, "0.0.0.0", 6002, "app-id app-key app-secret"},
		{"ours goes before theirs", []string{"SOKETI_PORT=6002", "DUNLIN_PORT=6003"}, "0.0.0.0", 6003, "app-id app-key app-secret"},
		{"Reverb's app", []string{"REVERB_APP_ID=1", "REVERB_APP_KEY=k", "REVERB_APP_SECRET=s", "REVERB_HOST=example.com"}, "0.0.0.0", 8080, "1 k s"},
		{"a secret is never a reference", []string{"SOKETI_DEFAULT_APP_SECRET=env:HOME"}, "0.0.0.0", 6001, "app-id app-key env:HOME"},
		{"what Kubernetes sets is no setting", []string{"SOKETI_PORT=tcp://10.0.0.1:6001", "SOKETI_SERVICE_HOST=10.0.0.1",
			"DUNLIN_APP_ID=1", "DUNLIN_APP_KEY=k", "DUNLIN_APP_SECRET=s"}, "127.0.0.1", 6001, "1 k s"},
	} {
		cfg, err := loadConfig(sources{env: surroundings(nil, c.vars...)})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		a := cfg.Apps[0]
		if got := a.ID + " " + a.Key + " " + a.Secrets[0].Reveal(); !reflect.DeepEqual(cfg.Server.Host, []string{c.host}) || cfg.Server.Port != c.port || got != c.app {
			t.Errorf("%s: %v:%d %s", c.name, cfg.Server.Host, cfg.Server.Port, got)
		}
	}
}

// Variables go before the file of Soketi, as there.
func TestSoketiVariablesGoFirst(t *testing.T) {
	t.Parallel()
	files := map[string]string{"s.json": `{"port": 6002, "appManager.array.apps": [{"id": "a", "key": "k", "secret": "s"}, {"id": "b", "key": "l", "secret": "s"}]}`}
	cfg, err := loadConfig(sources{file: "s.json", env: surroundings(files, "SOKETI_PORT=6003", "SOKETI_DEFAULT_APP_KEY=other")})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Server.Port != 6003 || len(cfg.Apps) != 2 || cfg.Apps[0].ID != "a" || cfg.Apps[0].Key != "other" || cfg.Apps[1].Key != "l" {
		t.Errorf("port %d, apps %+v", cfg.Server.Port, cfg.Apps)
	}
}

// Whose configuration is meant is said, never guessed in silence.
func TestOtherServersAreTold(t *testing.T) {
	t.Parallel()
	files := map[string]string{"apps.yaml": oneApp, "s.json": `{"port": 6002}`, "ours.json": `{"server": {"port": 6002}, "apps": [{"id": "a", "key": "k", "secret": "s"}]}`}
	for _, c := range []struct {
		args   string
		vars   []string
		code   int
		stdout string
		stderr string
	}{
		{"check", []string{"SOKETI_PORT=1"}, 0, "ok: the environment: 1 app\n",
			"warning: apps.yaml: not read, because the environment has another server's configuration; name it with --config\n"},
		{"check -c apps.yaml", []string{"SOKETI_PORT=1", "SOKETI_DEBUG=1", "REVERB_APP_ID=1", "REVERB_HOST=h"}, 0, "ok: apps.yaml: 1 app\n",
			"warning: SOKETI_DEBUG, SOKETI_PORT: not read, because the configuration is apps.yaml\n" +
				"warning: REVERB_APP_ID: not read, because the configuration is apps.yaml\n"},
		{"check", []string{"SOKETI_PORT=1", "REVERB_APP_ID=1"}, 1, "",
			"dunlin: SOKETI_PORT and REVERB_APP_ID are both set: unset those of the server whose place this one does not take\n"},
		{"check -c s.json", nil, 0, "ok: s.json: 1 app\n", ""},
		{"check -c ours.json", nil, 0, "ok: ours.json: 1 app\n", ""},
		{"check", []string{"SOKETI_PROT=6001"}, 0, "ok: the environment: 1 app\n", "warning: SOKETI_PROT: no such setting of Soketi; did you mean SOKETI_PORT?\n" +
			"warning: apps.yaml: not read, because the environment has another server's configuration; name it with --config\n"},
		{"migrate --from soketi", nil, 1, "", "dunlin: no SOKETI_ variable is set; name a file with --config\n"},
		{"migrate --from reverb --config s.json", nil, 1, "", "dunlin: s.json: no REVERB_ variable is set in it; Reverb's settings stand in a file such as .env\n"},
		{"migrate --from pusher", nil, 1, "", "dunlin: --from must be soketi or reverb, not \"pusher\"\n"},
		{"migrate", nil, 2, "", "dunlin: required flag(s) \"from\" not set\nTry dunlin --help\n"},
	} {
		code, stdout, stderr := runCLI(files, c.vars, strings.Fields(c.args)...)
		if code != c.code || stdout != c.stdout || stderr != c.stderr {
			t.Errorf("%s %v: %d\n%s%swant %d\n%s%s", c.args, c.vars, code, stdout, stderr, c.code, c.stdout, c.stderr)
		}
	}
}

// A file of ours may have Soketi's names for the settings of an app.
func TestSoketiNamesInOurFile(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"{id: a, key: k, secret: s, maxConnections: 5, enableClientMessages: true, maxPresenceMemberSizeInKb: 2, maxEventPayloadInKb: 0.5, maxReadRequestsPerSecond: -1}",
		"{id: a, key: k, secret: s, max_connections: '5', enable_client_messages: 1, max_presence_member_size_in_kb: 2, max_event_payload_in_kb: 0.5, max_read_requests_per_second: null}",
	} {
		a := mustLoad(t, "apps: ["+text+"]\n", nil).Apps[0]
		if l := a.Limits; l.Connections != 5 || !a.ClientEvents || l.PresenceMemberBytes != 2048 || l.EventBytes != 512 || l.ReadRequestsPerSec != 0 || l.PresenceMembers != 100 {
			t.Errorf("%s: %+v", text, a)
		}
	}
	_, err := loadText("apps:\n  - id: a\n    key: k\n    secret: s\n    maxConnections: x\n    enableClientMessages: true\n    client_events: false\n", nil)
	want := "c.yaml:5: apps[0].maxConnections: must be a whole number from 0 to 2147483647, not \"x\"\n" +
		"c.yaml:7: apps[0].client_events: is the same setting as c.yaml:6: apps[0].enableClientMessages"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}
