package main

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync/atomic"

	"dunlin/transport"
)

// certificate is the one that handshakes are answered with. It can be replaced
// while they are.
type certificate struct {
	pair atomic.Pointer[tls.Certificate]
}

// config is TLS for HTTP/1.1, which WebSocket upgrades need.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if pair := c.pair.Load(); pair != nil {
				return pair, nil
			}
			return nil, errors.New("no certificate")
		},
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
