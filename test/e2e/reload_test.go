package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"dunlin/internal/client"
	"dunlin/internal/testkit"
	"dunlin/protocol"
)

const reloadServer = "server: {port: 0, drain: 1s}\nops: {port: 0}\napps:\n"

func appLine(id, more string) string {
	return fmt.Sprintf("  - {id: %[1]s, key: %[1]s-key, %s}\n", id, more)
}

// write puts text in a file the way editors do: beside it first, then in its place.
func write(t *testing.T, file, text string) {
	t.Helper()
	beside := file + ".new"
	if err := os.WriteFile(beside, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(beside, file); err != nil {
		t.Fatal(err)
	}
}

func dial(t *testing.T, s *testkit.Server, key string) *client.Conn {
	t.Helper()
	c, err := client.Dial(testkit.Context(t), "http://"+s.Addr, key, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Drop)
	return c
}

func pinged(t *testing.T, c *client.Conn) {
	t.Helper()
	if err := c.Ping(testkit.Context(t)); err != nil {
		t.Error(err)
	}
	if _, err := c.Await(testkit.Context(t), client.Pong, ""); err != nil {
		t.Error(err)
	}
}

// ended waits for the end of a connection, by pusher:error and a close frame.
func ended(t *testing.T, c *client.Conn, code int) {
	t.Helper()
	var end *client.CloseError
	for err := error(nil); end == nil; {
		if _, err = c.Next(testkit.Context(t)); err != nil && !errors.As(err, &end) {
			t.Fatal(err)
		}
	}
	if end.Code != code || end.Cause == nil || end.Cause.Code != code {
		t.Errorf("closed with %v, cause %v; want %d", end, end.Cause, code)
	}
}

// applied waits until the configuration was read again n times.
func applied(t *testing.T, s *testkit.Server, outcome string, n float64) {
	t.Helper()
	testkit.Until(t, fmt.Sprint(outcome, " ", n), func() bool {
		return s.Metric(`dunlin_config_reloads_total{outcome="`+outcome+`"}`) == n
	})
}

// PROTOCOL 1.35: clients of a removed app hear 4001, of a disabled one 4003; the
// others stay, under their app's new settings.
func TestReloadOfApps(t *testing.T) {
	t.Parallel()
	const all = "secret: s"
	eachTransport(t, reloadServer+appLine("stay", all)+appLine("go", all)+appLine("off", all), func(t *testing.T, s *testkit.Server) {
		ctx := testkit.Context(t)
		stay, gone, off := dial(t, s, "stay-key"), dial(t, s, "go-key"), dial(t, s, "off-key")
		if err := stay.Subscribe(ctx, "a", client.Authorization{}); err != nil {
			t.Fatal(err)
		}
		text := reloadServer + appLine("stay", all+", client_events: true, subscription_count_events: true, limits: {channels_per_connection: 2}") +
			appLine("off", all+", enabled: false") + appLine("come", all)
		if err := os.WriteFile(s.File, []byte(text), 0o600); err != nil { // in place
			t.Fatal(err)
		}
		s.Signal(syscall.SIGHUP)
		ended(t, gone, 4001)
		ended(t, off, 4003)
		if got := s.Metric(`dunlin_drops_total{reason="app"}`); got != 2 {
			t.Errorf("%v drops", got)
		}
		dial(t, s, "come-key")
		pinged(t, stay) // its loop has heard of the reload by now
		sign := client.NewAPI("http://"+s.Addr, "stay", "stay-key", protocol.NewSecret("s")).Authorize
		for _, channel := range []string{"private-b", "private-c"} { // the second is one too many
			if err := stay.Subscribe(ctx, channel, sign(stay.SocketID(), channel, "")); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := stay.Await(ctx, client.SubscriptionSucceeded, "private-b"); err != nil {
			t.Error(err)
		}
		if e, err := stay.Await(ctx, client.SubscriptionError, "private-c"); err != nil || !strings.Contains(e.Text(), "LimitReached") {
			t.Error(e.Raw, err)
		}
		for app, status := range map[string]int{"go": 404, "off": 403, "come": 200} {
			r, err := client.NewAPI("http://"+s.Addr, app, app+"-key", protocol.NewSecret("s")).Do(ctx, "GET", "/channels", nil, nil)
			if err != nil || r.Status != status {
				t.Errorf("%s: %d %s, %v", app, r.Status, r.Body, err)
			}
		}
		if log := s.Log(); !strings.Contains(log, `"added":["come"],"removed":["go"],"changed":["stay","off"]`) {
			t.Errorf("log\n%s", log)
		}
	})
}

// A bad file changes nothing, and the log names every mistake with its line.
func TestReloadOfABadFile(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, testkit.Options{Config: reloadServer + appLine("a", "secret: hush-1")})
	c := dial(t, s, "a-key")
	write(t, s.File, "server: {prot: 1}\napps:\n  - {id: a, key: a-key, secret: hush-2}\n  - {id: b}\n")
	applied(t, s, "failed", 1)
	if s.Metric("dunlin_config_last_reload_successful") != 0 {
		t.Error("nobody is told that the file is bad")
	}
	for _, want := range []string{s.File + ":1: server.prot", "did you mean server.port?", s.File + ":4: apps[1]", "key is missing", "secret is missing", `"mistakes":3`} {
		if !strings.Contains(s.Log(), want) {
			t.Errorf("no %q in\n%s", want, s.Log())
		}
	}
	pinged(t, c)
	write(t, s.File, "server: {port: 0, drain: 2s, max_message_bytes: 1MiB}\nops: {port: 0}\napps:\n"+appLine("a", "secret: hush-3"))
	applied(t, s, "applied", 1)
	if s.Metric("dunlin_config_last_reload_successful") != 1 {
		t.Error("the mended file does not count")
	}
	for _, want := range []string{`"setting":"server.drain"`, `"setting":"server.max_message_bytes"`} {
		if !strings.Contains(s.Log(), want) {
			t.Errorf("no %q in\n%s", want, s.Log())
		}
	}
	for n, level := range []string{"error", "info"} { // the second reload is no error, and is not told of
		write(t, s.File, "server: {port: 0, drain: 1s}\nlog: {level: "+level+"}\nops: {port: 0}\napps:\n"+appLine("a", "secret: hush-3"))
		applied(t, s, "applied", float64(n+2))
	}
	const told = `"msg":"configuration reloaded"`
	testkit.Until(t, "two reloads are told", func() bool { return strings.Count(s.Log(), told) >= 2 })
	if n := strings.Count(s.Log(), told); n != 2 {
		t.Errorf("%d reloads are told", n)
	}
	if strings.Contains(s.Log(), "hush") {
		t.Errorf("a secret in\n%s", s.Log())
	}
}

// Kubernetes mounts a ConfigMap or Secret as links through "..data", and changes
// that one link: neither the file nor its folder's other entries are touched.
func TestReloadOfAConfigMap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	version := func(n int, secret string) string {
		name := fmt.Sprintf("..v%d", n)
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		for file, text := range map[string]string{"apps.yaml": reloadServer + appLine("a", "secret: file:secret"), "secret": secret} {
			if err := os.WriteFile(filepath.Join(dir, name, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return name
	}
	link := func(target, name string) {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link(version(1, "first"), "..data")
	link("..data/apps.yaml", "apps.yaml")
	link("..data/secret", "secret")
	s := testkit.Start(t, testkit.Options{File: filepath.Join(dir, "apps.yaml")})
	for n, secret := range []string{"second", "third"} { // only the secret's file differs
		link(version(n+2, secret), "..data_tmp")
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
		os.RemoveAll(filepath.Join(dir, fmt.Sprintf("..v%d", n+1)))
		applied(t, s, "applied", float64(n+1))
		api := client.NewAPI("http://"+s.Addr, "a", "a-key", protocol.NewSecret(secret))
		if r, err := api.Do(testkit.Context(t), "GET", "/channels", nil, nil); err != nil || r.Status != 200 {
			t.Errorf("%s: %d %s, %v", secret, r.Status, r.Body, err)
		}
	}
}

// A release that is put in place as a whole folder is another folder, with another file.
func TestReloadOfAFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "config")
	put := func(secret string) {
		if err := os.MkdirAll(dir+".new", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir+".new", "apps.yaml"), []byte(reloadServer+appLine("a", "secret: "+secret)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(dir+".new", dir); err != nil {
			t.Fatal(err)
		}
	}
	put("first")
	s := testkit.Start(t, testkit.Options{File: filepath.Join(dir, "apps.yaml")})
	for n := range 2 {
		if err := os.Rename(dir, fmt.Sprint(dir, n)); err != nil {
			t.Fatal(err)
		}
		if n == 1 { // seen to be gone
			applied(t, s, "failed", 1)
		}
		put(fmt.Sprint("secret-", n))
		applied(t, s, "applied", float64(n+1))
	}
}

// traffic signs with whatever secret is current, over and over: requests,
// subscriptions and sign-ins.
type traffic struct {
	s      *testkit.Server
	secret atomic.Pointer[protocol.Secret]
	rounds atomic.Int64
}

func (f *traffic) run(ctx context.Context, c *client.Conn) error {
	for ctx.Err() == nil {
		secret := f.secret.Load()
		api := client.NewAPI("http://"+f.s.Addr, "a", "a-key", secret)
		if _, err := api.Trigger(ctx, client.Publication{Name: "e", Data: "x", Channel: "c"}); err != nil {
			return hush(ctx, err)
		}
		user := `{"id":"u"}`
		auth := "a-key:" + secret.Sign([]byte(c.SocketID()+"::user::"+user))
		if err := c.Send(ctx, fmt.Sprintf(`{"event":"pusher:signin","data":{"auth":%q,"user_data":%q}}`, auth, user)); err != nil {
			return hush(ctx, err)
		}
		if _, err := c.Await(ctx, "pusher:signin_success", ""); err != nil {
			return hush(ctx, err)
		}
		if err := c.Subscribe(ctx, "private-p", api.Authorize(c.SocketID(), "private-p", "")); err != nil {
			return hush(ctx, err)
		}
		if _, err := c.Await(ctx, client.SubscriptionSucceeded, "private-p"); err != nil {
			return hush(ctx, err)
		}
		if err := c.Unsubscribe(ctx, "private-p"); err != nil {
			return hush(ctx, err)
		}
		f.rounds.Add(1)
	}
	return nil
}

// hush forgets what the end of a test breaks.
func hush(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Rotation: the new secret is added, then used, then the old one is taken away.
// No signature fails meanwhile; afterwards the old one is refused.
func TestSecretRotation(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, testkit.Options{Config: reloadServer + appLine("a", "secret: old")})
	f := &traffic{s: s}
	before, after := protocol.NewSecret("old"), protocol.NewSecret("new")
	f.secret.Store(before)
	ctx, stop := context.WithCancel(testkit.Context(t))
	var running sync.WaitGroup
	for range 4 {
		c := dial(t, s, "a-key")
		running.Go(func() {
			if err := f.run(ctx, c); err != nil {
				t.Error(err)
			}
		})
	}
	more := func() {
		n := f.rounds.Load()
		testkit.Until(t, "more traffic", func() bool { return t.Failed() || f.rounds.Load() > n+20 })
	}
	more()
	for n, step := range []string{"secrets: [new, old]", "secret: new"} {
		if n == 1 {
			f.secret.Store(after)
			more() // rounds that began with the old secret are over
		}
		write(t, s.File, reloadServer+appLine("a", step))
		applied(t, s, "applied", float64(n+1))
		more()
	}
	stop()
	running.Wait()
	api := client.NewAPI("http://"+s.Addr, "a", "a-key", before)
	if r, err := api.Do(testkit.Context(t), "GET", "/channels", nil, nil); err != nil || r.Status != 401 {
		t.Errorf("the old secret: %d %s, %v", r.Status, r.Body, err)
	}
}
