package httpapi

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// TestPaths: 404 and 405 in plain text; paths are matched as they were sent.
//
// PROTOCOL 5.60, 5.61.
func TestPaths(t *testing.T) {
	t.Parallel()
	f := start(t)
	for _, v := range []struct {
		method, target string
		status         int
		allow          string
	}{
		{"GET", "/nothing", 404, ""},
		{"GET", "//", 404, ""},
		{"GET", "//live", 404, ""},
		{"GET", "/live/", 404, ""},
		{"GET", "/apps", 404, ""},
		{"GET", "/apps/3", 404, ""},
		{"POST", "/apps//events", 404, ""},
		{"POST", "/apps/3/events/", 404, ""},
		{"POST", "/apps/3/./events", 404, ""},
		{"POST", "/apps/3/x/../events", 404, ""},
		{"POST", "/apps/3%2Fevents", 404, ""},
		{"GET", "/apps/3/channels/a/users/b", 404, ""},
		{"GET", "/apps/3/channels//users", 404, ""},
		{"GET", "/apps/3/channels/", 404, ""},
		{"GET", "/app/" + testKey, 404, ""},
		{"GET", "/apps/3/events", 405, "POST, OPTIONS"},
		{"DELETE", "/apps/3/events", 405, "POST, OPTIONS"},
		{"post", "/apps/3/events", 405, "POST, OPTIONS"},
		{"POST", "/apps/3/channels", 405, "GET, HEAD, OPTIONS"},
		{"PUT", "/apps/3/channels/a/users", 405, "GET, HEAD, OPTIONS"},
		{"POST", "/", 405, "GET, HEAD, OPTIONS"},
		{"POST", "/live", 405, "GET, HEAD, OPTIONS"},
	} {
		text := map[int]string{404: "Not found", 405: "Method not allowed"}[v.status]
		got := f.send(request(v.method, v.target, ""))
		f.refused(got, v.status, text)
		if a := got.header.Get("Allow"); a != v.allow {
			t.Errorf("%s %s: Allow %q, want %q", v.method, v.target, a, v.allow)
		}
	}
}

// TestPathPrefix: the API is served with and without the prefix, and a signature
// over either path counts (Soketi).
//
// PROTOCOL 5.11.
func TestPathPrefix(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"/ws", "ws/"} {
		f := start(t, func(o *Options) { o.PathPrefix = prefix })
		p := app3.params("")
		query := "?" + strings.Join(p, "&") + "&auth_signature="
		plain, full := "/apps/3/channels", "/ws/apps/3/channels"
		for _, sent := range []string{plain, full} {
			for _, signed := range []string{plain, full} {
				got := f.send(request("GET", sent+query+app3.signature("GET", signed, p), ""))
				if ok := got.status == 200; ok != (sent == full || signed == plain) {
					t.Errorf("prefix %q, sent %s, signed %s: %d", prefix, sent, signed, got.status)
				}
			}
		}
		for target, want := range map[string]int{"/": 200, "/ws": 200, "/ws/": 200, "/ws/live": 200, "/live": 200, "/wsx": 404, "/wslive": 404} {
			if got := f.send(request("GET", target, "")); got.status != want {
				t.Errorf("%s: %d, want %d", target, got.status, want)
			}
		}
		got := f.send(request("GET", full+query+"x", ""))
		if !strings.Contains(got.body, `"GET\n/apps/3/channels\n`) {
			t.Errorf("%s", got.body)
		}
	}
}

// TestAbsoluteTarget: a request line may name the host (RFC 9112 §3.2.2).
func TestAbsoluteTarget(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.expect(f.send(request("GET", "http://dunlin.test"+app3.target("GET", "/apps/3/channels", ""), "")), 200, `{"channels":{}}`)
	f.expect(f.send(request("GET", "http://dunlin.test", "")), 200, "OK")
}

// TestCORS: any page may read any answer, and every preflight succeeds.
//
// PROTOCOL 7.4.
func TestCORS(t *testing.T) {
	t.Parallel()
	f := start(t)
	for _, target := range []string{"/", "/apps/3/events", "/apps/unknown/events", "/nothing", "*"} {
		got := f.send(request("OPTIONS", target, "", "Origin: https://page.test", "Access-Control-Request-Method: POST"))
		f.expect(got, 204, "")
		for header, want := range map[string]string{
			"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": "POST, GET, HEAD, OPTIONS",
			"Access-Control-Max-Age": "86400",
		} {
			if h := got.header.Get(header); h != want {
				t.Errorf("%s: %s %q", target, header, h)
			}
		}
		if !strings.Contains(got.header.Get("Access-Control-Allow-Headers"), "Content-Type") {
			t.Errorf("%s: Content-Type is not allowed", target)
		}
	}
	for _, raw := range []string{
		request("GET", "/", ""), request("GET", "/ready", ""), request("GET", "/nothing", ""), request("PUT", "/", ""),
		request("POST", "/apps/3/events", ""), app3.request("GET", "/apps/3/channels", ""), "nonsense\r\n\r\n",
	} {
		if got := f.send(raw); got.header.Get("Access-Control-Allow-Origin") != "*" || got.header.Get("Server") != "" {
			t.Errorf("%.40q: headers %v", raw, got.header)
		}
	}
}

// TestHead answers like GET, without the body; it signs its own method.
func TestHead(t *testing.T) {
	t.Parallel()
	f := start(t)
	for raw, length := range map[string]string{
		request("HEAD", "/", ""):                           "2",
		request("HEAD", "/live", ""):                       "2",
		app3.request("HEAD", "/apps/3/channels", ""):       "15",
		request("HEAD", "/ready", "", "Connection: close"): "14",
	} {
		got := f.send(raw)
		if got.status != 200 || got.body != "" || got.header.Get("Content-Length") != length {
			t.Errorf("%.40q: %d, length %s", raw, got.status, got.header.Get("Content-Length"))
		}
	}
}

// TestHealth: PITFALLS 28.
func TestHealth(t *testing.T) {
	t.Parallel()
	f := start(t)
	live := func() {
		t.Helper()
		f.expect(f.send(request("GET", "/", "")), 200, "OK")
		f.expect(f.send(request("GET", "/live", "")), 200, "OK")
	}
	live()
	f.expect(f.send(request("GET", "/ready?x=y", "")), 200, `{"ready":true}`)
	f.expect(f.send(request("GET", "/up", "")), 200, `{"health":"OK"}`)
	for _, v := range []struct {
		health error
		want   string
	}{
		{errors.New("redis down: \"dial\""), `{"ready":false,"reasons":["redis down: \"dial\""]}`},
		{errors.Join(errors.New("one"), fmt.Errorf("two: %w", io.EOF)), `{"ready":false,"reasons":["one","two: EOF"]}`},
	} {
		f.engine.health = v.health
		got := f.send(request("GET", "/ready", ""))
		f.expect(got, 503, v.want)
		if ct := got.header.Get("Content-Type"); ct != "application/json" {
			t.Errorf("content type %q", ct)
		}
		live()
	}
}

// TestAcceptTraffic: a node that is ready may want no new connections.
func TestAcceptTraffic(t *testing.T) {
	t.Parallel()
	var why error
	f := build(t, func(o *Options) { o.Accept = func() error { return why } })
	f.expect(f.direct("GET", "/accept-traffic", ""), 200, `{"ready":true}`)
	why = errors.New("memory")
	f.expect(f.direct("GET", "/accept-traffic", ""), 503, `{"ready":false,"reasons":["memory"]}`)
	f.expect(f.direct("GET", "/ready", ""), 200, `{"ready":true}`)
	f.server.draining.Store(true)
	f.expect(f.direct("GET", "/accept-traffic", ""), 503, `{"ready":false,"reasons":["shutting down","memory"]}`)
}
