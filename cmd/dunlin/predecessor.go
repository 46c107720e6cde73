package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"

	"dunlin/internal/handover"
	"dunlin/transport"
	"dunlin/webhooks"
)

// predecessor is the process whose place this one takes.
type predecessor struct {
	conn    *handover.Conn
	version string
	clients map[transport.Address][]*os.File
	ops     map[transport.Address]*os.File
	state   *state        // nil until takeOver
	heard   chan struct{} // closed when inheritRest has ended
}

// callPredecessor asks the process at a socket for its listeners. It returns nil
// when nobody is there, or no socket is named. When somebody else takes the place of
// that process meanwhile, he is asked.
func callPredecessor(path string) (p *predecessor, err error) {
	if path == "" {
		return nil, nil
	}
	const callers = 16 // as many may have come at once
	for range callers {
		if p, err = callOne(path); !isGone(err) {
			break
		}
	}
	return p, err
}

// isGone says that the other side of a conversation has ended.
func isGone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

func callOne(path string) (*predecessor, error) {
	conn, err := handover.Dial(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p := &predecessor{conn: conn, heard: make(chan struct{}), clients: make(map[transport.Address][]*os.File), ops: make(map[transport.Address]*os.File)}
	if err := p.receiveSockets(); err != nil {
		conn.Close()
		return nil, err
	}
	return p, nil
}

func (p *predecessor) receiveSockets() error {
	p.conn.SetDeadline(time.Now().Add(handoverPatience))
	var list inventory
	files, err := p.conn.Receive(&list)
	if err != nil {
		return fmt.Errorf("receiving the listeners: %w", err)
	}
	if len(files) != len(list.Sockets) {
		return fmt.Errorf("%d sockets were announced, %d came", len(list.Sockets), len(files))
	}
	p.version = list.Version
	for i, s := range list.Sockets {
		if s.Ops {
			p.ops[s.Address] = files[i]
		} else {
			p.clients[s.Address] = append(p.clients[s.Address], files[i])
		}
	}
	return nil
}

// takeOver ends the older process's part in what only one can do. From here on
// there is no way back. One that dies over it leaves nothing. Later calls return the
// same.
func (p *predecessor) takeOver() (state, error) {
	if p.state != nil {
		return *p.state, nil
	}
	p.conn.SetDeadline(time.Now().Add(handoverPatience))
	var st state
	err := p.conn.Send(wordTakeOver)
	if err == nil {
		_, err = p.conn.Receive(&st)
	}
	if err != nil && !isGone(err) {
		return st, fmt.Errorf("taking over: %w", err)
	}
	p.state = &st
	return st, nil
}

// ready sends the older process away.
func (p *predecessor) ready() error {
	defer p.conn.SetDeadline(time.Time{})
	return p.conn.Send(wordReady)
}

// close ends the conversation, and waits until nothing more of it is queued.
func (p *predecessor) close() {
	p.conn.Close()
	<-p.heard
}

// inheritRest waits for the older process's end and queues what it did not deliver.
// It returns early when the conversation is closed.
func (p *predecessor) inheritRest(q webhooks.Queue, bury func(...webhooks.DeadLetter) error, log *slog.Logger) {
	defer close(p.heard)
	defer p.conn.Close()
	var r rest
	if _, err := p.conn.Receive(&r); err != nil {
		if !isGone(err) && !errors.Is(err, net.ErrClosed) {
			log.Warn("the process before this one did not say what webhooks it leaves", "error", err)
		}
		return
	}
	err := q.Append(context.Background(), r.Events...)
	if err == nil {
		err = bury(r.Letters...)
	}
	if err == nil {
		err = p.conn.Send(wordKept)
	}
	if err != nil { // unless it hears that they are kept, it keeps them itself
		log.Error("webhooks of the process before this one stay in its file", "events", len(r.Events), "dead_letters", len(r.Letters), "error", err)
		return
	}
	log.Info("the process before this one has ended", "webhooks", len(r.Events), "dead_letters", len(r.Letters))
}
