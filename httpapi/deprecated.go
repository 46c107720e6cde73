package httpapi

import (
	"unicode/utf8"

	"dunlin/cluster"
	"dunlin/protocol"

	"github.com/valyala/fasthttp"
)

// postChannelEvents publishes one event to the channel of the path: name and
// socket_id stand in the query, and the body is the data as it is, JSON or not
// (PROTOCOL 5.50).
func (s *Server) postChannelEvents(c *call) error {
	ch, _, err := c.channel()
	if err != nil {
		return err
	}
	body := c.ctx.PostBody()
	if !utf8.Valid(body) {
		return badRequest("Invalid request body: not valid UTF-8")
	}
	f := fields{data: value(protocol.AppendString(nil, body))}
	if err := f.fill(&c.query); err != nil {
		return err
	}
	f.info = "" // the answer has no place for it
	e, err := newEvent(&f, &c.app.Limits)
	if err != nil {
		return err
	}
	if _, err := s.publish(c, []cluster.Publication{s.publication(c.app, &e, ch.Name)}); err != nil {
		return err
	}
	c.ctx.SetStatusCode(fasthttp.StatusAccepted)
	return answerText(c, "202 ACCEPTED")
}

// getStats describes one channel as getChannel does when asked for all counts; it
// calls subscriptions connections (PROTOCOL 5.51).
func (s *Server) getStats(c *call) error {
	ch, kind, err := c.channel()
	if err != nil {
		return err
	}
	want := cluster.WantSubscriptions
	if kind.Is(protocol.Presence) {
		want |= cluster.WantUsers
	}
	ctx := within(s.opts.RequestTimeout)
	defer ctx.stop()
	found, err := s.opts.Hub.Channel(ctx, ch, want)
	if err != nil {
		return err
	}
	b := appendChannel(c.scratch[:0], &found, want&cluster.WantUsers)
	b = appendCount(b[:len(b)-1], "connection_count", found.Subscriptions)
	c.scratch = append(b, '}')
	return answer(c, c.scratch)
}
