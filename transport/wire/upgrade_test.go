package wire

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"dunlin/transport"
)

const upgradeHeaders = "Host: h\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

func request(target, more string) []byte {
	return []byte("GET " + target + " HTTP/1.1\r\n" + upgradeHeaders + more + "\r\n")
}

func TestClassify(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		prefix, bytes string
		want          Verdict
	}{
		{"", "", Undecided},
		{"", "G", Undecided},
		{"", "GET /app", Undecided},
		{"", "GET /app/", WebSocket},
		{"", "GET /app/key?x HTTP/1.1\r\n", WebSocket},
		{"", "GET /apps/1/channels", HTTP},
		{"", "POST", HTTP},
		{"", "\x16\x03\x01", HTTP},
		{"", "get /app/", HTTP},
		{"/ws", "GET /app/", HTTP},
		{"/ws", "GET /ws/app/k", WebSocket},
		{"/ws", "GET /ws/apps", HTTP},
	} {
		if got := NewDoor(c.prefix).Classify([]byte(c.bytes)); got != c.want {
			t.Errorf("prefix %q, %q: %d, want %d", c.prefix, c.bytes, got, c.want)
		}
	}
}

func TestHeaderEnd(t *testing.T) {
	t.Parallel()
	const text = "GET / HTTP/1.1\r\nA: b\r\n\r\nrest"
	end := strings.Index(text, "rest")
	for i := range len(text) + 1 {
		want := 0
		if i >= end {
			want = end
		}
		for searched := range min(i, end-1) + 1 {
			if got := HeaderEnd([]byte(text[:i]), searched); got != want {
				t.Fatalf("%d bytes, %d searched: %d, want %d", i, searched, got, want)
			}
		}
	}
}

// PROTOCOL 1.1, 1.4–1.6
func TestUpgrade(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, prefix string
		request      []byte
		want         transport.Handshake
		protocol     string
	}{
		{"plain", "", request("/app/key?protocol=7&client=js", ""), transport.Handshake{Path: "/app/key", Key: "key", OnPath: true, Query: "protocol=7&client=js"}, ""},
		{"prefix", "/x", request("/x/app/k", ""), transport.Handshake{Path: "/x/app/k", Key: "k", OnPath: true}, ""},
		{"escaped key", "", request("/app/a%2Fb", ""), transport.Handshake{Path: "/app/a%2Fb", Key: "a/b", OnPath: true}, ""},
		{"badly escaped key", "", request("/app/a%zz", ""), transport.Handshake{Path: "/app/a%zz", Key: "a%zz", OnPath: true}, ""},
		{"other path", "", request("/socket?x", ""), transport.Handshake{Path: "/socket", Query: "x"}, ""},
		{"absolute", "", request("http://h:80/app/k?q", ""), transport.Handshake{Path: "/app/k", Key: "k", OnPath: true, Query: "q"}, ""},
		{"absolute without path", "", request("http://h", ""), transport.Handshake{Path: "/"}, ""},
		{"origin", "", request("/app/k", "oRiGin: https://a.b\r\n"), transport.Handshake{Path: "/app/k", Key: "k", OnPath: true, Origin: "https://a.b"}, ""},
		{"subprotocol", "", request("/app/k", "Sec-WebSocket-Protocol: chat, pusher-channels-protocol-7\r\n"), transport.Handshake{Path: "/app/k", Key: "k", OnPath: true}, Subprotocol},
		{"other subprotocol", "", request("/app/k", "Sec-WebSocket-Protocol: chat\r\n"), transport.Handshake{Path: "/app/k", Key: "k", OnPath: true}, ""},
		{"deflate", "", request("/app/k", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"), transport.Handshake{Path: "/app/k", Key: "k", OnPath: true}, ""},
		{"large cookie", "", request("/app/k", "Cookie: "+strings.Repeat("c", 15_000)+"\r\n"), transport.Handshake{Path: "/app/k", Key: "k", OnPath: true}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h, response, err := NewUpgrader(c.prefix, false).Upgrade(c.request)
			if err != nil || h != c.want {
				t.Fatalf("%+v, %v; want %+v", h, err, c.want)
			}
			r := parseResponse(t, response)
			if r.StatusCode != 101 || r.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
				t.Errorf("response %q", response)
			}
			if got := r.Header.Get("Sec-WebSocket-Protocol"); got != c.protocol {
				t.Errorf("protocol %q, want %q", got, c.protocol)
			}
			if _, given := r.Header["Sec-Websocket-Extensions"]; given {
				t.Error("an extension was accepted")
			}
		})
	}
}

func TestUpgradeRefused(t *testing.T) {
	t.Parallel()
	without := func(header string) []byte {
		return []byte(strings.Replace(string(request("/app/k", "")), header, "X: y", 1))
	}
	for _, c := range []struct {
		name    string
		request []byte
		status  int
	}{
		{"a browser", []byte("GET /app/k HTTP/1.1\r\nHost: h\r\n\r\n"), 426},
		{"empty version", []byte(strings.Replace(string(request("/app/k", "")), "Version: 13", "Version: ", 1)), 426},
		{"version 8", []byte(strings.Replace(string(request("/app/k", "")), "Version: 13", "Version: 8", 1)), 426},
		{"no version", without("Sec-WebSocket-Version: 13"), 400},
		{"no key", without("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 400},
		{"no connection", without("Connection: keep-alive, Upgrade"), 400},
		{"no host", without("Host: h"), 400},
		{"upgrade to h2c", []byte(strings.Replace(string(request("/app/k", "")), "websocket", "h2c", 1)), 400},
		{"http 1.0", []byte(strings.Replace(string(request("/app/k", "")), "HTTP/1.1", "HTTP/1.0", 1)), 505},
		{"post", []byte(strings.Replace(string(request("/app/k", "")), "GET", "POST", 1)), 405},
		{"bare line feed", []byte(strings.Replace(string(request("/app/k", "")), "Host: h\r\n", "Host: h\n", 1)), 400},
		{"no http", []byte("GET /app/k\r\n\r\n"), 400},
		{"line without colon", request("/app/k", "nonsense\r\n"), 400},
		{"too large", request("/app/k", "Cookie: "+strings.Repeat("c", MaxHeader)+"\r\n"), 431},
		{"nothing", nil, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := NewUpgrader("", false).Upgrade(c.request)
			refused, ok := err.(*Refusal)
			if !ok || refused.Status != c.status {
				t.Fatalf("%v, want status %d", err, c.status)
			}
			r := parseResponse(t, refused.Response())
			body, err := io.ReadAll(r.Body)
			if err != nil || r.StatusCode != c.status || !bytes.HasSuffix(body, []byte("\n")) {
				t.Errorf("%d %q, %v", r.StatusCode, body, err)
			}
			if c.status == 426 && (r.Header.Get("Sec-WebSocket-Version") != "13" || r.Header.Get("Upgrade") != "websocket") {
				t.Errorf("header of 426: %v", r.Header)
			}
		})
	}
}

func parseResponse(t testing.TB, b []byte) *http.Response {
	r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b)), nil)
	if err != nil {
		t.Fatalf("%q: %v", b, err)
	}
	return r
}

func FuzzUpgrade(f *testing.F) {
	f.Add(request("/app/k", "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=\"10\", permessage-deflate\r\n"))
	f.Add(request("/app/k?protocol=7", "Sec-WebSocket-Protocol: pusher-channels-protocol-7\r\nOrigin: http://a\r\n"))
	f.Add(request("http://h/app/%6b", "Sec-WebSocket-Extensions: permessage-deflate\r\n"))
	f.Add([]byte("GET /app/k HTTP/1.1\r\nHost: h\r\n\r\n"))
	f.Add([]byte("GET /app/k HTTP/1.1\n\n"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		n := HeaderEnd(b, 0)
		if n == 0 {
			return
		}
		h, response, err := NewUpgrader("", true).Upgrade(b[:n])
		if err == nil {
			if r := parseResponse(t, response); r.StatusCode != 101 {
				t.Fatalf("status %d without an error", r.StatusCode)
			}
			if h.OnPath && NewDoor("").Classify(b) == HTTP && !bytes.Contains(b, []byte("://")) {
				t.Fatal("on the path, but not for the door")
			}
			return
		}
		if refused := err.(*Refusal); parseResponse(t, refused.Response()).StatusCode != refused.Status {
			t.Fatalf("response does not say %d", refused.Status)
		}
	})
}

// BenchmarkClassify is what the door costs a connection.
func BenchmarkClassify(b *testing.B) {
	d := NewDoor("")
	for _, path := range []string{"/app/key?protocol=7", "/apps/app-id/events"} {
		request := []byte("GET " + path + " HTTP/1.1\r\n")
		b.Run(strings.Split(path, "/")[1], func(b *testing.B) {
			for b.Loop() {
				if d.Classify(request) == Undecided {
					b.Fatal("undecided")
				}
			}
		})
	}
}

func BenchmarkUpgrade(b *testing.B) {
	r := request("/app/key?protocol=7&client=js&version=8.6.0&flash=false", "Origin: https://example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n")
	u := NewUpgrader("", false)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := u.Upgrade(r); err != nil {
			b.Fatal(err)
		}
	}
}
