package httpapi

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"

	"dunlin/metrics"
	"time"

	"dunlin/apps"
)

const vectorBody = `{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}`

const vectorQuery = "auth_key=" + testKey + "&auth_timestamp=1353088179&auth_version=1.0"

// TestVectorsOverHTTP sends the vectors as requests.
//
// PROTOCOL 5.1, 5.3, 5.10.
func TestVectorsOverHTTP(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.expect(f.send(request("POST", "/apps/3/events?"+vectorQuery+
		"&body_md5=ec365a775a4cd0599faeb73354201b6f"+
		"&auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c", vectorBody)), 200, "{}")
	f.expect(f.send(request("GET", "/apps/3/channels?"+vectorQuery+"&filter_by_prefix=presence-&info=user_count"+
		"&auth_signature=16819168891cb5dfd72b5c7a5d3d602605b26c6ba1930033b5e2eeeb65010291", "")), 200, `{"channels":{}}`)
	// Python claims the MD5 of nothing on every GET (PROTOCOL 5.10).
	f.expect(f.send(request("GET", "/apps/3/channels?"+vectorQuery+"&body_md5=d41d8cd98f00b204e9800998ecf8427e"+
		"&auth_signature=5c3cd75022c4f62c35ad22f6a9cce366c860477a3b7092ca790ecfc17e6af302", "")), 200, `{"channels":{}}`)
	want := `{"event":"foo","data":"{\"some\":\"data\"}","channel":"project-3"}`
	if got := f.engine.events(); len(got) != 1 || got[0] != want {
		t.Errorf("published %q", got)
	}
}

// TestAuthRejections is the table of checks and texts, each check reached with all later
// ones failing too, so that the order counts.
//
// PROTOCOL 5.8, 5.12, 5.13, 5.60.
func TestAuthRejections(t *testing.T) {
	t.Parallel()
	f := start(t)
	const path = "/apps/3/events"
	for _, v := range []struct{ name, query, text string }{
		{"5.12 no key", "auth_version=2", "Missing parameter: auth_key"},
		{"5.12 empty key", "auth_key=&auth_version=2", "Missing parameter: auth_key"},
		{"5.12 unknown key", "auth_key=xyz&auth_version=2",
			"App key xyz not in this cluster. Did you forget to specify the cluster?"},
		{"5.13 another app's key", "auth_key=other-key&auth_version=2", "App key other-key is not a key of app 3"},
		{"5.12 no version", "auth_key=" + testKey, "Version required"},
		{"5.12 wrong version", "auth_key=" + testKey + "&auth_version=2.0", "Version not supported"},
		{"5.12 no timestamp", "auth_key=" + testKey + "&auth_version=1.0", "Timestamp required"},
		{"5.12 stale", "auth_key=" + testKey + "&auth_version=1.0&auth_timestamp=1353087579",
			"Timestamp expired: Given timestamp (2012-11-16T17:39:39Z) not within 600s of server time (2012-11-16T17:49:39Z)"},
		{"5.12 no number", "auth_key=" + testKey + "&auth_version=1.0&auth_timestamp=soon",
			"Timestamp expired: Given timestamp (1970-01-01T00:00:00Z) not within 600s of server time (2012-11-16T17:49:39Z)"},
		{"5.12 absurd", "auth_key=" + testKey + "&auth_version=1.0&auth_timestamp=99999999999999999999999",
			"Timestamp expired: Given timestamp (9999-12-31T23:59:59Z) not within 600s of server time (2012-11-16T17:49:39Z)"},
		{"5.12 no signature", vectorQuery,
			`Invalid signature: you should have sent HmacSHA256Hex("POST\n/apps/3/events\n` + vectorQuery + `", your_secret_key), but you sent nil`},
		{"5.12 bad signature", vectorQuery + "&x=%22%23%7B1%7D&auth_signature=12%22",
			`Invalid signature: you should have sent HmacSHA256Hex("POST\n/apps/3/events\n` + vectorQuery + `&x=\"\#{1}", your_secret_key), but you sent "12\""`},
	} {
		t.Run(v.name, func(t *testing.T) {
			f.refused(f.send(request("POST", path+"?"+v.query, vectorBody)), 401, v.text)
		})
	}
}

// TestTimestampGrace: 599 seconds pass, 600 fail, either way.
//
// PROTOCOL 5.8.
func TestTimestampGrace(t *testing.T) {
	t.Parallel()
	f := start(t)
	for off, want := range map[int64]int{-600: 401, -599: 200, 0: 200, 599: 200, 600: 401} {
		c := app3
		c.at += off
		if got := f.send(c.request("GET", "/apps/3/channels", "")); got.status != want {
			t.Errorf("%+d s: %d %q, want %d", off, got.status, got.body, want)
		}
	}
}

// TestBodyMD5: the claim is covered by the signature, the body by the claim.
//
// PROTOCOL 5.9, 5.10.
func TestBodyMD5(t *testing.T) {
	t.Parallel()
	f := start(t)
	signed := func(body string, params ...string) reply {
		p := append([]string{"auth_key=" + testKey, "auth_timestamp=1353088179", "auth_version=1.0"}, params...)
		const path = "/apps/3/events"
		return f.send(request("POST", path+"?"+strings.Join(p, "&")+
			"&auth_signature="+app3.signature("POST", path, p), body))
	}
	f.refused(signed(vectorBody), 401, "Missing parameter: body_md5")
	for _, claim := range []string{"", "d41d8cd98f00b204e9800998ecf8427e", hexMD5(vectorBody + " ")} {
		f.refused(signed(vectorBody, "body_md5="+claim), 401,
			"Invalid body_md5: the MD5 of the request body is "+hexMD5(vectorBody))
	}
	f.refused(signed("", "body_md5="+hexMD5("x")), 401,
		"Invalid body_md5: the MD5 of the request body is d41d8cd98f00b204e9800998ecf8427e")
	f.expect(signed(vectorBody, "body_md5="+strings.ToUpper(hexMD5(vectorBody))), 200, "{}")
}

// TestWhoseKey: unknown app ids are 404, before anything else; a disabled app is
// 403, to those who may know it; another app's signature is worth nothing here.
//
// PROTOCOL 5.13, 5.60; PITFALLS 22.
func TestWhoseKey(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.refused(f.send(request("GET", "/apps/5/channels", "")), 404, "Unknown app_id")
	off := credentials{"off-key", "off-secret", testTime}
	f.refused(f.send(off.request("GET", "/apps/off/channels", "")), 403, "App is disabled")
	f.refused(f.send(off.request("POST", "/apps/off/events", vectorBody)), 403, "App is disabled")
	off.secret = "guess"
	if got := f.send(off.request("GET", "/apps/off/channels", "")); got.status != 401 {
		t.Errorf("unsigned request to a disabled app: %d", got.status)
	}
	mixed := credentials{testKey, "other-secret", testTime}
	if got := f.send(mixed.request("GET", "/apps/3/channels", "")); got.status != 401 {
		t.Errorf("another app's secret: %d", got.status)
	}
	f.expect(f.send(app3.request("GET", "/apps/%33/channels", "")), 200, `{"channels":{}}`)
}

// TestSeveralSecrets: while secrets rotate, each of them verifies.
//
// PROTOCOL 5.2.
func TestSeveralSecrets(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.apps.Replace([]*apps.App{testApp("3", testKey, "new", "old")})
	for secret, want := range map[string]int{"new": 200, "old": 200, testSecret: 401} {
		c := credentials{testKey, secret, testTime}
		if got := f.send(c.request("GET", "/apps/3/channels", "")); got.status != want {
			t.Errorf("secret %q: %d, want %d", secret, got.status, want)
		}
	}
}

// TestQuerySpellings: what senders do to a query after they signed it. Each sends
// signed, the string whose parameters it signed.
//
// PROTOCOL 5.2, 5.4, 5.5, 5.6, 5.7.
func TestQuerySpellings(t *testing.T) {
	t.Parallel()
	f := start(t)
	const k = "auth_key=" + testKey
	const rest = "&auth_timestamp=1353088179&auth_version=1.0"
	for _, v := range []struct{ name, signed, sent string }{
		{"raw, as Go and Node", k + rest + "&filter_by_prefix=presence-a=@,.;", ""},
		{"escaped, as Ruby and PHP", k + rest + "&filter_by_prefix=presence-a=@,;",
			k + rest + "&filter_by_prefix=presence-a%3D%40%2C%3B"},
		{"lower-case escapes", k + rest + "&info=subscription_count,user_count&filter_by_prefix=presence-a",
			k + rest + "&info=subscription_count%2cuser_count&filter_by_prefix=presence-a"},
		{"plus for space", k + rest + "&x=a b", k + rest + "&x=a+b"},
		{"a raw plus", k + rest + "&x=a+b", ""},
		{"a raw percent", k + rest + "&x=%41", ""},
		{"plus beside escapes", k + rest + "&x=a+b/c", k + rest + "&x=a+b%2Fc"},
		{"upper-case keys", k + rest, "AUTH_KEY=" + testKey + "&Auth_Timestamp=1353088179&auth_VERSION=1.0"},
		{"arrays", k + rest + "&channels[]=b&channels[]=a", ""},
		{"escaped arrays", k + rest + "&channels[]=b&channels[]=a", k + rest + "&channels%5B%5D=b&channels%5B%5D=a"},
		{"nil", k + rest + "&nil=", k + rest + "&nil"},
		{"unsorted", k + rest + "&z=1", "z=1&auth_version=1.0&" + k + "&auth_timestamp=1353088179"},
	} {
		if v.sent == "" {
			v.sent = v.signed
		}
		signature := app3.signature("GET", "/apps/3/channels", byKey(strings.Split(v.signed, "&")))
		// .NET puts the signature first (PROTOCOL 5.6).
		for _, sent := range []string{v.sent + "&auth_signature=" + signature, "auth_signature=" + signature + "&" + v.sent} {
			if got := f.send(request("GET", "/apps/3/channels?"+sent, "")); got.status != 200 {
				t.Errorf("%s: %d %s", v.name, got.status, got.body)
			}
		}
		signature = hexHMAC("wrong", signature)
		if got := f.send(request("GET", "/apps/3/channels?"+v.sent+"&auth_signature="+signature, "")); got.status != 401 {
			t.Errorf("%s with a wrong signature: %d", v.name, got.status)
		}
	}
}

// TestPathSpellings: the raw path is what is signed, the decoded one does as well. The
// channel is the same either way.
//
// PROTOCOL 5.11.
func TestPathSpellings(t *testing.T) {
	t.Parallel()
	f := start(t)
	raw := "/apps/3/channels/a=@,.;b"
	for _, signed := range []string{raw, "/apps/3/channels/" + url.PathEscape("a=@,.;b"), "/apps/3/channels/a%3D%40,.%3Bb"} {
		for _, sent := range []string{raw, "/apps/3/channels/a%3D%40,.%3Bb"} {
			p := app3.params("")
			target := sent + "?" + strings.Join(p, "&") + "&auth_signature=" + app3.signature("GET", signed, p)
			want := 200
			if signed != sent && signed != raw {
				want = 401 // signed what was neither sent nor what that decodes to
			}
			if got := f.send(request("GET", target, "")); got.status != want {
				t.Errorf("signed %s, sent %s: %d, want %d", signed, sent, got.status, want)
			}
		}
	}
}

// TestSignedFormIsUsed: what the handler reads is what was signed, not another
// reading of it.
//
// PROTOCOL 5.4, 5.17.
func TestSignedFormIsUsed(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.expect(f.post("events", "", "channel=a", "data=1+1=2", "name=e"), 200, "{}")
	want := `{"event":"e","data":"1+1=2","channel":"a"}`
	if got := f.engine.events(); len(got) != 1 || got[0] != want {
		t.Errorf("published %q, want %q", got, want)
	}
}

// TestUpperCaseSignature is taken too, as for sockets.
//
// PROTOCOL 2.16, 5.2.
func TestUpperCaseSignature(t *testing.T) {
	t.Parallel()
	f := start(t)
	p := app3.params("")
	sig := strings.ToUpper(app3.signature("GET", "/apps/3/channels", p))
	f.expect(f.send(request("GET", "/apps/3/channels?"+strings.Join(p, "&")+"&auth_signature="+sig, "")), 200, `{"channels":{}}`)
}

// syncBuffer is a log that tests read.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	defer s.mu.Unlock()
	s.mu.Lock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	defer s.mu.Unlock()
	s.mu.Lock()
	return s.b.String()
}

// TestAuthFailureIsExplained: the log has the string that should have been signed, as a
// warning, and never a secret.
//
// PROTOCOL 5.12; PITFALLS 24.
func TestAuthFailureIsExplained(t *testing.T) {
	t.Parallel()
	for _, level := range []slog.Level{slog.LevelWarn, slog.LevelError} {
		var log syncBuffer
		f := start(t, func(o *Options) {
			o.Log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: level}))
		})
		c := credentials{testKey, "wrong", testTime}
		if got := f.send(c.request("GET", "/apps/3/channels", "")); got.status != 401 || strings.Contains(got.body, testSecret) {
			t.Errorf("answer %d %s", got.status, got.body)
		}
		text := log.String()
		want := `"string_to_sign":"GET\n/apps/3/channels\n` + vectorQuery + `"`
		if got := strings.Contains(text, want); got != (level == slog.LevelWarn) {
			t.Errorf("at %v the log says %s", level, text)
		}
		if strings.Contains(text, testSecret) {
			t.Errorf("secret in log: %s", text)
		}
	}
}

// TestAuthFailuresAreCounted: each by its cause, and of a flood of them the log has a
// few lines. The fixture's clock stands still.
func TestAuthFailuresAreCounted(t *testing.T) {
	t.Parallel()
	var log syncBuffer
	f := start(t, func(o *Options) { o.Log = slog.New(slog.NewJSONHandler(&log, nil)) })
	signed := app3.request("GET", "/apps/3/channels", "")
	for _, c := range []struct {
		request string
		cause   metrics.Refusal
	}{
		{credentials{testKey, "wrong", testTime}.request("GET", "/apps/3/channels", ""), metrics.RefusedAPISignature},
		{app3.request("GET", "/apps/nobody/channels", ""), metrics.RefusedAPIApp},
		{credentials{"other-key", "other-secret", testTime}.request("GET", "/apps/3/channels", ""), metrics.RefusedAPIKey},
		{credentials{testKey, testSecret, testTime - 601}.request("GET", "/apps/3/channels", ""), metrics.RefusedAPITimestamp},
		{strings.Replace(signed, "auth_version=1.0", "auth_version=2.0", 1), metrics.RefusedAPIVersion},
		{strings.Replace(app3.request("POST", "/apps/3/events", vectorBody), `{"name"`, `{"nome"`, 1), metrics.RefusedAPIBody},
		{credentials{"off-key", "off-secret", testTime}.request("GET", "/apps/off/channels", ""), metrics.RefusedAPIDisabled},
	} {
		for range 100 {
			f.send(c.request)
		}
		if n := f.counters.Refusals(c.cause); n != 100 {
			t.Errorf("%s: counted %d times", c.cause, n)
		}
	}
	if n := strings.Count(log.String(), "not authenticated"); n != 10 {
		t.Errorf("%d lines in the log", n)
	}
}

// TestReloadBetweenLookups: a registry replaced at any moment never turns a good
// request away.
func TestReloadBetweenLookups(t *testing.T) {
	t.Parallel()
	f := start(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				f.apps.Replace([]*apps.App{testApp("3", testKey, testSecret)})
			}
		}
	})
	nc, br := f.dial()
	for range 200 {
		fmt.Fprint(nc, app3.request("GET", "/apps/3/channels", ""))
		f.expect(f.read(br, "GET"), 200, `{"channels":{}}`)
	}
	close(stop)
	wg.Wait()
}

// TestLeadingInt reads like Ruby's to_i.
func TestLeadingInt(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int64{
		"": 0, "12": 12, "12x": 12, "x12": 0, "-12": -12, "-": 0, "1353088179": testTime,
		"99999999999999999999999999": 253402300799, "-99999999999999999999999999": -253402300799,
	} {
		if got := leadingInt([]byte(in)); got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
	if got := iso8601(time.Unix(testTime, 5e8).In(time.FixedZone("x", 3600))); got != "2012-11-16T17:49:39Z" {
		t.Errorf("iso8601 %s", got)
	}
}
