package channels

import (
	"net/url"
	"strings"
	"time"

	"dunlin/apps"
	"dunlin/protocol"
	"dunlin/transport"
)

// admitConnection finds the app of a connection and counts the connection, or says
// why it is refused.
func (h *Hub) admitConnection(hs transport.Handshake) (*apps.App, *protocol.Error) {
	if !hs.OnPath {
		return nil, protocol.ErrPathNotFound
	}
	app := h.apps.ByKey(hs.Key)
	switch {
	case app == nil:
		return nil, protocol.ErrUnknownKey(hs.Key)
	case !app.Enabled:
		return nil, protocol.ErrAppDisabled
	case app.ForceTLS && !hs.Secure:
		return nil, protocol.ErrTLSOnly
	case !originAllowed(app.AllowedOrigins, hs.Origin):
		return nil, protocol.ErrOrigin
	}
	if err := protocol.CheckVersion(queryValue(hs.Query, "protocol")); err != nil {
		return nil, err
	}
	if h.draining.Load() {
		return nil, protocol.ErrReconnect
	}
	if !h.usage.of(app.ID).enter(h.engine, app.Limits.Connections) {
		return nil, protocol.ErrOverQuota
	}
	return app, nil
}

// queryValue returns a parameter of a query, the first of that name. No value
// that matters is percent-encoded.
func queryValue(query, name string) (value string, given bool) {
	for query != "" {
		var part string
		part, query, _ = strings.Cut(query, "&")
		if k, v, _ := strings.Cut(part, "="); k == name {
			return v, true
		}
	}
	return "", false
}

// originAllowed matches the host of an Origin header against host patterns, of
// which "*.example.com" means every host below example.com. Only browsers send an
// Origin, and they always do: who sends none is no page.
func originAllowed(patterns []string, origin string) bool {
	if len(patterns) == 0 || origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil {
		return false
	}
	host := strings.ToLower(u.Hostname())
	for _, p := range patterns {
		p = strings.ToLower(p)
		suffix, wild := strings.CutPrefix(p, "*")
		if p == "*" || p == host || wild && strings.HasPrefix(suffix, ".") && len(host) > len(suffix) && strings.HasSuffix(host, suffix) {
			return true
		}
	}
	return false
}

// probation is a session that has to show that it may be here (PROTOCOL 1.40).
type probation struct {
	session *session
	until   time.Time
}

// mustAuthorize ends a session that is not authorized in time. All sessions of a
// shard have the same time, so the list is in order and one timer serves it.
func (s *Shard) mustAuthorize(x *session) {
	s.probation = append(s.probation, probation{x, s.hub.opts.Now().Add(s.hub.opts.AuthorizeWithin)})
	if len(s.probation) == 1 {
		s.probationTimer(s.hub.opts.AuthorizeWithin)
	}
}

func (s *Shard) probationTimer(wait time.Duration) {
	time.AfterFunc(wait, func() { s.do(s.endProbation) })
}

// endProbation closes the sessions whose time is over.
func (s *Shard) endProbation() {
	now, n := s.hub.opts.Now(), 0
	for _, p := range s.probation {
		if p.until.After(now) {
			break
		}
		n++
		if x := p.session; x.app.AuthorizedConnections && !x.authorized && !x.closing {
			x.close(protocol.ErrUnauthorized)
		}
	}
	s.probation = append(s.probation[:0:0], s.probation[n:]...)
	if len(s.probation) > 0 {
		s.probationTimer(s.probation[0].until.Sub(now))
	}
}
