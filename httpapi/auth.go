package httpapi

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"net"
	"strconv"
	"time"
	"unicode/utf8"

	"dunlin/internal/lograte"
	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/transport"
)

// grace is by how many seconds a request's timestamp may almost differ from the
// server's time (PROTOCOL 5.8).
const grace = 600

// authVersion is the one version of the scheme there is.
const authVersion = "1.0"

// authenticate finds the app of the request's path and checks that it signed the
// request. The checks and their texts are those of PROTOCOL 5.12, in that order.
// It is route.auth for paths that begin with an app's id.
func (s *Server) authenticate(c *call) error {
	if c.app = s.opts.Apps.ByID(c.segment(0)); c.app == nil {
		return s.denied(c, errUnknownApp)
	}
	return s.authorize(c)
}

// authenticateByKey finds the app by its key, for a path that names none.
func (s *Server) authenticateByKey(c *call) error {
	key, _ := c.query.get(paramKey)
	if c.app = s.opts.Apps.ByKey(string(key)); c.app == nil {
		return s.denied(c, unknownKey(key))
	}
	return s.authorize(c)
}

func (s *Server) authorize(c *call) error {
	if r := s.credentials(c); r != nil {
		return s.denied(c, r)
	}
	if !c.app.Enabled {
		return s.denied(c, errDisabled)
	}
	c.admitted = true
	return nil
}

func (s *Server) credentials(c *call) *refusal {
	if r := s.checkKey(c); r != nil {
		return r
	}
	if r := checkVersion(&c.query); r != nil {
		return r
	}
	if r := checkTimestamp(&c.query, s.opts.Now()); r != nil {
		return r
	}
	if !c.verify() {
		return c.invalidSignature()
	}
	return checkMD5(&c.query, c.ctx.PostBody())
}

func (s *Server) checkKey(c *call) *refusal {
	key, _ := c.query.get(paramKey)
	switch {
	case len(key) > 0 && string(key) == c.app.Key:
		return nil
	case s.opts.Apps.ByKey(string(key)) == nil:
		return unknownKey(key)
	default:
		return unauthorized(metrics.RefusedAPIKey, "App key "+cut(string(key))+" is not a key of app "+c.app.ID)
	}
}

func unknownKey(key []byte) *refusal {
	if len(key) == 0 {
		return unauthorized(metrics.RefusedAPIKey, "Missing parameter: "+paramKey)
	}
	return unauthorized(metrics.RefusedAPIKey, protocol.ErrUnknownKey(cut(string(key))).Message)
}

func checkVersion(q *query) *refusal {
	switch version, _ := q.get(paramVersion); {
	case len(version) == 0:
		return unauthorized(metrics.RefusedAPIVersion, "Version required")
	case string(version) != authVersion:
		return unauthorized(metrics.RefusedAPIVersion, "Version not supported")
	}
	return nil
}

func checkTimestamp(q *query, now time.Time) *refusal {
	value, ok := q.get(paramTimestamp)
	if !ok {
		return unauthorized(metrics.RefusedAPITimestamp, "Timestamp required")
	}
	given := leadingInt(value)
	if d := given - now.Unix(); d > -grace && d < grace {
		return nil
	}
	return unauthorized(metrics.RefusedAPITimestamp, "Timestamp expired: Given timestamp ("+iso8601(time.Unix(given, 0))+
		") not within "+strconv.Itoa(grace)+"s of server time ("+iso8601(now)+")")
}

func iso8601(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// leadingInt reads as Ruby's String#to_i does: what is no number is 0, which is
// long expired. More digits than a time can have count as the highest.
func leadingInt(s []byte) (n int64) {
	const most = 253402300799 // the end of the year 9999
	negative := len(s) > 0 && s[0] == '-'
	if negative {
		s = s[1:]
	}
	for _, c := range s {
		if c < '0' || c > '9' || n > most {
			break
		}
		n = n*10 + int64(c-'0')
	}
	n = min(n, most)
	if negative {
		return -n
	}
	return n
}

// invalidSignature shows what should have been signed. The developer who compares
// it with what was signed finds the mistake; the secret is not in it.
func (c *call) invalidSignature() *refusal {
	c.scratch = c.appendSigned(c.scratch[:0], c.path, formDecoded)
	b := inspect([]byte("Invalid signature: you should have sent HmacSHA256Hex("), c.scratch)
	b = append(b, ", your_secret_key), but you sent "...)
	if sent, ok := c.query.get(paramSignature); ok {
		b = inspect(b, sent)
	} else {
		b = append(b, "nil"...)
	}
	return unauthorized(metrics.RefusedAPISignature, string(b))
}

// checkMD5 compares the body with what the signature covers: its claimed MD5
// (PROTOCOL 5.9, 5.10).
func checkMD5(q *query, body []byte) *refusal {
	claimed, ok := q.get(paramMD5)
	if !ok {
		if len(body) == 0 {
			return nil
		}
		return unauthorized(metrics.RefusedAPIBody, "Missing parameter: "+paramMD5)
	}
	sum := md5.Sum(body)
	var want [2 * md5.Size]byte
	hex.Encode(want[:], sum[:])
	if !bytes.EqualFold(claimed, want[:]) {
		return unauthorized(metrics.RefusedAPIBody, "Invalid body_md5: the MD5 of the request body is "+string(want[:]))
	}
	return nil
}

// denied counts a request whose sender is not who it says, and tells the operator
// why: what should have been signed is in it, and no secret.
func (s *Server) denied(c *call, r *refusal) error {
	s.opts.Counters.Shared().Refuse(r.cause)
	leftOut, ok := s.denials.Allow()
	if !ok {
		return r
	}
	app := "" // none of that name: the path is in what should have been signed
	if c.app != nil {
		app = c.app.ID
	}
	reason := r.text
	if r.cause == metrics.RefusedAPISignature {
		reason = "Invalid signature" // the rest of the text stands in the line by itself
	}
	sent, _ := c.query.get(paramSignature)
	s.opts.Log.Warn("API request not authenticated", "app", app, "cause", r.cause.String(), "reason", reason, "remote", s.client(c).String(),
		"string_to_sign", lograte.Clip(string(c.appendSigned(nil, c.path, formDecoded))), "sent", lograte.Signature(string(sent)),
		"more_since_last", leftOut)
	return r
}

// client is the address that a request is from, behind proxies that are trusted.
func (s *Server) client(c *call) net.Addr {
	peer := transport.Peer{Addr: c.ctx.RemoteAddr()}
	if !s.opts.Proxies.Any() {
		return peer.Addr
	}
	lines := bytes.Join(c.ctx.Request.Header.PeekAll("X-Forwarded-For"), []byte{','})
	return s.opts.Proxies.Client(peer, string(lines), "").Addr
}

// segment returns an argument of the path, percent-decoded once (PROTOCOL 4.22).
// The string is a view of the request.
func (c *call) segment(i int) string {
	raw := c.args[i]
	for _, b := range raw {
		if b == '%' {
			return string(appendDecoded(nil, raw, formPercents))
		}
	}
	return view(raw)
}

// cut keeps what a request sent from growing the answer about it.
func cut(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	n := most
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
