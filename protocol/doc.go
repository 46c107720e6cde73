// Package protocol holds the Pusher Channels protocol as values: socket ids,
// channel names, client messages decoded, server messages encoded, signatures
// and error codes.
//
// Nothing here starts a goroutine or does I/O; a function's result depends on
// its arguments alone, NewSocketID excepted. Numbers such as "PROTOCOL 2.14" are
// items of the conformance specification that docs/protocol.md summarises.
package protocol
