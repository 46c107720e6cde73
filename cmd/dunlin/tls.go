package main

import (
	"crypto/tls"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync/atomic"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"dunlin/internal/lograte"
	"dunlin/transport"
)

// certificate is what handshakes are answered with: one that can be replaced while
// they are, or one that an authority gives over ACME.
type certificate struct {
	// Static after construction
	acme    *autocert.Manager // nil: none
	domains []string
	log     *slog.Logger
	failed  *lograte.Limiter // of lines about certificates that are not to be had

	pair atomic.Pointer[tls.Certificate]
}

func newCertificate(cfg TLSConfig, log *slog.Logger) *certificate {
	c := &certificate{log: log, domains: cfg.ACME.Domains, failed: lograte.New(nil)}
	c.pair.Store(cfg.Pair)
	if len(c.domains) > 0 {
		c.acme = &autocert.Manager{
			Prompt:     autocert.AcceptTOS,
			Cache:      autocert.DirCache(cfg.ACME.Folder),
			HostPolicy: autocert.HostWhitelist(c.domains...),
			Email:      cfg.ACME.Email,
			Client:     &acme.Client{DirectoryURL: cfg.ACME.Directory, UserAgent: "dunlin/" + version},
		}
	}
	return c
}

// config is TLS for HTTP/1.1, which WebSocket upgrades need.
func (c *certificate) config() *tls.Config {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: c.get}
	if c.acme != nil {
		cfg.NextProtos = append(cfg.NextProtos, acme.ALPNProto)
	}
	return cfg
}

func (c *certificate) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c.acme == nil {
		return c.pair.Load(), nil
	}
	if hello.ServerName == "" { // by address: any certificate is as good
		named := *hello
		named.ServerName = c.domains[0]
		hello = &named
	}
	pair, err := c.acme.GetCertificate(hello)
	if err != nil && slices.Contains(c.domains, hello.ServerName) { // others ask for what they like
		if leftOut, ok := c.failed.Allow(); ok {
			c.log.Warn("no certificate could be had", "domain", hello.ServerName, "error", err, "left_out", leftOut)
		}
	}
	return pair, err
}

// order gets the certificates that are not there yet, before clients ask for them.
func (c *certificate) order() {
	if c.acme == nil {
		return
	}
	for _, name := range c.domains {
		hello := &tls.ClientHelloInfo{ // what clients of these years say, and a certificate for ECDSA answers
			ServerName:       name,
			CipherSuites:     []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
			SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
			SupportedCurves:  []tls.CurveID{tls.CurveP256},
		}
		if pair, err := c.get(hello); err == nil {
			c.log.Info("certificate", "domain", name, "valid_until", pair.Leaf.NotAfter)
		}
	}
}

// both is a server of plain connections and one of TLS connections.
type both struct{ plain, secure transport.Server }

var _ transport.Server = (*both)(nil)

// Addrs implements transport.Server.
func (b *both) Addrs() []net.Addr { return append(b.plain.Addrs(), b.secure.Addrs()...) }

// Adopt implements transport.Server.
func (b *both) Adopt(nc net.Conn, request []byte) error {
	if transport.OverTLS(nc) {
		return b.secure.Adopt(nc, request)
	}
	return b.plain.Adopt(nc, request)
}

// Listeners implements transport.Server.
func (b *both) Listeners() (map[transport.Address][]*os.File, error) {
	files, err := b.plain.Listeners()
	if err != nil {
		return nil, err
	}
	more, err := b.secure.Listeners()
	if err != nil {
		transport.CloseFiles(files)
		return nil, err
	}
	for a, of := range more {
		files[a] = append(files[a], of...)
	}
	return files, nil
}

// Shutdown implements transport.Server.
func (b *both) Shutdown() {
	b.plain.Shutdown()
	b.secure.Shutdown()
}

// Leave implements transport.Server.
func (b *both) Leave() {
	b.plain.Leave()
	b.secure.Leave()
}

// Close implements transport.Server.
func (b *both) Close() {
	b.plain.Close()
	b.secure.Close()
}
