package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"dunlin/internal/client"
	"dunlin/internal/testkit"
	"dunlin/protocol"

	"github.com/coder/websocket"
)

var update = flag.Bool("update", false, "write the transcripts as the server answers now")

// A transcript is a conversation in a text file. Lines of input:
//
//	# comment
//	a connect [QUERY]              a client named a connects; QUERY replaces protocol=7
//	a > TEXT                       it sends a text message
//	a close                        it closes, with 1000
//	post PATH BODY, get PATH[?QUERY]   a signed API request
//
// and after each, what the server says:
//
//	a < TEXT                       a message
//	a ! CODE REASON                the end of a connection
//	= STATUS BODY                  an API answer
//
// ${a.id} is a's socket id; ${auth a CHANNEL} and ${auth a CHANNEL DATA} are auth
// strings, DATA standing for channel_data; ${signin a DATA} is one for user_data;
// ${hmac} and ${ttl} are any signature, and any number of seconds, in what the
// server says. Apps are those of testdata/apps.yaml, where app NAME has the key
// NAME-key and the secret NAME-secret.
//
// Whatever else a transcript is about, each message has the form that all of them
// have (PROTOCOL 1.7, 1.20, 1.28–1.31, 8.1, 8.12).
func TestTranscripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	config, err := os.ReadFile("testdata/apps.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range transports() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, file := range files {
				t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
					t.Parallel()
					s := testkit.Start(t, testkit.Options{Config: string(config), Env: []string{"DUNLIN_SERVER_TRANSPORT=" + name}})
					p := &play{t: t, s: s, ctx: testkit.Context(t), clients: map[string]*actor{}}
					if *update { // waiting for quiet takes its time
						p.ctx = t.Context()
					}
					p.run(file, *update && name == "stream")
				})
			}
		})
	}
}

// play performs one transcript.
type play struct {
	t       *testing.T
	s       *testkit.Server
	ctx     context.Context
	clients map[string]*actor
	order   []*actor
	answers []string // of the API
	line    int
}

// actor is one client.
type actor struct {
	name string
	app  string
	ws   *websocket.Conn
	id   string
	got  chan string // lines as they stand in the file
	left chan error  // what its own close came to; holds one
}

func (p *play) run(file string, rewrite bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		p.t.Fatal(err)
	}
	var out []string
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	for i := 0; i < len(lines); {
		p.line = i + 1
		input := lines[i]
		out = append(out, input)
		i++
		var want []string
		for i < len(lines) && isOutput(lines[i]) {
			want = append(want, lines[i])
			i++
		}
		if strings.HasPrefix(input, "#") || input == "" {
			continue
		}
		p.do(p.expand(input))
		if rewrite {
			out = append(out, p.settle()...)
			continue
		}
		p.check(want)
	}
	if rewrite {
		if err := os.WriteFile(file, []byte(strings.Join(out, "\n")+"\n"), 0o644); err != nil {
			p.t.Fatal(err)
		}
	}
}

var outputLine = regexp.MustCompile(`^(\w+ [<!] |= )`)

func isOutput(line string) bool { return outputLine.MatchString(line) }

var macro = regexp.MustCompile(`\$\{[^}]*\}+`)

// expand replaces ${…}. Nested braces belong to DATA.
func (p *play) expand(line string) string {
	return macro.ReplaceAllStringFunc(line, func(m string) string {
		body := m[2 : len(m)-1]
		if name, ok := strings.CutSuffix(body, ".id"); ok {
			return p.clients[name].id
		}
		f := strings.SplitN(strings.ReplaceAll(body, `\"`, `"`), " ", 4)
		if len(f) < 3 || p.clients[f[1]] == nil {
			p.t.Fatalf("line %d: unknown %s", p.line, m)
		}
		a, rest := p.clients[f[1]], strings.Join(f[3:], "")
		switch f[0] {
		case "auth":
			return p.api(a.app).Authorize(a.id, f[2], rest).Auth
		case "signin":
			data := strings.TrimSpace(f[2] + " " + rest)
			return p.api(a.app).Authorize(a.id, ":user::"+data, "").Auth
		}
		p.t.Fatalf("line %d: unknown %s", p.line, m)
		return ""
	})
}

// api is the HTTP API of an app.
func (p *play) api(app string) *client.API {
	id := app
	if app == "app" { // the one that all of this module's tests have
		id = testkit.AppID
	}
	return client.NewAPI("http://"+p.s.Addr, id, app+"-key", protocol.NewSecret(app+"-secret"))
}

func (p *play) do(line string) {
	name, rest, _ := strings.Cut(line, " ")
	verb, arg, _ := strings.Cut(rest, " ")
	switch {
	case name == "post" || name == "get":
		p.call(name, verb, arg)
	case verb == "connect":
		p.connect(name, arg)
	case verb == ">":
		if err := p.clients[name].ws.Write(p.ctx, websocket.MessageText, []byte(arg)); err != nil {
			p.t.Fatalf("line %d: %v", p.line, err)
		}
	case verb == "close":
		p.clients[name].left <- p.clients[name].ws.Close(websocket.StatusNormalClosure, "")
	default:
		p.t.Fatalf("line %d: what is %q?", p.line, line)
	}
}

var ttl = regexp.MustCompile(`"ttl":\d+`)

func (p *play) call(method, path, body string) {
	app, path, _ := strings.Cut(strings.TrimPrefix(path, "/apps/"), "/")
	path, query, _ := strings.Cut("/"+path, "?")
	params := map[string][]string{}
	for _, kv := range strings.FieldsFunc(query, func(r rune) bool { return r == '&' }) {
		k, v, _ := strings.Cut(kv, "=")
		params[k] = append(params[k], v)
	}
	r, err := p.api(strings.TrimSuffix(app, "-id")).Do(p.ctx, strings.ToUpper(method), path, params, []byte(body))
	if err != nil {
		p.t.Fatalf("line %d: %v", p.line, err)
	}
	text := ttl.ReplaceAllString(strings.ReplaceAll(string(r.Body), "\n", `\n`), `"ttl":$${ttl}`)
	p.answers = append(p.answers, fmt.Sprintf("= %d %s", r.Status, text))
}

func (p *play) connect(name, query string) {
	path := "/app/" + testkit.Key
	if query == "" {
		query = "protocol=7"
	}
	if strings.HasPrefix(query, "/") {
		path, query, _ = strings.Cut(query, "?")
	}
	ws, _, err := websocket.Dial(p.ctx, "http://"+p.s.Addr+path+"?"+query, nil)
	if err != nil {
		p.t.Fatalf("line %d: %v", p.line, err)
	}
	app := strings.TrimSuffix(strings.TrimPrefix(path, "/app/"), "-key")
	a := &actor{name: name, app: app, ws: ws, got: make(chan string, 1000), left: make(chan error, 1)}
	p.clients[name] = a
	p.order = append(p.order, a)
	p.t.Cleanup(func() {
		ws.CloseNow()
		close(a.left)
	})
	ready := make(chan struct{})
	go a.read(p.ctx, ready)
	<-ready
}

var socketID = regexp.MustCompile(`\d+\.\d+`)

// read turns what comes into lines. ready is closed once the id is known, or no
// id is to come.
func (a *actor) read(ctx context.Context, ready chan struct{}) {
	defer close(a.got)
	first := true
	for {
		_, m, err := a.ws.Read(ctx)
		if first {
			if strings.Contains(string(m), "connection_established") {
				a.id = socketID.FindString(string(m))
			}
			close(ready)
			first = false
		}
		if err != nil {
			a.end(err)
			return
		}
		a.got <- a.name + " < " + string(m) + malformed(m)
	}
}

// end reports how the server ended the connection. Its answer to our own close may
// have been read by ws.Close, which then returns nil.
func (a *actor) end(err error) {
	var end websocket.CloseError
	switch {
	case errors.As(err, &end):
	case errors.Is(err, net.ErrClosed) && <-a.left == nil:
		end.Code = websocket.StatusNormalClosure
	default:
		return
	}
	a.got <- fmt.Sprintf("%s ! %d %s", a.name, end.Code, end.Reason)
}

// malformed says in what a message differs from all others. data is a string but
// in errors, where some clients understand nothing but an object.
func malformed(message []byte) string {
	var m struct {
		Event   *string
		Data    any
		Channel *string
	}
	if err := json.Unmarshal(message, &m); err != nil || m.Event == nil {
		return fmt.Sprint(" is no message: ", err)
	}
	switch data := m.Data.(type) {
	case string:
		if *m.Event == "pusher:error" || *m.Event == "pusher:subscription_error" {
			return " has data that is a string"
		}
	case map[string]any:
		_, number := data["code"].(float64)
		_, text := data["message"].(string)
		isError := text && len(data) == 2 && (number || data["code"] == nil) && m.Channel == nil
		if *m.Event != "pusher:subscription_error" && (*m.Event != "pusher:error" || !isError) {
			return " has data that is an object"
		}
	default:
		return " has no data"
	}
	return ""
}

var hexHMAC = regexp.MustCompile(`\b[0-9a-f]{64}\b`)

// normal hides ids and signatures, which differ from run to run.
func (p *play) normal(line string) string {
	line = hexHMAC.ReplaceAllString(line, "$${hmac}")
	for _, a := range p.order {
		if a.id != "" {
			line = strings.ReplaceAll(line, a.id, "${"+a.name+".id}")
		}
	}
	return line
}

// check waits for what the transcript says, then sees that there was no more.
func (p *play) check(want []string) {
	p.t.Helper()
	for _, w := range want {
		if got := p.normal(p.next(strings.Fields(w)[0])); got != w {
			p.t.Fatalf("line %d:\n got %s\nwant %s", p.line, got, w)
		}
	}
	for _, a := range p.order {
		if extra := p.barrier(a); extra != "" {
			p.t.Fatalf("line %d: unexpected %s", p.line, extra)
		}
	}
	if len(p.answers) > 0 {
		p.t.Fatalf("line %d: unexpected %s", p.line, p.answers[0])
	}
}

func (p *play) next(name string) string {
	p.t.Helper()
	if name == "=" {
		if len(p.answers) == 0 {
			return "nothing"
		}
		first := p.answers[0]
		p.answers = p.answers[1:]
		return first
	}
	select {
	case got, ok := <-p.clients[name].got:
		if !ok {
			return "the end of " + name
		}
		return got
	case <-time.After(testkit.Patience):
		return "nothing from " + name
	}
}

// barrier sends a ping and returns what comes before its pong.
func (p *play) barrier(a *actor) string {
	const ping, pong = `{"event":"pusher:ping"}`, `{"event":"pusher:pong","data":"{}"}`
	if a.ws.Write(p.ctx, websocket.MessageText, []byte(ping)) != nil {
		return ""
	}
	if got, ok := <-a.got; ok && got != a.name+" < "+pong {
		return got
	}
	return ""
}

// settle collects what comes until it is quiet; for -update only.
func (p *play) settle() (lines []string) {
	lines, p.answers = append(lines, p.answers...), nil
	for _, a := range p.order {
		for quiet := false; !quiet; {
			select {
			case got, ok := <-a.got:
				if quiet = !ok; ok {
					lines = append(lines, p.normal(got))
				}
			case <-time.After(300 * time.Millisecond):
				quiet = true
			}
		}
	}
	return lines
}
