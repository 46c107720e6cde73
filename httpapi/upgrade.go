package httpapi

import (
	"bytes"
	"net"
	"time"

	"github.com/valyala/fasthttp"
)

// upgrade hands a WebSocket upgrade over to the transport, whatever its path:
// the refusal of a wrong one is a close code, which needs a completed upgrade
// (PROTOCOL 1.3). Upgrades on the right path arrive here only on a connection
// that carried an HTTP request before.
func (s *Server) upgrade(ctx *fasthttp.RequestCtx) bool {
	if s.opts.Adopt == nil || !ctx.IsGet() || !wantsWebSocket(ctx.Request.Header.Peek("Upgrade")) {
		return false
	}
	if len(ctx.PostBody()) > 0 {
		return false // nobody upgrades with a body; it could not be replayed as it was
	}
	c, ok := ctx.Conn().(*conn)
	if !ok {
		return false
	}
	request := rebuild(ctx)
	ctx.HijackSetNoResponse(true)
	ctx.Hijack(func(buffered net.Conn) { s.hand(c.Conn, buffered, request) })
	return true
}

// wantsWebSocket reports whether an Upgrade header lists websocket (RFC 9110
// §7.8).
func wantsWebSocket(header []byte) bool {
	for len(header) > 0 {
		var token []byte
		token, header, _ = bytes.Cut(header, []byte{','})
		if bytes.EqualFold(bytes.TrimSpace(token), []byte("websocket")) {
			return true
		}
	}
	return false
}

// rebuild returns the request as it was received. Header names may stand in
// another case.
func rebuild(ctx *fasthttp.RequestCtx) []byte {
	h := &ctx.Request.Header
	raw := h.RawHeaders()
	b := make([]byte, 0, len(h.RequestURI())+len(raw)+32)
	b = append(b, h.Method()...)
	b = append(b, ' ')
	b = append(b, h.RequestURI()...)
	b = append(b, ' ')
	b = append(b, h.Protocol()...)
	b = append(b, "\r\n"...)
	b = append(b, bytes.TrimRight(raw, "\r\n")...)
	return append(b, "\r\n\r\n"...)
}

// hand gives Adopt the connection and everything that was read of it: the
// request, and what fasthttp's buffer holds behind it.
func (s *Server) hand(nc, buffered net.Conn, request []byte) {
	defer func() {
		if v := recover(); v != nil {
			s.count(v)
			nc.Close()
		}
	}()
	request, err := drain(nc, buffered, request)
	if err == nil {
		err = s.opts.Adopt(nc, request)
	}
	if err != nil {
		s.opts.Log.Debug("upgrade not taken over", "remote", nc.RemoteAddr().String(), "error", err)
		nc.Close()
	}
}

// drain appends what can be read without waiting for the socket: past its
// deadline a connection reads nothing, and only buffers answer.
func drain(nc, buffered net.Conn, to []byte) ([]byte, error) {
	if err := nc.SetReadDeadline(time.Unix(1, 0)); err != nil {
		return nil, err
	}
	var chunk [1024]byte
	for {
		n, err := buffered.Read(chunk[:])
		to = append(to, chunk[:n]...)
		if err != nil {
			break
		}
	}
	return to, nc.SetReadDeadline(time.Time{})
}
