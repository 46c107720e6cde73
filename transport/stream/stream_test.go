package stream

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"dunlin/protocol"
	"dunlin/transport"
	"dunlin/transport/contract"
	"dunlin/transport/wire"
)

func listen(a []transport.Address, o transport.Options, h transport.NewHandler) (transport.Server, error) {
	s, err := Listen(a, o, h)
	if err != nil {
		return nil, err // not a nil *Server in an interface
	}
	return s, nil
}

func TestContract(t *testing.T) { contract.Run(t, listen) }

// hello is a session that greets, and closes on the first message.
type hello struct{ c transport.Conn }

func (h hello) Message([]byte) { h.c.Close(protocol.ErrReconnect) }
func (hello) Binary()          {}
func (hello) Closed(error)     {}

type shard struct{ handshakes chan transport.Handshake }

func (s shard) Open(c transport.Conn, h transport.Handshake) (transport.Session, *protocol.Error) {
	s.handshakes <- h
	c.Send(protocol.ConnectionEstablished(c.ID(), 120))
	return hello{c}, nil
}

func (shard) Turn(time.Time) bool { return false }

// TestTLS serves connections of a TLS listener: the close frame arrives in good
// order there too.
func TestTLS(t *testing.T) {
	t.Parallel()
	certified := httptest.NewTLSServer(nil)
	defer certified.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", certified.TLS)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	handshakes := make(chan transport.Handshake, 1)
	s, err := Listen(nil, transport.Options{Loops: 1}, func(transport.Loop) transport.Handler { return shard{handshakes} })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	go func() {
		if nc, err := l.Accept(); err == nil {
			s.Serve(nc)
		}
	}()
	nc, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: certified.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "example.com"})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(nc, "GET /app/key HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x81\x81\x00\x00\x00\x00x")
	got, err := io.ReadAll(nc)
	if err != nil {
		t.Fatal(err)
	}
	if want := wire.AppendClose(nil, protocol.ErrReconnect.Code, protocol.ErrReconnect.Message); !bytes.HasSuffix(got, want) {
		t.Errorf("the answer %q does not end with a close frame", got)
	}
	if h := <-handshakes; !h.Secure || h.Key != "key" {
		t.Errorf("%+v", h)
	}
}
