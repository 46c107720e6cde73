package httpapi

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"log/slog"
	"strconv"
	"time"
	"unicode/utf8"

	"dunlin/protocol"
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
		return errUnknownApp
	}
	return s.authorize(c)
}

// authenticateByKey finds the app by its key, for a path that names none.
func (s *Server) authenticateByKey(c *call) error {
	key, _ := c.query.get(paramKey)
	if c.app = s.opts.Apps.ByKey(string(key)); c.app == nil {
		return unknownKey(key)
	}
	return s.authorize(c)
}

func (s *Server) authorize(c *call) error {
	if err := s.credentials(c); err != nil {
		s.explain(c, err)
		return err
	}
	if !c.app.Enabled {
		return errDisabled
	}
	return nil
}

func (s *Server) credentials(c *call) error {
	if err := s.checkKey(c); err != nil {
		return err
	}
	if err := checkVersion(&c.query); err != nil {
		return err
	}
	if err := checkTimestamp(&c.query, s.opts.Now()); err != nil {
		return err
	}
	if !c.verify() {
		return c.invalidSignature()
	}
	return checkMD5(&c.query, c.ctx.PostBody())
}

func (s *Server) checkKey(c *call) error {
	key, _ := c.query.get(paramKey)
	switch {
	case len(key) > 0 && string(key) == c.app.Key:
		return nil
	case s.opts.Apps.ByKey(string(key)) == nil:
		return unknownKey(key)
	default:
		return unauthorized("App key " + cut(string(key)) + " is not a key of app " + c.app.ID)
	}
}

func unknownKey(key []byte) error {
	if len(key) == 0 {
		return unauthorized("Missing parameter: " + paramKey)
	}
	return unauthorized(protocol.ErrUnknownKey(cut(string(key))).Message)
}

func checkVersion(q *query) error {
	switch version, _ := q.get(paramVersion); {
	case len(version) == 0:
		return unauthorized("Version required")
	case string(version) != authVersion:
		return unauthorized("Version not supported")
	}
	return nil
}

func checkTimestamp(q *query, now time.Time) error {
	value, ok := q.get(paramTimestamp)
	if !ok {
		return unauthorized("Timestamp required")
	}
	given := leadingInt(value)
	if d := given - now.Unix(); d > -grace && d < grace {
		return nil
	}
	return unauthorized("Timestamp expired: Given timestamp (" + iso8601(time.Unix(given, 0)) +
		") not within " + strconv.Itoa(grace) + "s of server time (" + iso8601(now) + ")")
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
func (c *call) invalidSignature() error {
	c.scratch = c.appendSigned(c.scratch[:0], c.path, formDecoded)
	b := inspect([]byte("Invalid signature: you should have sent HmacSHA256Hex("), c.scratch)
	b = append(b, ", your_secret_key), but you sent "...)
	if sent, ok := c.query.get(paramSignature); ok {
		b = inspect(b, sent)
	} else {
		b = append(b, "nil"...)
	}
	return unauthorized(string(b))
}

// checkMD5 compares the body with what the signature covers: its claimed MD5
// (PROTOCOL 5.9, 5.10).
func checkMD5(q *query, body []byte) error {
	claimed, ok := q.get(paramMD5)
	if !ok {
		if len(body) == 0 {
			return nil
		}
		return unauthorized("Missing parameter: " + paramMD5)
	}
	sum := md5.Sum(body)
	var want [2 * md5.Size]byte
	hex.Encode(want[:], sum[:])
	if !bytes.EqualFold(claimed, want[:]) {
		return unauthorized("Invalid body_md5: the MD5 of the request body is " + string(want[:]))
	}
	return nil
}

// explain tells the operator why a request was turned away, if asked to.
func (s *Server) explain(c *call, err error) {
	log := s.opts.Log
	if !log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	signed := c.appendSigned(nil, c.path, formDecoded)
	log.Debug("request not authenticated", "app", c.app.ID, "remote", c.ctx.RemoteAddr().String(),
		"reason", err.Error(), "string_to_sign", string(signed))
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
