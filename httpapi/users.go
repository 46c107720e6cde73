package httpapi

import (
	"strings"

	"dunlin/apps"
	"dunlin/protocol"
)

// maxUserID bounds the id of a signed-in user (PROTOCOL 4.4); the app's limit on
// user ids is about members of presence channels, and counts here when it is wider.
const maxUserID = 200

// userIDFits reports whether somebody with that id can be signed in.
func userIDFits(id string, limits *apps.Limits) bool {
	return limits.UserIDLength == 0 || len(id) <= max(maxUserID, limits.UserIDLength)
}

// postTerminate ends all connections that are signed in as a user (PROTOCOL
// 4.20–4.22, 5.48). SDKs send {} as the body or nothing; nobody reads it.
func (s *Server) postTerminate(c *call) error { return s.terminate(c, c.segment(1)) }

// postTerminateShort is the same without the app's id in the path, as the Python
// SDK asks for it (PROTOCOL 5.49).
func (s *Server) postTerminateShort(c *call) error { return s.terminate(c, c.segment(0)) }

func (s *Server) terminate(c *call, user string) error {
	_, plain := protocol.ServerToUser(protocol.ServerToUserPrefix + user)
	if !plain || !userIDFits(user, &c.app.Limits) {
		return badRequest("Invalid user id: " + cut(strings.ToValidUTF8(user, "\uFFFD")))
	}
	if err := s.admitEvents(c.app, 1); err != nil { // every node hears of it
		return err
	}
	ctx := within(s.opts.RequestTimeout)
	defer ctx.stop()
	if err := s.opts.Hub.TerminateUser(ctx, c.app.ID, strings.Clone(user)); err != nil {
		return err
	}
	return answerEmpty(c)
}
