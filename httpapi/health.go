package httpapi

import (
	"dunlin/protocol"

	"github.com/valyala/fasthttp"
)

// getLive answers as long as the process does.
func (s *Server) getLive(c *call) error { return answerText(c, "OK") }

// getUp is getLive in the words of Laravel Reverb.
func (s *Server) getUp(c *call) error { return answer(c, []byte(`{"health":"OK"}`)) }

// getReady answers whether the node should get traffic, and if not why, so that a
// balancer turns away from it while it is still able to serve.
func (s *Server) getReady(c *call) error { return s.answerReady(c, s.unready()) }

// getAcceptTraffic answers whether the node should get new connections: a node that
// is ready may have no memory left for them.
func (s *Server) getAcceptTraffic(c *call) error {
	why := s.unready()
	if s.opts.Accept != nil {
		if err := s.opts.Accept(); err != nil {
			why = append(why, err.Error())
		}
	}
	return s.answerReady(c, why)
}

func (s *Server) unready() []string {
	why := s.opts.Hub.Unready()
	if s.draining.Load() {
		why = append(why, "shutting down")
	}
	return why
}

func (s *Server) answerReady(c *call, why []string) error {
	c.ctx.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	if why == nil {
		return answer(c, []byte(`{"ready":true}`))
	}
	c.ctx.SetStatusCode(fasthttp.StatusServiceUnavailable)
	b := append(c.scratch[:0], `{"ready":false,"reasons":[`...)
	for i, text := range why {
		if i > 0 {
			b = append(b, ',')
		}
		b = protocol.AppendString(b, text)
	}
	c.scratch = append(b, "]}"...)
	return answer(c, c.scratch)
}
