// Package client is a small client of the Pusher Channels protocol for commands
// and tests: a WebSocket connection that shows what is on the wire, and the
// signed HTTP API. It does not reconnect and keeps no channel state, so that what
// a server does is seen as it is.
package client
