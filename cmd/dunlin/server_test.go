package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dunlin/internal/client"
	"dunlin/internal/testkit"
)

// talking is a server and how to run a command against it.
type talking struct {
	*serving
	url   string
	flags []string
}

func startTalking(t *testing.T) *talking {
	t.Helper()
	s := startText(t, "server: {port: 0, drain: 0}\nops: {enabled: false}\n"+
		"apps: [{id: a, key: k, secret: s}, {id: b, key: kb, secret: sb, enabled: false}]\n")
	_, rest, _ := strings.Cut(s.stdout.String(), "http://127.0.0.1:")
	port, _, _ := strings.Cut(rest, "\n")
	url := "http://127.0.0.1:" + port
	return &talking{s, url, []string{"--url", url, "--app-id", "a", "--key", "k", "--secret", "env:SECRET"}}
}

// startText starts a server that is stopped at the end of the test.
func startText(t *testing.T, text string) *serving {
	t.Helper()
	s, err := serveText(t, text, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.stop()
		if err := <-s.done; err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *talking) run(args ...string) (code int, stdout, stderr string) {
	return runCLI(nil, []string{"SECRET=s"}, append(args, s.flags...)...)
}

// A newcomer's path: one terminal tails, another triggers, lists and terminates.
func TestTalkToServer(t *testing.T) {
	t.Parallel()
	s := startTalking(t)
	tail := startTail(t, nil, append([]string{"room", "private-room", "presence-lobby", "--count", "2"}, s.flags...)...)
	for range 3 {
		tail.note(t, "subscribed to ")
	}
	for _, c := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{[]string{"channels"}, 0, "CHANNEL         SUBSCRIPTIONS  USERS\npresence-lobby  1              -\n" +
			"private-room    1              -\nroom            1              -\n", "3 channels\n"},
		{[]string{"channels", "presence-"}, 0, "CHANNEL         SUBSCRIPTIONS  USERS\npresence-lobby  1              1\n", "1 channel\n"},
		{[]string{"channels", "presence-", "--json"}, 0, `{"channels":{"presence-lobby":{"user_count":1,"subscription_count":1}}}` + "\n", ""},
		{[]string{"users", "presence-lobby"}, 0, "dunlin-tail\n", "1 user\n"},
		{[]string{"users", "presence-lobby", "--json"}, 0, `{"users":[{"id":"dunlin-tail"}]}` + "\n", ""},
		{[]string{"users", "room"}, 1, "", "dunlin: the server refused: 400 Users can only be retrieved for presence channels\n"},
		{[]string{"terminate", "nobody@here"}, 0, "connections of user nobody@here are being closed\n", ""},
		{[]string{"trigger", "room", "e", `{"n":12345678901234567890}`, "--also", "private-room", "--info", "subscription_count"}, 0,
			"CHANNEL       SUBSCRIPTIONS  USERS\nprivate-room  1              -\nroom          1              -\n", ""},
		{[]string{"trigger", "elsewhere", "e"}, 0, "published to 1 channel\n", ""},
		{[]string{"trigger", "bad name", "e"}, 1, "", "dunlin: the server refused: 400 Invalid channel name: bad name\n"},
		{[]string{"trigger", "room"}, 2, "", "dunlin: accepts between 2 and 3 arg(s), received 1\nTry dunlin --help\n"},
	} {
		code, stdout, stderr := s.run(c.args...)
		if code != c.code || stdout != c.stdout || stderr != c.stderr {
			t.Errorf("%q: %d\n%s%s\nwant %d\n%s%s", c.args, code, stdout, stderr, c.code, c.stdout, c.stderr)
		}
	}
	var heard []string
	for range 2 {
		var l struct {
			Channel, Event string
			Data           json.RawMessage
		}
		line := tail.line(t)
		if err := json.Unmarshal([]byte(line), &l); err != nil || l.Event != "e" || string(l.Data) != `{"n":12345678901234567890}` {
			t.Errorf("%v: %s", err, line)
		}
		heard = append(heard, l.Channel)
	}
	if heard[0] == heard[1] {
		t.Errorf("heard on %q", heard)
	}
	if code := <-tail.code; code != exitOK {
		t.Errorf("tail ended with %d", code)
	}
}

// tailing is a tail that runs.
type tailing struct {
	stdout, notes *bufio.Reader
	code          chan int
}

func startTail(t *testing.T, files map[string]string, args ...string) *tailing {
	out, to := io.Pipe()
	notes, noted := io.Pipe()
	r := &tailing{bufio.NewReader(out), bufio.NewReader(notes), make(chan int, 1)}
	go func() {
		r.code <- run(append([]string{"tail"}, args...), to, noted, surroundings(files, "SECRET=s"))
		to.Close()
		noted.Close()
	}()
	t.Cleanup(func() {
		out.Close()
		notes.Close()
	})
	return r
}

func (r *tailing) line(t *testing.T) string {
	t.Helper()
	l, err := r.stdout.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// note reads notes until one begins like this.
func (r *tailing) note(t *testing.T, beginning string) {
	t.Helper()
	for {
		l, err := r.notes.ReadString('\n')
		if err != nil {
			t.Fatalf("no note %q: %v", beginning, err)
		}
		if strings.HasPrefix(l, beginning) {
			return
		}
	}
}

// What stands in the way is said with what to do about it.
func TestTalkFails(t *testing.T) {
	t.Parallel()
	s := startTalking(t)
	for line, want := range map[string]string{
		"channels --url " + s.url + " --app-id a --key k --secret other":   "Do --app-id, --key and --secret belong to this server?",
		"channels --url http://127.0.0.1:1 --app-id a --key k --secret s":  "nothing listens at http://127.0.0.1:1: start it with dunlin serve",
		"tail c --url http://127.0.0.1:1 --app-id a --key k --secret s":    "nothing listens at http://127.0.0.1:1: start it with dunlin serve",
		"tail c --url " + s.url + " --app-id a --key x --secret s":         "4001 App key x",
		"tail private-c --url " + s.url + " --app-id a --key k --secret x": "the server refused: Invalid signature",
		"tail c --config c.yaml --app-id z":                                `no app with the id "z" is configured`,
		"users c --config off.yaml":                                        "no app is enabled; name one with --app-id",
		"users c --secret env:NONE":                                        "--secret: ",
	} {
		files := map[string]string{"c.yaml": oneApp, "off.yaml": "apps: [{id: a, key: k, secret: s, enabled: false}]\n"}
		code, stdout, stderr := runCLI(files, nil, strings.Fields(line)...)
		if code != exitFailed || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%s: %d\n%s%s\nwant %s", line, code, stdout, stderr, want)
		}
	}
}

// A server that goes away is waited for. Here the way to it is a unix socket that
// is found in the configuration.
func TestTailComesBack(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "dunlin-tail-") // t.TempDir's path may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s.sock")
	const config = "server: {host: [%s\"unix:%s\"], port: 0, drain: 0}\nops: {enabled: false}\napps: [{id: a, key: k, secret: s}]\n"
	startText(t, fmt.Sprintf(config, "127.0.0.1, ", socket))
	way := testkit.StartProxy(t, socket)
	files := map[string]string{"c.yaml": fmt.Sprintf(config, "", way.Socket)}
	tail := startTail(t, files, "room", "--config", "c.yaml", "--count", "1")
	tail.note(t, "subscribed to room")
	way.Cut()
	tail.note(t, "connection lost")
	way.Heal()
	tail.note(t, "subscribed to room")
	if code, _, stderr := runCLI(files, nil, "trigger", "room", "again", "text", "--config", "c.yaml"); code != exitOK {
		t.Fatal(stderr)
	}
	if l := tail.line(t); !strings.Contains(l, `"channel":"room","event":"again","data":"text"`) {
		t.Error(l)
	}
}

func TestNextTry(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		failures, code int
		want           time.Duration
	}{{0, 4200, 0}, {0, 4201, 0}, {0, 1006, time.Second}, {0, 4100, time.Second}, {1, 4200, 2 * time.Second}, {3, 0, 8 * time.Second}, {99, 0, 30 * time.Second}} {
		if got := nextTry(c.failures, c.code); got != c.want {
			t.Errorf("%d failures, code %d: %v, want %v", c.failures, c.code, got, c.want)
		}
	}
}

// Data comes from anybody: it must not steer the terminal.
func TestTailForPeople(t *testing.T) {
	t.Parallel()
	e := client.Event{Name: "client-e\x1b[2J", Channel: "private-c", UserID: "7", Data: json.RawMessage(`"a\u009bb\nc"`)}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if got, want := forPeople(e, at, false), "03:04:05  private-c  client-e\uFFFD[2J  a\uFFFDb\uFFFDc  from 7\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := forPeople(e, at, true); strings.Count(got, "\x1b") != 8 || strings.Contains(got, "\x1b[2J") {
		t.Errorf("%q", got)
	}
	got, err := json.Marshal(newTailLine(e, at))
	if want := `{"time":"2026-01-02T03:04:05Z","channel":"private-c","event":"client-e\u001b[2J","user_id":"7","data":"a` + "\u009b" + `b\nc"}`; err != nil || string(got) != want {
		t.Errorf("%s %v, want %s", got, err, want)
	}
}

// fullDisk takes no more.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// A tail whose output takes no more ends: another connection would not help.
func TestTailThatCanNotPrint(t *testing.T) {
	t.Parallel()
	s := startTalking(t)
	code, notes := make(chan int, 1), &bytes.Buffer{}
	go func() {
		code <- run(append([]string{"tail", "room"}, s.flags...), fullDisk{}, notes, surroundings(nil, "SECRET=s"))
	}()
	for { // before it is subscribed nothing is printed
		select {
		case got := <-code:
			if got != exitFailed || !strings.Contains(notes.String(), "no space left") {
				t.Errorf("%d\n%s", got, notes)
			}
			return
		default:
			if got, _, stderr := s.run("trigger", "room", "e"); got != exitOK {
				t.Fatal(stderr)
			}
		}
	}
}

func TestServerURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "", "ws://h:1": "http://h:1", "wss://h/x/": "https://h/x/", "http://[::1]:6001": "http://[::1]:6001", "https://h": "https://h",
	} {
		if got, err := serverURL(text); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"h", "h:1", "/h", "ftp://h", "http://", "http://h?a", "http://u:p@h", "http://h#f", "http://h:port"} {
		if got, err := serverURL(text); err == nil {
			t.Errorf("%s: %q", text, got)
		}
	}
}
