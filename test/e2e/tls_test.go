package e2e

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dunlin/internal/client"
	"dunlin/internal/testkit"
	"dunlin/protocol"
)

// tlsServer runs a server with a certificate; more goes into its server section.
func tlsServer(t *testing.T, transport, more, app string) (*testkit.Server, *testkit.Authority, func(serial int64)) {
	t.Helper()
	dir, ca := t.TempDir(), testkit.NewAuthority(t)
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	issue := func(serial int64) { ca.Issue(cert, key, serial) }
	issue(100)
	s := testkit.Start(t, testkit.Options{TLS: true, Env: []string{"DUNLIN_SERVER_TRANSPORT=" + transport}, Config: fmt.Sprintf(
		"server: {port: 0, drain: 1s, tls: {cert: %s, key: %s%s}}\nops: {port: 0}\napps:\n%s", cert, key, more, appLine("a", "secret: s"+app))})
	return s, ca, issue
}

// converse is a whole conversation: a client, a private channel, a trigger.
func converse(t *testing.T, base string, http *http.Client) {
	t.Helper()
	ctx := testkit.Context(t)
	c, err := client.Dial(ctx, base, "a-key", client.Options{HTTPClient: http})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Drop)
	api := client.NewAPI(base, "a", "a-key", protocol.NewSecret("s"))
	api.HTTPClient = http
	if err := c.Subscribe(ctx, "private-p", api.Authorize(c.SocketID(), "private-p", "")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Await(ctx, client.SubscriptionSucceeded, "private-p"); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 9000) // more than a TLS record has room for, in one turn
	for range 4 {
		if _, err := api.Trigger(ctx, client.Publication{Name: "e", Data: long, Channel: "private-p"}); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 {
		if e, err := c.Await(ctx, "e", "private-p"); err != nil || e.Text() != long {
			t.Fatal(len(e.Text()), err)
		}
	}
}

// sentToTLS connects, and wants to be told with 4000 to use TLS.
func sentToTLS(t *testing.T, base string, header http.Header) {
	t.Helper()
	_, err := client.Dial(testkit.Context(t), base, "a-key", client.Options{Header: header})
	if end, ok := err.(*client.CloseError); !ok || end.Code != 4000 || end.Cause == nil {
		t.Errorf("%s: %v, want the code 4000", base, err)
	}
}

// PROTOCOL 1.1, 1.35, 5.15: the port speaks TLS, and who comes without hears 4000.
func TestTLS(t *testing.T) {
	t.Parallel()
	for _, transport := range transports() {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			s, ca, _ := tlsServer(t, transport, "", "")
			if s.Addr != "" {
				t.Errorf("it listens without TLS, too: %s", s.Addr)
			}
			converse(t, "https://"+s.TLS, ca.Client())
			sentToTLS(t, "http://"+s.TLS, nil)
			r, err := http.Get("http://" + s.TLS + "/apps/a/channels")
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			if text, _ := io.ReadAll(r.Body); r.StatusCode != 400 || !strings.Contains(string(text), "https://") {
				t.Errorf("without TLS: %s %s", r.Status, text)
			}
			if got := s.Metric(`dunlin_drops_total{reason="plain"}`); got != 2 {
				t.Errorf("%v plain connections were counted", got)
			}
		})
	}
}

// A second port, and an app that wants TLS: 4000 on the one, welcome on the other.
func TestForcedTLS(t *testing.T) {
	t.Parallel()
	s, ca, _ := tlsServer(t, "auto", ", port: 0", ", force_tls: true")
	sentToTLS(t, "http://"+s.Addr, nil)
	converse(t, "https://"+s.TLS, ca.Client())
	// A header of somebody who is no trusted proxy means nothing.
	sentToTLS(t, "http://"+s.Addr, http.Header{"X-Forwarded-Proto": {"https"}, "X-Forwarded-For": {"10.0.0.1"}})
}

// A trusted proxy has terminated TLS.
func TestForcedTLSBehindAProxy(t *testing.T) {
	t.Parallel()
	for _, transport := range transports() {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			s := testkit.Start(t, testkit.Options{Env: []string{"DUNLIN_SERVER_TRANSPORT=" + transport},
				Config: "server: {port: 0, drain: 1s, trusted_proxies: [127.0.0.0/8]}\nops: {port: 0}\napps:\n" + appLine("a", "secret: s, force_tls: true")})
			sentToTLS(t, "http://"+s.Addr, nil)
			sentToTLS(t, "http://"+s.Addr, http.Header{"X-Forwarded-Proto": {"http"}})
			c, err := client.Dial(testkit.Context(t), "http://"+s.Addr, "a-key", client.Options{Header: http.Header{"X-Forwarded-Proto": {"https"}}})
			if err != nil {
				t.Fatal(err)
			}
			c.Drop()
		})
	}
}

// New connections get a new certificate; those that are open stay.
func TestCertificateIsReplaced(t *testing.T) {
	t.Parallel()
	s, ca, issue := tlsServer(t, "auto", "", "")
	open, err := client.Dial(testkit.Context(t), "https://"+s.TLS, "a-key", client.Options{HTTPClient: ca.Client()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(open.Drop)
	serial := func() int64 {
		c, err := tls.Dial("tcp", s.TLS, ca.TLS())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if got := serial(); got != 100 {
		t.Fatalf("certificate %d", got)
	}
	issue(101)
	testkit.Until(t, "the new certificate", func() bool { return serial() == 101 })
	pinged(t, open)
}

// An upgrade that comes behind an HTTP request on the same connection stays on its
// TLS.
func TestUpgradeBehindARequestOverTLS(t *testing.T) {
	t.Parallel()
	s, ca, _ := tlsServer(t, "auto", ", port: 0", ", force_tls: true")
	c, err := tls.Dial("tcp", s.TLS, ca.TLS())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(testkit.Patience))
	io.WriteString(c, "GET /live HTTP/1.1\r\nHost: x\r\n\r\n")
	in := bufio.NewReader(c)
	r, err := http.ReadResponse(in, nil)
	if err != nil || r.StatusCode != 200 {
		t.Fatal(r, err)
	}
	io.Copy(io.Discard, r.Body)
	io.WriteString(c, "GET /app/a-key?protocol=7 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	want := "pusher:connection_established"
	var got strings.Builder
	for buf := make([]byte, 1<<10); !strings.Contains(got.String(), want); {
		n, err := in.Read(buf)
		if got.Write(buf[:n]); err != nil {
			t.Fatalf("%v after %q", err, got.String())
		}
	}
}

// What is no TLS, or stops in the middle of it, costs the others nothing.
func TestAttacksOnTLS(t *testing.T) {
	t.Parallel()
	s, ca, _ := tlsServer(t, "auto", "", "")
	for _, bytes := range []string{"\x16", "\x16\x03\x01\xff\xff", "\x16\x03\x01\x00\x05\x01\xff\xff\xff\xff", "\x00\x00\x00\x00", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n\r\n"} {
		c, err := net.Dial("tcp", s.TLS)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, bytes)
		c.(*net.TCPConn).CloseWrite()
		c.SetDeadline(time.Now().Add(testkit.Patience))
		io.Copy(io.Discard, c)
		c.Close()
	}
	if got := s.Metric(`dunlin_drops_total{reason="tls"}`); got != 3 {
		t.Errorf("%v failed handshakes were counted", got)
	}
	converse(t, "https://"+s.TLS, ca.Client())
}

// The log names the client, not the proxy, and nobody else can make it name
// somebody.
func TestClientBehindAProxy(t *testing.T) {
	t.Parallel()
	for trusted, want := range map[string]string{"127.0.0.1": "10.1.2.3:0", "10.0.0.0/8": "127.0.0.1:"} {
		t.Run(trusted, func(t *testing.T) {
			t.Parallel()
			s := testkit.Start(t, testkit.Options{Config: "server: {port: 0, drain: 1s, trusted_proxies: [" + trusted + "]}\nops: {port: 0}\napps:\n" + appLine("a", "secret: s")})
			r, err := http.NewRequest("GET", "http://"+s.Addr+"/apps/a/channels?auth_key=a-key", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("X-Forwarded-For", "6.6.6.6, 10.1.2.3")
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			testkit.Until(t, "the log names "+want, func() bool { return strings.Contains(s.Log(), `"remote":"`+want) })
		})
	}
}
