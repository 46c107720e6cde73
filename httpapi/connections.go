package httpapi

// getConnections answers how many connections an app has on this node, in the words
// of Laravel Reverb, whose dashboard asks.
func (s *Server) getConnections(c *call) error {
	b := appendCount([]byte{'{'}, "connections", s.opts.Hub.Connections(c.app.ID))
	return answer(c, append(b, '}'))
}
