package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"

	"dunlin/internal/testkit"
)

// authority is Pebble, the test server of Let's Encrypt, which looks for every name
// on this machine.
type authority struct {
	*httptest.Server
	ca      *ca.CAImpl
	ready   chan struct{} // closed once it knows where to look
	handler http.Handler  // after ready
	orders  atomic.Int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{ready: make(chan struct{})}
	a.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-a.ready
		if strings.Contains(r.URL.Path, "order-plz") {
			a.orders.Add(1)
		}
		a.handler.ServeHTTP(w, r)
	}))
	t.Cleanup(a.Close)
	return a
}

// lookAt has it check names on that port.
func (a *authority) lookAt(t *testing.T, address string) {
	t.Helper()
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	quiet, store := log.New(io.Discard, "", 0), db.NewMemoryStore()
	a.ca = ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {}})
	check := va.New(quiet, 1, port, true, nameServer(t), store)
	impl := wfe.New(quiet, store, check, a.ca, []string{"pebble.example"}, true, false, 0, 0)
	a.handler = impl.Handler()
	close(a.ready)
}

// roots trusts the authority's certificates.
func (a *authority) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(a.ca.GetRootCert(0).PEM())
	return pool
}

// nameServer says that every name is this machine.
func nameServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		if len(q.Question) == 1 && q.Question[0].Qtype == dns.TypeA {
			m.Answer = []dns.RR{&dns.A{A: net.IPv4(127, 0, 0, 1), Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}}}
		}
		_ = w.WriteMsg(m) // who asked asks again
	})}
	go func() { _ = s.ActivateAndServe() }()
	t.Cleanup(func() { _ = s.Shutdown() })
	return l.Addr().String()
}

// A certificate comes from an ACME authority, for the names that were configured
// and no others, and outlives a restart.
func TestACME(t *testing.T) {
	t.Parallel()
	dir, a := t.TempDir(), newAuthority(t)
	trust := filepath.Join(dir, "authority.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate().Raw})
	if err := os.WriteFile(trust, text, 0o600); err != nil {
		t.Fatal(err)
	}
	begin := func() *testkit.Server {
		return testkit.Start(t, testkit.Options{TLS: true, Env: []string{"SSL_CERT_FILE=" + trust}, Config: fmt.Sprintf(
			"server: {port: 0, drain: 1s, tls: {acme: {domains: [ws.example.com], folder: %s, directory: '%s%s'}}}\nops: {port: 0}\napps:\n%s",
			filepath.Join(dir, "kept"), a.URL, wfe.DirectoryPath, appLine("a", "secret: s"))})
	}
	s := begin()
	a.lookAt(t, s.TLS)
	testkit.Until(t, "a certificate", func() bool { return strings.Contains(s.Log(), `"msg":"certificate","domain":"ws.example.com"`) })
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.roots(), ServerName: "ws.example.com"}}}
	t.Cleanup(client.CloseIdleConnections)
	converse(t, "https://"+s.TLS, client)
	if c, err := tls.Dial("tcp", s.TLS, &tls.Config{RootCAs: a.roots(), ServerName: "other.example.com"}); err == nil {
		c.Close()
		t.Error("there is a certificate for a name that nobody configured")
	}
	s.Signal(os.Interrupt)
	if err := s.Wait(); err != nil {
		t.Fatal(err)
	}
	orders := a.orders.Load()
	again := begin()
	converse(t, "https://"+again.TLS, client)
	if got := a.orders.Load(); got != orders || orders == 0 {
		t.Errorf("%d orders, then %d", orders, got)
	}
}
