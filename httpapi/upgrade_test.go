package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// adopted is what Adopt was given.
type adopted struct {
	nc      net.Conn
	request string
}

func adopting(t *testing.T) (*fixture, chan adopted) {
	given := make(chan adopted, 1)
	f := start(t, func(o *Options) {
		o.PathPrefix = "/ws"
		o.Adopt = func(nc net.Conn, request []byte) error {
			given <- adopted{nc, string(request)}
			return nil
		}
	})
	return f, given
}

func receive[T any](t *testing.T, from chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

const upgradeHeaders = "Host: dunlin.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nX-Odd:   two  words \r\n\r\n"

// TestUpgradeIsHandedOver: the request line byte for byte, every header, what was
// read behind the request, and then the socket itself.
func TestUpgradeIsHandedOver(t *testing.T) {
	t.Parallel()
	for _, target := range []string{
		"/app/key?protocol=7&client=js&version=8.6.0&flash=false", "/foo", "/", "//app/%6Bey/../x?a=%zz+", "/ws/app/key",
		"/apps/3/channels",
	} {
		f, given := adopting(t)
		nc, br := f.dial()
		fmt.Fprint(nc, request("GET", "/live", "")) // a keep-alive connection with an HTTP past
		f.expect(f.read(br, "GET"), 200, "OK")

		line := "GET " + target + " HTTP/1.1\r\n"
		fmt.Fprint(nc, line+upgradeHeaders+"\x81\x05early")
		got := receive(t, given)
		head, rest, ok := strings.Cut(got.request, "\r\n\r\n")
		wantHead, _, _ := strings.Cut(line+upgradeHeaders, "\r\n\r\n")
		if !ok || !strings.EqualFold(head, wantHead) || !strings.HasPrefix(head, line[:len(line)-2]) {
			t.Errorf("handed over %q, want %q", head, wantHead)
		}
		if _, ok := got.nc.(*net.TCPConn); !ok {
			t.Errorf("handed over a %T", got.nc)
		}
		if want := "\x81\x05early"; rest != want {
			more := make([]byte, len(want)-len(rest))
			if _, err := io.ReadFull(got.nc, more); err != nil || rest+string(more) != want {
				t.Errorf("behind the request: %q and %q, %v", rest, more, err)
			}
		}
		conversation(t, got.nc, nc)
	}
}

// conversation shows that both ends still reach each other.
func conversation(t *testing.T, server, client net.Conn) {
	t.Helper()
	for _, pair := range [][2]net.Conn{{server, client}, {client, server}} {
		if _, err := io.WriteString(pair[0], "hello"); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 5)
		if _, err := io.ReadFull(pair[1], b); err != nil || string(b) != "hello" {
			t.Fatalf("%q, %v", b, err)
		}
	}
	server.Close()
}

// TestUpgradeWithMuchBehindIt: all that fasthttp had buffered comes along, in
// order.
func TestUpgradeWithMuchBehindIt(t *testing.T) {
	t.Parallel()
	f, given := adopting(t)
	nc, _ := f.dial()
	behind := bytes.Repeat([]byte("0123456789"), 1500)
	fmt.Fprintf(nc, "GET /foo HTTP/1.1\r\n%s%s", upgradeHeaders, behind)
	got := receive(t, given)
	_, rest, _ := strings.Cut(got.request, "\r\n\r\n")
	got.nc.SetReadDeadline(time.Now().Add(10 * time.Second))
	more := make([]byte, len(behind)-len(rest))
	if _, err := io.ReadFull(got.nc, more); err != nil || rest+string(more) != string(behind) {
		t.Errorf("%d and %d bytes, %v", len(rest), len(more), err)
	}
	got.nc.Close()
}

// TestUpgradeTokens: which requests are upgrades.
func TestUpgradeTokens(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		method, upgrade string
		want            bool
	}{
		{"GET", "websocket", true},
		{"GET", "WebSocket", true},
		{"GET", "h2c, websocket", true},
		{"GET", "h2c", false},
		{"GET", "websockets", false},
		{"GET", "", false},
		{"HEAD", "websocket", false},
		{"POST", "websocket", false},
	} {
		f, given := adopting(t)
		nc, br := f.dial()
		fmt.Fprint(nc, request(v.method, "/nothing", "", "Connection: Upgrade", "Upgrade: "+v.upgrade))
		if v.want {
			receive(t, given).nc.Close()
			continue
		}
		if got := f.read(br, v.method); got.status != 404 {
			t.Errorf("%s %q: %d", v.method, v.upgrade, got.status)
		}
		if len(given) != 0 {
			t.Errorf("%s %q was handed over", v.method, v.upgrade)
		}
	}
}

// TestUpgradeWithABody is no upgrade: it could not be replayed as it was sent.
func TestUpgradeWithABody(t *testing.T) {
	t.Parallel()
	f, _ := adopting(t)
	f.refused(f.send(request("GET", "/nothing", "body", "Upgrade: websocket")), 404, "Not found")
}

// TestUpgradeRefused: what Adopt does not take is closed, whether it says so or
// panics (PITFALLS 33).
func TestUpgradeRefused(t *testing.T) {
	t.Parallel()
	for _, adopt := range []func() error{
		func() error { return errors.New("no room") },
		func() error { panic("transport fault") },
	} {
		f := start(t, func(o *Options) {
			o.Adopt = func(net.Conn, []byte) error { return adopt() }
		})
		nc, _ := f.dial()
		fmt.Fprint(nc, "GET /foo HTTP/1.1\r\n"+upgradeHeaders)
		if b, err := io.ReadAll(nc); err != nil || len(b) != 0 {
			t.Errorf("%q, %v", b, err)
		}
	}
}

// TestUpgradeWithoutAdopt is an ordinary request.
func TestUpgradeWithoutAdopt(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.refused(f.send("GET /foo HTTP/1.1\r\n"+upgradeHeaders), 404, "Not found")
}
