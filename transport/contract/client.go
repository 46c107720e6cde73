package contract

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"dunlin/protocol"
)

// Opcodes (RFC 6455 §5.2), with FIN where frames are written.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
	fin            = 0x80
	rsv1           = 0x40
)

const upgradeHeaders = "Host: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

func upgradeRequest(target string) string {
	return "GET " + target + " HTTP/1.1\r\n" + upgradeHeaders + "\r\n"
}

// client is a bare WebSocket client that does nothing on its own.
type client struct {
	t          testing.TB
	nc         net.Conn
	br         *bufio.Reader
	deflate    bool // compressed messages may come, and are inflated
	compressed int  // that came
}

// dial connects and sends nothing.
func (n *node) dial() *client {
	n.t.Helper()
	a := n.addr()
	nc, err := net.DialTimeout(a.Network(), a.String(), patience)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(patience))
	c := &client{t: n.t, nc: nc, br: bufio.NewReader(nc)}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.clients = append(n.clients, c)
	return c
}

// connect does the handshake and reads connection_established.
func (n *node) connect() (*client, *peer) {
	n.t.Helper()
	c := n.dial()
	c.write(upgradeRequest("/app/key?protocol=7"))
	c.switched()
	return c, n.established(c)
}

// established reads the first message and finds the session that sent it.
func (n *node) established(c *client) *peer {
	n.t.Helper()
	first := c.text()
	for range cap(n.opened) {
		select {
		case p := <-n.opened:
			if string(protocol.ConnectionEstablished(p.conn.ID(), 120).Payload()) == first {
				return p
			}
			n.opened <- p
		case <-time.After(patience):
			n.t.Fatal("no session was opened")
		}
	}
	n.t.Fatalf("first message %q is of no session", first)
	return nil
}

func (c *client) write(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.nc, s); err != nil {
		c.t.Fatal(err)
	}
}

// frame builds a masked frame; b0 is the first byte.
func frame(b0 byte, payload string) string {
	mask := [4]byte{0x37, 0xFA, 0x21, 0x3D}
	b := []byte{b0}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	b = append(b, mask[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i%4])
	}
	return string(b)
}

// say sends a text message.
func (c *client) say(payload string) {
	c.t.Helper()
	c.write(frame(fin|opText, payload))
}

// response reads an HTTP response and its body.
func (c *client) response() (*http.Response, string) {
	c.t.Helper()
	r, err := http.ReadResponse(c.br, nil)
	if err != nil {
		c.t.Fatalf("reading a response: %v", err)
	}
	if r.StatusCode == http.StatusSwitchingProtocols {
		return r, ""
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return r, string(body)
}

// switched reads the 101 response.
func (c *client) switched() {
	c.t.Helper()
	r, body := c.response()
	if r.StatusCode != 101 || r.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		c.t.Fatalf("%s %v %q", r.Status, r.Header, body)
	}
}

// readFrame reads one frame of the server: FIN, unmasked.
func (c *client) readFrame() (op byte, payload string, err error) {
	var head [2]byte
	if _, err := io.ReadFull(c.br, head[:]); err != nil {
		return 0, "", err
	}
	compressed := c.deflate && head[0] == fin|rsv1|opText
	if head[0]&0xF0 != fin && !compressed || head[1]&0x80 != 0 {
		return 0, "", fmt.Errorf("frame begins with % x", head)
	}
	n := uint64(head[1])
	extended := make([]byte, map[uint64]int{126: 2, 127: 8}[n])
	if _, err := io.ReadFull(c.br, extended); err != nil {
		return 0, "", err
	}
	switch len(extended) {
	case 2:
		n = uint64(binary.BigEndian.Uint16(extended))
	case 8:
		n = binary.BigEndian.Uint64(extended)
	}
	b := make([]byte, n)
	if _, err = io.ReadFull(c.br, b); err == nil && compressed {
		c.compressed++
		b, err = inflate(b)
	}
	return head[0] & 0x0F, string(b), err
}

// next reads one frame that must be of the given kind.
func (c *client) next(want byte) string {
	c.t.Helper()
	op, payload, err := c.readFrame()
	if err != nil || op != want {
		c.t.Fatalf("opcode %x, payload %.200q, %v; want opcode %x", op, payload, err, want)
	}
	return payload
}

// past is next behind any number of frames of another kind.
func (c *client) past(skip, want byte) string {
	c.t.Helper()
	for {
		op, payload, err := c.readFrame()
		if err != nil || op != skip && op != want {
			c.t.Fatalf("opcode %x, payload %.200q, %v; want opcode %x", op, payload, err, want)
		}
		if op == want {
			return payload
		}
	}
}

func (c *client) text() string { c.t.Helper(); return c.next(opText) }

// hears expects messages.
func (c *client) hears(want ...string) {
	c.t.Helper()
	for _, w := range want {
		if got := c.text(); got != w {
			c.t.Fatalf("got %.200q, want %.200q", got, w)
		}
	}
}

// closing expects a close frame, with pusher:error before it when the code is
// Pusher's, and then the end.
func (c *client) closing(code int, reason string) {
	c.t.Helper()
	if code >= 4000 {
		c.hears(string(protocol.ErrorMessage(&protocol.Error{Code: code, Message: reason}).Payload()))
	}
	c.closeFrame(code, reason)
	c.ended()
}

func (c *client) closeFrame(code int, reason string) {
	c.t.Helper()
	payload := c.next(opClose)
	if len(payload) < 2 || int(payload[0])<<8|int(payload[1]) != code || payload[2:] != reason {
		c.t.Fatalf("close frame %q, want %d %q", payload, code, reason)
	}
}

// ended expects the end of the input, without a reset.
func (c *client) ended() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.br); err != nil || len(rest) > 0 {
		c.t.Fatalf("%.200q, %v; want the end", rest, err)
	}
}

// cut expects that the server ends the connection, no matter how.
func (c *client) cut() {
	c.t.Helper()
	if _, err := io.Copy(io.Discard, c.br); errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatal("the connection is still open")
	}
}

func repeat(s string, n int) string { return strings.Repeat(s, n) }
