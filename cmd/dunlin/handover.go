package main

import (
	"time"

	"dunlin/transport"
	"dunlin/webhooks"
)

// A process takes the place of another in a conversation over the socket that
// server.handover names. The older one begins:
//
//	inventory  →    and its listening sockets, beside it
//	           ←  takeOver     everything else is ready
//	state     →    from here on the older one tells no transitions
//	           ←  ready        connections are accepted
//	rest       →    when it has ended, with the webhooks that it did not deliver
//	           ←  kept
//
// Before takeOver the younger one can fail without any harm: it binds by then what
// it does not inherit. After it, it goes on even when the older one does not.

// inventory lists what the files beside it are.
type inventory struct {
	Version string
	Sockets []socketName
}

type socketName struct {
	transport.Address
	Ops bool // for operators, not for clients
}

// Words of the younger process.
const (
	wordTakeOver = "take over"
	wordReady    = "ready"
	wordKept     = "kept"
)

// state is what the older process knew that the younger one could not find out.
type state struct {
	There  []webhooks.Event // of memory.Engine.HandOver
	Within time.Duration    // until when its clients are sent away
}

// rest is what waited in memory at the end.
type rest struct {
	Events  []webhooks.Event
	Letters []webhooks.DeadLetter
}

// handoverPatience bounds each step of the conversation. Until the younger process
// is ready nothing depends on it.
const handoverPatience = 30 * time.Second
