package main

import (
	"dunlin/transport"
	"dunlin/transport/stream"
)

// transports are the ways to serve sockets, by the name that server.transport
// has; systems add theirs. "auto" is the best that there is.
var transports = map[string]listenFunc{
	"auto":   listenStream,
	"stream": listenStream,
}

func listenStream(a []transport.Address, o transport.Options, h transport.NewHandler) (transport.Server, error) {
	return stream.Listen(a, o, h)
}
