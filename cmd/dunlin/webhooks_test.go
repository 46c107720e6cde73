package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dunlin/apps"
	"dunlin/internal/client"
	"dunlin/ops"
	"dunlin/protocol"
	"dunlin/webhooks"
)

var opsAddress = regexp.MustCompile(`"serving operators","address":"([^"]+)"`)

// until polls with a deadline.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// An endpoint fails, the operator finds the dead letters with the command, mends
// the endpoint and has them sent again.
func TestDeadAndReplay(t *testing.T) {
	t.Parallel()
	var down atomic.Bool
	down.Store(true)
	var got atomic.Int64
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		got.Add(1)
	}))
	t.Cleanup(endpoint.Close)
	var log lineWriter
	log.seen = make(chan struct{})
	s, err := serveText(t, fmt.Sprintf("server: {port: 0, drain: 0}\nops: {port: 0, admin_token: hush-token}\nlog: {format: json}\n"+
		"webhooks: {give_up_after: 0, path: %s}\napps: [{id: a, key: k, secret: hush, webhooks: [{url: \"%s/x?hush\"}]}]\n",
		filepath.Join(t.TempDir(), "kept.db"), endpoint.URL), &log)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(s.stdout.String(), "http://127.0.0.1:")
	port, _, _ := strings.Cut(rest, "\n")
	c, err := client.Dial(t.Context(), "http://127.0.0.1:"+port, "k", client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Subscribe(t.Context(), "room", client.Authorization{}); err != nil {
		t.Fatal(err)
	}
	m := opsAddress.FindStringSubmatch(log.String())
	if m == nil {
		t.Fatalf("no ops address in %s", log.String())
	}
	command := func(args ...string) (int, string, string) {
		return runCLI(nil, []string{"TOKEN=hush-token"}, append(args, "--url", "http://"+m[1], "--token", "env:TOKEN")...)
	}
	var out string
	until(t, "a dead letter", func() bool {
		_, out, _ = command("webhooks", "dead", "--app", "a")
		return strings.HasSuffix(out, "\n1 dead letter\n")
	})
	if !strings.Contains(out, "channel_occupied  room") || !strings.Contains(out, endpoint.URL+"/x answered 418") {
		t.Errorf("dead:\n%s", out)
	}
	code, line, _ := command("webhooks", "dead", "--json")
	_, id, _ := strings.Cut(line, `"id":"`)
	id, _, _ = strings.Cut(id, `"`)
	if code != 0 || id == "" || !strings.Contains(out, id) {
		t.Errorf("dead --json: %d %s", code, line)
	}
	down.Store(false)
	if code, out, errs := command("webhooks", "replay", "none-such", id); code != 0 || out != "1 event to be sent again\n" {
		t.Errorf("replay: %d %s %s", code, out, errs)
	}
	until(t, "the event", func() bool { return got.Load() == 1 })
	if code, out, errs := command("webhooks", "replay", "--all"); code != 0 || out != "0 events to be sent again\n" {
		t.Errorf("replay --all: %d %s %s", code, out, errs)
	}
	if _, _, errs := runCLI(nil, nil, "webhooks", "dead", "--url", "http://"+m[1], "--token", "other"); errs != "dunlin: the server answered 401: the admin token is missing or wrong\n" {
		t.Errorf("with another token: %s", errs)
	}
	c.Drop()
	s.stop()
	if err := <-s.done; err != nil {
		t.Error(err)
	}
	if strings.Contains(log.String(), "hush") || strings.Contains(out, "hush") {
		t.Errorf("a secret is shown:\n%s\n%s", log.String(), out)
	}
}

// Where the commands look for the server, and what they need to know.
func TestAdminClient(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ ops, want string }{
		{"{admin_token: t}", "http://127.0.0.1:9601"},
		{"{admin_token: t, host: 0.0.0.0, port: 1}", "http://localhost:1"},
		{"{admin_token: t, host: '::'}", "http://localhost:9601"},
		{"{admin_token: t, host: ops.internal}", "http://ops.internal:9601"},
		{"{admin_token: t, host: 'unix:/run/d.sock'}", "http://dunlin"},
	} {
		a := &adminClient{http: &http.Client{}}
		a.fill(mustLoad(t, "ops: "+c.ops+"\n"+oneApp, nil).Ops)
		if a.base != c.want || a.token.Reveal() != "t" || (a.http.Transport != nil) != (c.want == "http://dunlin") {
			t.Errorf("%s: %s", c.ops, a.base)
		}
	}
	files := map[string]string{defaultFile: oneApp}
	for _, c := range []struct{ args, stderr string }{
		{"webhooks dead", "dunlin: the admin interface is off; ops.admin_token turns it on\n"},
		{"webhooks dead --url http://127.0.0.1:1 --token env:NONE", "dunlin: --token: the environment variable NONE is not set\n"},
		{"webhooks dead --url 10.0.0.5:9601 --token t", "dunlin: --url must be an http or https URL, not \"10.0.0.5:9601\"\n"},
		{"webhooks replay", "dunlin: name the dead letters, or give --all\nTry dunlin --help\n"},
		{"webhooks replay --all x", "dunlin: name the dead letters, or give --all\nTry dunlin --help\n"},
		{"webhooks listen --status 99", "dunlin: --status must be a number from 200 to 599\n"},
	} {
		if code, _, stderr := runCLI(files, nil, strings.Fields(c.args)...); code == 0 || stderr != c.stderr {
			t.Errorf("%s: %d %s", c.args, code, stderr)
		}
	}
}

func newListener(out io.Writer) *listener {
	app := &apps.App{ID: "a", Key: "k", Secrets: []*protocol.Secret{protocol.NewSecret("hush"), protocol.NewSecret("hush-old")}}
	return &listener{apps: apps.NewRegistry(app), status: 202, out: out, now: func() time.Time { return time.Unix(0, 0).UTC() }}
}

func TestListener(t *testing.T) {
	t.Parallel()
	body := string(webhooks.Body([]webhooks.Event{{Name: protocol.HookOccupied, Channel: "room", At: time.Unix(1, 0)}, {Name: protocol.HookVacated, Channel: "room", At: time.Unix(1, 0)}}))
	sign := func(secret string) string { return protocol.NewSecret(secret).Sign([]byte(body)) }
	for name, c := range map[string]struct {
		key, signature, kind, body string
		status                     int
		want                       string
	}{
		"right": {"k", sign("hush"), "application/json", body, 202,
			"00:00:00.000 POST /h app a, signature ok attempt 2 delivery d-1\n  {\"name\":\"channel_occupied\",\"channel\":\"room\"}\n  {\"name\":\"channel_vacated\",\"channel\":\"room\"}\n"},
		"another of its secrets": {"k", sign("hush-old"), "application/json", body, 202, "app a, signature ok"},
		"unknown key":            {"x\x1b", sign("hush"), "application/json", body, 401, `UNKNOWN KEY "x\x1b"`},
		"wrong signature":        {"k", sign("other"), "application/json", body, 401, "WRONG SIGNATURE for app a"},
		"no signature":           {"k", "", "application/json", body, 401, "WRONG SIGNATURE for app a"},
		"content type":           {"k", sign("hush"), "application/json; charset=utf-8", body, 401, `WRONG CONTENT TYPE "application/json; charset=utf-8"`},
		"no webhook":             {"k", "", "application/json", "\x1b[2J", 401, "the body is no webhook: \uFFFD[2J"},
	} {
		var out bytes.Buffer
		r := httptest.NewRequest(http.MethodPost, "/h", strings.NewReader(c.body))
		for h, v := range map[string]string{"X-Pusher-Key": c.key, "X-Pusher-Signature": c.signature, "Content-Type": c.kind, "X-Dunlin-Attempt": "2", "X-Dunlin-Delivery-Id": "d-1"} {
			r.Header.Set(h, v)
		}
		w := httptest.NewRecorder()
		newListener(&out).ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(out.String(), c.want) || strings.Contains(out.String(), "hush") {
			t.Errorf("%s: %d\n%s", name, w.Code, out.String())
		}
	}
}

// What a stranger sends moves no cursor, wherever it stands; and who prints in vain
// tells the sender that nobody has seen it.
func TestListenerAndTheTerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	r := httptest.NewRequest(http.MethodPost, "/%1b%5b2J%0aforged", strings.NewReader("{}"))
	r.Header.Set("X-Dunlin-Delivery-Id", "\x1b[2J")
	newListener(&out).ServeHTTP(httptest.NewRecorder(), r)
	if strings.Contains(out.String(), "\x1b") || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("printed %q", out.String())
	}
	body := "{}"
	r = httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("X-Pusher-Key", "k")
	r.Header.Set("X-Pusher-Signature", protocol.NewSecret("hush").Sign([]byte(body)))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	if newListener(brokenWriter{}).ServeHTTP(w, r); w.Code != http.StatusInternalServerError {
		t.Errorf("with a broken terminal: %d", w.Code)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("no space left") }

// Nor does what an endpoint answered, which stands in a dead letter's reason.
func TestDeadLettersAndTheTerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	d := webhooks.DeadLetter{Event: webhooks.Event{ID: "id-1", App: "a", Name: protocol.HookOccupied, Channel: "room"}, Reason: "says \x1b[2J\nforged\tline\u009b"}
	if err := (&cli{stdout: &out}).printDead(ops.DeadLetters{Dead: []webhooks.DeadLetter{d}}, false); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\u009b") || strings.Count(out.String(), "\n") != 3 {
		t.Errorf("printed %q", out.String())
	}
}

func TestListenEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	out := &lineWriter{seen: make(chan struct{})}
	done := make(chan error, 1)
	go func() { done <- (&cli{stdout: out}).listen(ctx, "127.0.0.1:0", newListener(out)) }()
	until(t, "its address", func() bool { return strings.Contains(out.String(), "- url: http://127.0.0.1:") })
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := (&cli{stdout: out}).listen(t.Context(), "127.0.0.1:99999", newListener(out)); err == nil {
		t.Error("it listens on no port")
	}
}

// What memory leaves at a stop the next run has, and the file is gone then. No secret
// is in it (PITFALLS 24).
func TestLeftInMemory(t *testing.T) {
	t.Parallel()
	cfg := WebhooksConfig{Queue: "memory", Path: filepath.Join(t.TempDir(), "new", "kept.db"), GiveUpAfter: time.Hour, Timeout: time.Second, AllowPrivateTargets: true}
	hook := apps.NewWebhook("http://me:hush@127.0.0.1:1/?token=hush", 1) // nobody listens there
	hook.Headers = []apps.Header{{Name: "X-Token", Value: protocol.NewSecret("hush")}}
	registry := apps.NewRegistry(&apps.App{ID: "a", Key: "k", Secrets: []*protocol.Secret{protocol.NewSecret("hush")}, Webhooks: []apps.Webhook{hook}})
	log := slog.New(slog.DiscardHandler)
	for round := range 3 {
		h, err := newHooks(cfg, nil, log)
		if err != nil {
			t.Fatal(err)
		}
		b := ops.Backlog(h.queue, time.Now())["a"]
		if b.Queued != round {
			t.Errorf("round %d: %d are back", round, b.Queued)
		}
		h.start(registry, nil)
		h.outbox.Post(webhooks.Event{App: "a", Name: protocol.HookOccupied, Channel: fmt.Sprint(round), At: time.Now()})
		if err := h.stop(); err != nil {
			t.Fatal(err)
		}
		if kept, err := os.ReadFile(cfg.Path); err != nil || bytes.Contains(kept, []byte("hush")) {
			t.Errorf("a secret is in the file, or there is none: %v", err)
		}
	}
}

// Who could not keep what is left hears of it at the start, if there can be any.
func TestNowhereToKeep(t *testing.T) {
	t.Parallel()
	const nowhere = "/proc/none/kept.db" // where nobody, not even root, makes a directory
	hook := apps.NewWebhook("http://127.0.0.1:1/", 1)
	for name, c := range map[string]struct {
		path  string
		hooks []apps.Webhook
		warns bool
	}{
		"no directory": {nowhere, []apps.Webhook{hook}, true},
		"no webhooks":  {nowhere, nil, false},
		"in order":     {filepath.Join(t.TempDir(), "new", "kept.db"), []apps.Webhook{hook}, false},
	} {
		var log bytes.Buffer
		h, err := newHooks(WebhooksConfig{Queue: "memory", Path: c.path}, nil, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		h.start(apps.NewRegistry(&apps.App{ID: "a", Key: "k", Webhooks: c.hooks}), nil)
		if err := h.stop(); err != nil {
			t.Error(err)
		}
		if strings.Contains(log.String(), "will be lost") != c.warns {
			t.Errorf("%s: %q", name, log.String())
		}
	}
}
