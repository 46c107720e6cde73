package httpapi

import (
	"encoding/json"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"dunlin/metrics"
)

// FuzzSignature: a query of any bytes never panics and publishes nothing; the same
// parameters signed are let in, however they were escaped.
func FuzzSignature(f *testing.F) {
	for _, s := range [][2]string{
		{"info", "user_count"}, {"a b", "c+d"}, {"UPPER", "%41"}, {"channels[]", "é&="}, {"", ""}, {"x", "\xff\x00"},
		{"auth_key", "other"}, {"auth_signature", "x"}, {"%", "%%%4"}, {"body_md5", ""}, {"k&l=m", "#{x}"},
	} {
		f.Add(s[0], s[1])
	}
	var log syncBuffer
	fix := build(f, func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	f.Fuzz(func(t *testing.T, key, value string) {
		for _, target := range []string{
			"/apps/3/events?" + key + "=" + value,
			"/apps/3/channels?" + vectorQuery + "&" + key + "=" + value,
			key + "?" + value,
			"/apps/" + key + "/channels/" + value + "?" + vectorQuery,
		} {
			if got := fix.direct("POST", target, value); got.status < 400 {
				t.Errorf("%q: %d", target, got.status)
			}
		}
		if text := log.String(); strings.Contains(text, testSecret) {
			t.Fatal("secret in log")
		}
		log.b.Reset()
		if lower := strings.ToLower(key); reserved(lower) || hasUpperNonASCII(key) {
			return
		}
		params := byKey(append(app3.params(""), strings.ToLower(key)+"="+value))
		query := "auth_signature=" + app3.signature("GET", "/apps/3/channels/a", params) + "&" + vectorQuery +
			"&" + url.QueryEscape(key) + "=" + url.QueryEscape(value)
		got := fix.direct("GET", "/apps/3/channels/a?"+query, "")
		if got.status == 401 {
			t.Errorf("%q: %d %s", query, got.status, got.body)
		}
		if n := len(fix.engine.events()) + int(fix.counters.Drops(metrics.DropPanic)); n != 0 {
			t.Fatalf("%d events or panics", n)
		}
	})
}

func reserved(key string) bool {
	switch key {
	case paramKey, paramMD5, paramSignature, paramTimestamp, paramVersion:
		return true
	}
	return false
}

// hasUpperNonASCII: only ASCII is lower-cased by the server.
func hasUpperNonASCII(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

// FuzzEvents: a signed body of any bytes never panics, never publishes when it is
// refused, and what it publishes is a valid message.
func FuzzEvents(f *testing.F) {
	for _, s := range []string{
		vectorBody, `null`, `{}`, `{"batch":[null]}`, `{"name":"e","data":"d","channels":"abc"}`, `[5]`, `[null]`, ``,
		`{"batch":[{"name":"e","channel":"a","data":"d","info":"user_count"}]}`,
		`{"name":"\ud800","data":"\ud800\u0000","channel":"\u0061"}`, `{"name":"e","data":"d","channel":"#server-to-user-1"}`,
		strings.Repeat("[", 1000), `{"name":"e","data":"d","channel":"a","info":"subscription_count"}`, "{\"name\":\"\xff\"}",
		`{"batch":[{"name":"e","channel":"a","data":"d"},{"name":"e"}]}`, `{"name":"e","name":"f","data":"d","channel":"a"}x`,
	} {
		f.Add(s)
	}
	fix := build(f)
	f.Fuzz(func(t *testing.T, body string) {
		for _, path := range []string{"/apps/3/events", "/apps/3/batch_events"} {
			fix.engine.published = nil
			got := fix.direct("POST", app3.target("POST", path, body), body)
			events := fix.engine.events()
			switch {
			case got.status == 200:
				if !json.Valid([]byte(got.body)) {
					t.Errorf("answer %q", got.body)
				}
			case got.status != 400 && got.status != 413, len(events) > 0, !strings.HasSuffix(got.body, "\n"):
				t.Errorf("%d %q with %d events", got.status, got.body, len(events))
			}
			for _, e := range events {
				var m struct{ Event, Data, Channel *string }
				if err := json.Unmarshal([]byte(e), &m); err != nil || m.Event == nil || m.Data == nil || m.Channel == nil {
					t.Errorf("published %q: %v", e, err)
				}
			}
		}
		if n := fix.counters.Drops(metrics.DropPanic); n > 0 {
			t.Fatal("panic")
		}
	})
}
