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
//
// PROTOCOL 5.2, 5.4, 5.5, 5.7.
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
			"/users/" + value + "/terminate_connections?" + key,
			"/users/a/terminate_connections?" + vectorQuery + "&" + key + "=" + value,
			"/apps/3/channels/a/events?" + vectorQuery + "&" + key + "=" + value,
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
//
// PROTOCOL 5.16, 5.17, 5.29, 5.30; PITFALLS 1.
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

// FuzzPaths: a channel and a user of any bytes in the path, with a body of any
// bytes, are what the hub gets, decoded once, or are refused; nothing panics.
//
// PROTOCOL 4.22, 5.49, 5.50, 5.51.
func FuzzPaths(f *testing.F) {
	for _, s := range [][2]string{
		{"a", "d"}, {"a@b=c,d;e", `{"x":"é"}`}, {"a%40b", "\x00\"\\\n"}, {"#server-to-user-1", ""}, {"a b", "\xff"}, {"%2541", "{}"}, {"a/b", "null"},
		{"", "{}"}, {strings.Repeat("x", 201), strings.Repeat("\"", 10241)}, {"\xff", "d"}, {"a?b&c", "d"}, {"%", "[1"},
	} {
		f.Add(s[0], s[1])
	}
	fix := build(f)
	f.Fuzz(func(t *testing.T, name, body string) {
		fix.engine.published, fix.engine.ended = nil, nil
		segment := url.PathEscape(name)
		channel := "/apps/3/channels/" + segment
		got := fix.direct("POST", app3.target("POST", channel+"/events", body, "name=e"), body)
		events := fix.engine.events()
		switch {
		case got.status == 202:
			var m struct{ Event, Data, Channel string }
			if len(events) != 1 || json.Unmarshal([]byte(events[0]), &m) != nil || m.Event != "e" || m.Data != body || m.Channel != name {
				t.Errorf("published %q to %q: %q", body, name, events)
			}
		case len(events) > 0, got.status < 400, got.status >= 500:
			t.Errorf("%d with events %q", got.status, events)
		}
		if stats := fix.direct("GET", app3.target("GET", channel+"/stats", ""), ""); (stats.status == 200) != json.Valid([]byte(stats.body)) {
			t.Errorf("stats of %q: %d %q", name, stats.status, stats.body)
		}
		terminates(t, fix, name, body)
		if n := fix.counters.Drops(metrics.DropPanic); n > 0 {
			t.Fatal("panic")
		}
	})
}

// terminates asks by both paths to terminate a user.
func terminates(t *testing.T, fix *fixture, user, body string) {
	for i, path := range []string{"/apps/3/users/", "/users/"} {
		path += url.PathEscape(user) + "/terminate_connections"
		got := fix.direct("POST", app3.target("POST", path, body), body)
		if ok := len(fix.engine.ended) == i+1 && fix.engine.ended[i] == "3/"+user; ok != (got.status == 200) || !ok && len(fix.engine.ended) > 0 {
			t.Errorf("%s: %d %q, terminated %q", path, got.status, got.body, fix.engine.ended)
		}
	}
}
