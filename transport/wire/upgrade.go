package wire

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws"

	"dunlin/transport"
)

// Subprotocol is what the Swift client offers, and the only one that is ever
// selected (PROTOCOL 1.5).
const Subprotocol = "pusher-channels-protocol-7"

// Refusal is an upgrade request's HTTP answer other than 101. The connection
// ends after it.
type Refusal struct {
	Status int
	Text   string // one line, without its newline
}

func (r *Refusal) Error() string { return strconv.Itoa(r.Status) + " " + r.Text }

// Refusals that do not come from the request's contents.
var (
	ErrHeaderTooLarge = &Refusal{http.StatusRequestHeaderFieldsTooLarge, "Request header too large"}
	ErrOverCapacity   = &Refusal{http.StatusServiceUnavailable, "Over capacity"}
)

// Response returns the whole HTTP answer, with a text body that ends in a
// newline (PROTOCOL 5.60).
func (r *Refusal) Response() []byte {
	b := append([]byte("HTTP/1.1 "), strconv.Itoa(r.Status)...)
	b = append(append(b, ' '), http.StatusText(r.Status)...)
	b = append(b, "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(r.Text)+1), 10)
	switch r.Status {
	case http.StatusUpgradeRequired: // RFC 9110 §15.5.22, RFC 6455 §4.4
		b = append(b, "\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13"...)
	case http.StatusMethodNotAllowed:
		b = append(b, "\r\nConnection: close\r\nAllow: GET"...)
	case http.StatusServiceUnavailable:
		b = append(b, "\r\nConnection: close\r\nRetry-After: 1"...)
	default:
		b = append(b, "\r\nConnection: close"...)
	}
	b = append(b, "\r\n\r\n"...)
	return append(append(b, r.Text...), '\n')
}

// Upgrader answers upgrade requests. It is stateless and may be shared.
type Upgrader struct {
	appPath   string
	deflate   bool
	forwarded bool // headers of proxies are read
}

// NewUpgrader returns the upgrader of a server whose WebSocket paths begin with
// prefix + "/app/". deflate says that it accepts permessage-deflate.
func NewUpgrader(prefix string, deflate bool) Upgrader {
	return Upgrader{appPath: prefix + "/app/", deflate: deflate}
}

// Behind is an upgrader that reads what proxies add, if any is trusted.
func (u Upgrader) Behind(p transport.Proxies) Upgrader {
	u.forwarded = p.Any()
	return u
}

// Upgrade judges a request, which is whole and ends with its empty line (see
// HeaderEnd). It returns what the request said, without Remote and Secure, and
// the 101 response to send. The error is a *Refusal.
func (u Upgrader) Upgrade(request []byte) (transport.Handshake, []byte, error) {
	if len(request) > MaxHeader {
		return transport.Handshake{}, nil, ErrHeaderTooLarge
	}
	// The library takes a bare LF for a line's end too; then it and HeaderEnd could
	// disagree on where the request ends.
	if bytes.Count(request, []byte{'\n'}) != bytes.Count(request, []byte("\r\n")) {
		return transport.Handshake{}, nil, &Refusal{http.StatusBadRequest, "Malformed request: bare line feed"}
	}
	var h transport.Handshake
	upgraded := false
	up := ws.Upgrader{
		ReadBufferSize:  MaxHeader,
		WriteBufferSize: 512,
		Protocol:        func(p []byte) bool { return string(p) == Subprotocol },
		OnRequest:       func(uri []byte) error { u.target(&h, string(uri)); return nil },
		OnHeader: func(key, value []byte) error {
			switch {
			case string(key) == "Origin":
				h.Origin = string(value)
			case !u.forwarded:
			case string(key) == "X-Forwarded-For":
				h.ForwardedFor = joined(h.ForwardedFor, value)
			case string(key) == "X-Forwarded-Proto":
				h.ForwardedProto = joined(h.ForwardedProto, value)
			}
			return nil
		},
		OnBeforeUpgrade: func() (ws.HandshakeHeader, error) { upgraded = true; return nil, nil },
	}
	if u.deflate {
		up.Negotiate = func(offer httphead.Option) (answer httphead.Option, _ error) {
			if !h.Deflate && acceptable(offer) {
				h.Deflate, answer = true, deflateAnswer
			}
			return answer, nil
		}
	}
	m := memory{in: request}
	if _, err := up.Upgrade(&m); err != nil || !upgraded {
		return transport.Handshake{}, nil, refusal(request, err)
	}
	return h, m.out, nil
}

// joined is a header that is given again, as one list (RFC 9110 §5.3).
func joined(before string, value []byte) string {
	if before == "" {
		return string(value)
	}
	return before + "," + string(value)
}

// refusal maps the library's errors. It answers 400 to a request without any
// Upgrade header, which is rather a browser that was pointed here: 426.
func refusal(request []byte, err error) *Refusal {
	var rejected *ws.ConnectionRejectedError
	if !errors.As(err, &rejected) {
		return &Refusal{http.StatusBadRequest, "Malformed request"}
	}
	status := rejected.StatusCode()
	if err == ws.ErrHandshakeBadUpgrade && !bytes.Contains(bytes.ToLower(request), []byte("\r\nupgrade:")) {
		status = http.StatusUpgradeRequired
	}
	return &Refusal{status, strings.TrimPrefix(rejected.Error(), "handshake error: ")}
}

// target takes the request target apart (RFC 9112 §3.2): a path with its query,
// or an absolute URL, as proxies send it.
func (u Upgrader) target(h *transport.Handshake, target string) {
	if _, after, ok := strings.Cut(target, "://"); ok && !strings.HasPrefix(target, "/") {
		if i := strings.IndexAny(after, "/?"); i >= 0 {
			target = after[i:]
		} else {
			target = "/"
		}
	}
	h.Path, h.Query, _ = strings.Cut(target, "?")
	key, ok := strings.CutPrefix(h.Path, u.appPath)
	if !ok {
		return
	}
	h.OnPath, h.Key = true, key
	if decoded, err := url.PathUnescape(key); err == nil {
		h.Key = decoded // else it is no app's key, and the client may read it as sent
	}
}

// memory is the socket that the library reads the request from and writes the
// response to.
type memory struct{ in, out []byte }

func (m *memory) Read(b []byte) (int, error) {
	if len(m.in) == 0 {
		return 0, io.EOF
	}
	n := copy(b, m.in)
	m.in = m.in[n:]
	return n, nil
}

func (m *memory) Write(b []byte) (int, error) {
	m.out = append(m.out, b...)
	return len(b), nil
}
