package load

import (
	"crypto/md5"
	"encoding/hex"
	"net"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"dunlin/protocol"
)

// eventName is that of every event published; client events have the prefix of
// their kind.
const eventName = "bench"

// requestTimeout is when an answer is given up.
const requestTimeout = 15 * time.Second

// api publishes through the HTTP API on keep-alive connections.
type api struct {
	client   *fasthttp.HostClient
	target   string // the URL of /events without its query
	path     string // what is signed of it
	key      string
	keyInURL string // escaped
	secret   *protocol.Secret

	mu    sync.Mutex
	conns []net.Conn // guarded by mu: all that were ever dialled
}

func newAPI(o Options, t target) *api {
	path := t.prefix + "/apps/" + url.PathEscape(o.AppID) + "/events"
	scheme := "http://"
	if t.tls {
		scheme = "https://"
	}
	a := &api{
		target: scheme + t.host + path, path: path,
		key: o.Key, keyInURL: url.QueryEscape(o.Key), secret: o.Secret,
	}
	a.client = &fasthttp.HostClient{
		Addr: t.host, IsTLS: t.tls,
		Dial:     func(string) (net.Conn, error) { return a.dial(t.address()) },
		MaxConns: max(o.Publishers, 1), ReadTimeout: requestTimeout, WriteTimeout: requestTimeout,
		WriteBufferSize: 4096 + o.Size, MaxIdemponentCallAttempts: 1, NoDefaultUserAgentHeader: true,
	}
	return a
}

func (a *api) dial(address string) (net.Conn, error) {
	nc, err := net.DialTimeout("tcp", address, requestTimeout)
	if err == nil {
		a.mu.Lock()
		a.conns = append(a.conns, nc)
		a.mu.Unlock()
	}
	return nc, err
}

// close ends all connections, requests under way included.
func (a *api) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, nc := range a.conns {
		nc.Close()
	}
	a.conns = nil
}

// caller is one publisher's buffers.
type caller struct {
	api       *api
	mark      *mark
	padding   string
	request   fasthttp.Request
	answer    fasthttp.Response
	url, body []byte
}

func (r *run) newCaller() *caller {
	c := &caller{api: r.api, mark: r.mark, padding: padding(r.o.Fill, r.o.Size)}
	c.request.Header.SetMethod(fasthttp.MethodPost)
	c.request.Header.SetContentType("application/json")
	return c
}

// publish publishes event n and returns the answer's status.
func (c *caller) publish(channel string, n int, now time.Time) (status int, err error) {
	c.body = append(c.body[:0], `{"name":"`+eventName+`","channel":`...)
	c.body = protocol.AppendString(c.body, channel)
	c.body = append(c.body, `,"data":"`...)
	c.body = c.mark.append(c.body, n)
	c.body = append(append(c.body, c.padding...), `"}`...)
	c.sign(now)
	c.request.SetRequestURIBytes(c.url)
	c.request.SetBodyRaw(c.body)
	if err := c.api.client.Do(&c.request, &c.answer); err != nil {
		return 0, err
	}
	return c.answer.StatusCode(), nil
}

// sign makes the URL of the request for the body (PROTOCOL 5.1, 5.2).
func (c *caller) sign(now time.Time) {
	sum := md5.Sum(c.body)
	stamp := strconv.FormatInt(now.Unix(), 10)
	digest := hex.EncodeToString(sum[:])
	signature := c.api.secret.Sign([]byte("POST\n" + c.api.path + "\n" + query(c.api.key, stamp, digest)))
	c.url = append(append(c.url[:0], c.api.target...), '?')
	c.url = append(c.url, query(c.api.keyInURL, stamp, digest)...)
	c.url = append(append(c.url, "&auth_signature="...), signature...)
}

func query(key, stamp, digest string) string {
	return "auth_key=" + key + "&auth_timestamp=" + stamp + "&auth_version=1.0&body_md5=" + digest
}
