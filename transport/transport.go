// Package transport is the contract between sockets and the state machine that
// they feed: who may call what, on which goroutine, and what may be lost.
//
// A Loop owns connections; its goroutine alone touches them. Implementations are
// transport/epoll (Linux, no goroutine per connection) and transport/stream
// (goroutines, portable); both pass the contract test in transport/contract.
package transport

import (
	"net"
	"os"
	"time"

	"dunlin/protocol"
)

// Conn is one WebSocket connection, after its upgrade. All methods are called on
// its loop's goroutine only, and never after Session.Closed.
type Conn interface {
	// ID is the socket id, drawn when the connection was opened.
	ID() protocol.SocketID
	// Send queues a frame and never blocks. Frames leave in the order of Send, at
	// the end of the loop's turn. After Close it does nothing. A connection whose
	// socket refused more bytes than Options.MaxPendingBytes is closed by the
	// transport with protocol.ErrOverCapacity, and what it had queued is lost.
	Send(f *protocol.Frame)
	// Close ends the connection: pusher:error, then a close frame with the same
	// code, both behind what was sent before (PROTOCOL 1.32), then the socket.
	// Session.Closed follows, not inside this call. The code is 4000..4299.
	Close(e *protocol.Error)
	// Pause stops reading from the socket until Resume. Frames already read are
	// still handed to the session.
	Pause()
	// Resume undoes Pause.
	Resume()
}

// Session is the state behind a connection. All methods are called on the loop's
// goroutine.
type Session interface {
	// Message takes one text message, complete and valid UTF-8. The bytes are valid
	// until it returns.
	Message(payload []byte)
	// Binary says that a binary message came and was dropped (PROTOCOL 1.7).
	Binary()
	// Closed is the last call. err is nil when the peer closed or Close was called,
	// else it says what ended the connection.
	Closed(err error)
}

// Handler is what a loop serves: one shard of the state machine. All methods are
// called on the loop's goroutine.
type Handler interface {
	// Open makes the session of a connection whose upgrade request was well formed.
	// The upgrade is completed in any case: on an error the transport sends it and
	// closes (PROTOCOL 1.3), and no session method is called; the handler has counted
	// why. On success it must
	// have called c.Send with connection_established.
	Open(c Conn, h Handshake) (Session, *protocol.Error)
	// Turn is called once in every turn of the loop, after input and before output,
	// and whenever the loop was woken. It reports whether it has more to do: the
	// loop then does not sleep, but serves its sockets first.
	Turn(now time.Time) (more bool)
}

// Loop is what a shard knows of the loop that it sits on. Methods may be called
// from any goroutine.
type Loop interface {
	// Index numbers the loops of a node from 0.
	Index() int
	// Wake makes the loop take a turn soon. It is cheap when the loop is awake.
	Wake()
}

// NewHandler makes the handler of a loop, before the loop runs.
type NewHandler func(Loop) Handler

// Handshake is what an upgrade request said. Its strings may be kept.
type Handshake struct {
	Path    string // undecoded, without the query
	Key     string // PREFIX/app/KEY, percent-decoded; "" on any other path
	OnPath  bool   // whether the path was PREFIX/app/…
	Query   string // undecoded
	Origin  string // header, "" when absent
	Remote  net.Addr
	Secure  bool // the connection came over TLS
	Deflate bool // permessage-deflate was negotiated

	// Headers, "" where no proxy is trusted; Proxies.Introduce has judged them.
	ForwardedFor, ForwardedProto string
}

// Server is a running transport: its listeners, its loops and all of their
// connections. Methods may be called from any goroutine but those of its loops.
type Server interface {
	// Addrs are the addresses listened on, in the order they were asked for, with
	// the port that the system chose for port 0.
	Addrs() []net.Addr
	// Adopt takes over a connection whose upgrade request was read elsewhere, on
	// any path, and goes on as if request had just been read from it; what follows
	// the request's empty line are frames. On success nc belongs to the transport
	// and is closed by it. On an error nc is untouched.
	Adopt(nc net.Conn, request []byte) error
	// Listeners returns duplicates of the listening sockets, by the address that each
	// was asked for, for another process to go on with: see Options.Inherited. There
	// are none after Shutdown or Leave.
	Listeners() (map[Address][]*os.File, error)
	// Shutdown stops accepting and closes the listeners. Connections stay.
	Shutdown()
	// Leave is Shutdown where somebody else has the listeners too: connections that
	// wait in them, and the files of unix sockets, are left to him.
	Leave()
	// Close ends the loops and closes everything; every session hears Closed with
	// net.ErrClosed. It returns when no goroutine is left. It does not wait for
	// close frames to be read: whoever sent some first waits up to Options.Linger.
	Close()
}
