package httpapi

import (
	"dunlin/protocol"

	"github.com/valyala/fasthttp"
)

// getLive answers as long as the process does.
func (s *Server) getLive(c *call) error { return answerText(c, "OK") }

// getReady answers whether the node should get traffic, and if not why, so that a
// balancer turns away from it while it is still able to serve.
func (s *Server) getReady(c *call) error {
	why := reasons(s.opts.Hub.Ready())
	if s.draining.Load() {
		why = append(why, "shutting down")
	}
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

// reasons takes joined errors apart.
func reasons(err error) []string {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []string{err.Error()}
	}
	var all []string
	for _, e := range joined.Unwrap() {
		all = append(all, reasons(e)...)
	}
	return all
}
