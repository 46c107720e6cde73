package httpapi

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dunlin/apps"
	"dunlin/channels"
	"dunlin/cluster"
	"dunlin/metrics"
	"dunlin/protocol"

	"github.com/valyala/fasthttp"
)

// The credentials and the time of the vectors in PROTOCOL 2.18 and 5.3.
const (
	testKey    = "278d425bdf160c739803"
	testSecret = "7ad3773142a6692b25b8"
	testTime   = 1353088179
)

// fakeEngine records publications and answers queries from tables. What it does
// not implement nobody here calls.
type fakeEngine struct {
	cluster.Engine

	mu        sync.Mutex
	published [][]cluster.Publication
	counts    map[string]cluster.ChannelInfo // by app and name, "3/room"
	members   map[string][]protocol.Member
	err       error
	health    error
	panics    bool
	asked     cluster.Info
	ended     []string // "app/user" of each Terminate
}

func (e *fakeEngine) Publish(ctx context.Context, p []cluster.Publication) ([]cluster.Receipt, error) {
	defer e.mu.Unlock()
	e.mu.Lock()
	if e.panics {
		panic("engine fault")
	}
	if _, ok := ctx.Deadline(); !ok {
		return nil, fmt.Errorf("publish without a deadline")
	}
	if e.err != nil {
		return nil, e.err
	}
	e.published = append(e.published, p)
	receipts := make([]cluster.Receipt, len(p))
	for i := range p {
		info := e.counts[p[i].Channel.App+"/"+p[i].Channel.Name]
		receipts[i] = cluster.Receipt{Subscriptions: info.Subscriptions, Users: info.Users}
	}
	return receipts, nil
}

func (e *fakeEngine) Channels(_ context.Context, app, prefix string, want cluster.Info) (map[string]cluster.ChannelInfo, error) {
	defer e.mu.Unlock()
	e.mu.Lock()
	e.asked = want
	found := make(map[string]cluster.ChannelInfo)
	for name, info := range e.counts {
		if rest, ok := strings.CutPrefix(name, app+"/"); ok && strings.HasPrefix(rest, prefix) && info.Occupied {
			found[rest] = info
		}
	}
	return found, e.err
}

func (e *fakeEngine) Channel(_ context.Context, ch protocol.ChannelKey, want cluster.Info) (cluster.ChannelInfo, error) {
	defer e.mu.Unlock()
	e.mu.Lock()
	e.asked = want
	return e.counts[ch.App+"/"+ch.Name], e.err
}

func (e *fakeEngine) Members(_ context.Context, ch protocol.ChannelKey) ([]protocol.Member, error) {
	defer e.mu.Unlock()
	e.mu.Lock()
	return e.members[ch.App+"/"+ch.Name], e.err
}

func (e *fakeEngine) Terminate(ctx context.Context, app, user string) error {
	defer e.mu.Unlock()
	e.mu.Lock()
	if _, ok := ctx.Deadline(); !ok {
		return fmt.Errorf("terminate without a deadline")
	}
	if e.err == nil {
		e.ended = append(e.ended, app+"/"+user)
	}
	return e.err
}

func (e *fakeEngine) Health() error {
	defer e.mu.Unlock()
	e.mu.Lock()
	return e.health
}

// events returns what was published, as "channel payload" lines.
func (e *fakeEngine) events() (all []string) {
	defer e.mu.Unlock()
	e.mu.Lock()
	for _, list := range e.published {
		for _, p := range list {
			all = append(all, string(p.Frame.Payload()))
		}
	}
	return all
}

func (e *fakeEngine) publications() (all []cluster.Publication) {
	defer e.mu.Unlock()
	e.mu.Lock()
	for _, list := range e.published {
		all = append(all, list...)
	}
	return all
}

// fixture is a server on a loopback port, with apps "3" (the vectors' key), "4"
// and "off", which is disabled.
type fixture struct {
	t        testing.TB
	engine   *fakeEngine
	counters *metrics.Set
	apps     *apps.Registry
	server   *Server
	addr     string
}

func testApp(id, key string, secrets ...string) *apps.App {
	a := &apps.App{ID: id, Key: key, Enabled: true, Limits: apps.DefaultLimits()}
	for _, s := range secrets {
		a.Secrets = append(a.Secrets, protocol.NewSecret(s))
	}
	return a
}

// build makes a server that does not listen yet.
func build(t testing.TB, change ...func(*Options)) *fixture {
	t.Helper()
	off := testApp("off", "off-key", "off-secret")
	off.Enabled = false
	f := &fixture{
		t:        t,
		engine:   &fakeEngine{counts: map[string]cluster.ChannelInfo{}, members: map[string][]protocol.Member{}},
		counters: metrics.New(),
		apps:     apps.NewRegistry(testApp("3", testKey, testSecret), testApp("4", "other-key", "other-secret"), off),
	}
	o := Options{
		Hub: hubOf(f.engine, f.apps, f.counters), Apps: f.apps, Counters: f.counters,
		Now: func() time.Time { return time.Unix(testTime, 0) },
	}
	for _, c := range change {
		c(&o)
	}
	f.server = New(o)
	f.server.linger = time.Second
	return f
}

func hubOf(engine cluster.Engine, registry *apps.Registry, counters *metrics.Set) *channels.Hub {
	return channels.New(channels.Options{
		Engine: engine, Apps: registry, Counters: counters, Log: slog.New(slog.DiscardHandler),
		ActivityTimeout: 120 * time.Second,
	})
}

// start makes a server that listens until the test ends.
func start(t testing.TB, change ...func(*Options)) *fixture {
	t.Helper()
	f := build(t, change...)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.serve(ln)
	return f
}

func (f *fixture) serve(ln net.Listener) {
	f.addr = ln.Addr().String()
	served := make(chan error, 1)
	go func() { served <- f.server.Serve(ln) }()
	f.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := f.server.Shutdown(ctx); err != nil {
			f.t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			f.t.Errorf("serve: %v", err)
		}
	})
}

// reply is an answer as it came over the wire.
type reply struct {
	status int
	body   string
	header http.Header
	last   bool // the server closes the connection
}

// dial opens a connection that the test closes.
func (f *fixture) dial() (net.Conn, *bufio.Reader) {
	f.t.Helper()
	nc, err := net.Dial("tcp", f.addr)
	if err != nil {
		f.t.Fatal(err)
	}
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	f.t.Cleanup(func() { nc.Close() })
	return nc, bufio.NewReader(nc)
}

// send sends raw bytes on a connection of its own and reads one answer.
func (f *fixture) send(raw string) reply {
	f.t.Helper()
	nc, br := f.dial()
	defer nc.Close()
	if _, err := io.WriteString(nc, raw); err != nil {
		f.t.Fatal(err)
	}
	method, _, _ := strings.Cut(raw, " ")
	return f.read(br, method)
}

func (f *fixture) read(br *bufio.Reader, method string) reply {
	f.t.Helper()
	resp, err := http.ReadResponse(br, &http.Request{Method: method})
	if err != nil {
		f.t.Fatalf("read answer: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatalf("read body: %v", err)
	}
	return reply{resp.StatusCode, string(body), resp.Header, resp.Close}
}

// request writes an HTTP request.
func request(method, target, body string, headers ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: dunlin.test\r\n", method, target)
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	if body != "" || method == "POST" {
		fmt.Fprintf(&b, "Content-Length: %d\r\nContent-Type: application/json\r\n", len(body))
	}
	return b.String() + "\r\n" + body
}

// credentials sign a request the way the docs describe, apart from the code under
// test.
type credentials struct {
	key, secret string
	at          int64
}

var app3 = credentials{testKey, testSecret, testTime}

func hexMD5(body string) string {
	sum := md5.Sum([]byte(body))
	return hex.EncodeToString(sum[:])
}

func hexHMAC(secret, text string) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil))
}

// params returns the parameters of authentication and more, sorted as signed.
func (c credentials) params(body string, more ...string) []string {
	list := append([]string{
		"auth_key=" + c.key, fmt.Sprintf("auth_timestamp=%d", c.at), "auth_version=1.0",
	}, more...)
	if body != "" {
		list = append(list, "body_md5="+hexMD5(body))
	}
	return byKey(list)
}

func byKey(list []string) []string {
	slices.SortStableFunc(list, func(a, b string) int {
		ka, _, _ := strings.Cut(a, "=")
		kb, _, _ := strings.Cut(b, "=")
		return strings.Compare(ka, kb)
	})
	return list
}

func (c credentials) signature(method, path string, params []string) string {
	return hexHMAC(c.secret, method+"\n"+path+"\n"+strings.Join(params, "&"))
}

// target returns path and query with everything that was signed.
func (c credentials) target(method, path, body string, more ...string) string {
	p := c.params(body, more...)
	return path + "?" + strings.Join(p, "&") + "&auth_signature=" + c.signature(method, path, p)
}

// request returns a whole signed request.
func (c credentials) request(method, path, body string, more ...string) string {
	return request(method, c.target(method, path, body, more...), body)
}

// post and get send signed requests as app 3.
func (f *fixture) post(path, body string, more ...string) reply {
	f.t.Helper()
	return f.send(app3.request("POST", "/apps/3/"+path, body, more...))
}

func (f *fixture) get(path string, more ...string) reply {
	f.t.Helper()
	return f.send(app3.request("GET", "/apps/3/"+path, "", more...))
}

// expect compares status and whole body.
func (f *fixture) expect(got reply, status int, body string) {
	f.t.Helper()
	if got.status != status || got.body != body {
		f.t.Errorf("answer %d %q, want %d %q", got.status, got.body, status, body)
	}
}

// refused checks the shape that all refusals have (PROTOCOL 5.60, 5.61), and that
// nothing was published.
func (f *fixture) refused(got reply, status int, text string) {
	f.t.Helper()
	f.expect(got, status, text+"\n")
	if ct := got.header.Get("Content-Type"); ct != "text/plain; charset=utf-8" {
		f.t.Errorf("content type %q", ct)
	}
	if o := got.header.Get("Access-Control-Allow-Origin"); o != "*" {
		f.t.Errorf("Access-Control-Allow-Origin %q", o)
	}
	if n := len(f.engine.events()); n > 0 {
		f.t.Errorf("%d events published by a refused request", n)
	}
}

// direct calls the handler without a connection.
func (f *fixture) direct(method, target, body string) reply {
	var ctx fasthttp.RequestCtx
	ctx.Request.Header.SetMethod(method)
	ctx.Request.Header.SetRequestURI(target)
	ctx.Request.SetBodyString(body)
	f.server.handle(&ctx)
	return reply{status: ctx.Response.StatusCode(), body: string(ctx.Response.Body())}
}
