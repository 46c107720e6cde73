package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"dunlin/internal/handover"
	"dunlin/transport"
	"dunlin/webhooks"
)

// estateOffice serves processes that want this one's place, until one has it.
type estateOffice struct {
	// Static after construction
	l        *handover.Listener
	log      *slog.Logger
	sockets  func() (map[transport.Address][]*os.File, error) // duplicates, for clients
	ops      func() (transport.Address, *os.File, error)      // nil file: there is none
	takeOver func() estate                                    // from then on there is no way back
	taken    chan struct{}                                    // closed when somebody has it
	done     chan struct{}                                    // closed when serving has ended

	mu sync.Mutex
	// Guarded by mu
	caller *handover.Conn // that is being talked to
	ended  bool

	// Static once done is closed
	heir *handover.Conn // nil: nobody has taken over, or has died over it
}

// openOffice lets others find the socket and serves.
func openOffice(o *estateOffice) (*estateOffice, error) {
	if err := o.l.Publish(); err != nil {
		return nil, fmt.Errorf("server.handover: %w", err)
	}
	o.taken, o.done = make(chan struct{}), make(chan struct{})
	go o.serve()
	return o, nil
}

// serve talks to one caller after the other.
func (o *estateOffice) serve() {
	defer close(o.done)
	for {
		conn, err := o.l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			o.log.Error("nobody can take over any more", "error", err)
			return
		}
		if o.attend(conn) && o.talk(conn) {
			close(o.taken)
			o.l.Close()
			return
		}
		conn.Close()
	}
}

// attend notes whom end has to interrupt. It reports false after end.
func (o *estateOffice) attend(conn *handover.Conn) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.caller = conn
	return !o.ended
}

// talk serves one caller, and reports whether this process is to end.
func (o *estateOffice) talk(conn *handover.Conn) (ending bool) {
	conn.SetDeadline(time.Now().Add(handoverPatience))
	if err := o.offer(conn); err != nil {
		o.log.Warn("another process could not take over", "error", err)
		return false
	}
	e := o.takeOver()
	conn.SetDeadline(time.Now().Add(handoverPatience))
	err := conn.Send(e)
	if err == nil {
		err = expect(conn, wordReady)
	}
	if err != nil {
		o.log.Error("the process that was taking over has failed", "error", err)
		conn.Close()
		return true
	}
	o.log.Info("another process takes over")
	conn.SetDeadline(time.Time{})
	o.heir = conn
	return true
}

// offer sends the sockets and waits until the other process is ready to go on.
func (o *estateOffice) offer(conn *handover.Conn) error {
	files, err := o.sockets()
	if err != nil {
		return err
	}
	defer transport.CloseFiles(files)
	list := inventory{Version: version}
	var all []*os.File
	for at, of := range files {
		for _, f := range of {
			list.Sockets = append(list.Sockets, socketName{Address: at})
			all = append(all, f)
		}
	}
	at, f, err := o.ops()
	if err != nil {
		return err
	}
	if f != nil {
		defer f.Close()
		list.Sockets, all = append(list.Sockets, socketName{at, true}), append(all, f)
	}
	if err := conn.Send(list, all...); err != nil {
		return fmt.Errorf("passing the listeners on: %w", err)
	}
	return expect(conn, wordTakeOver)
}

func expect(conn *handover.Conn, word string) error {
	var got string
	_, err := conn.Receive(&got)
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("it has ended")
	case err == nil && got != word:
		return fmt.Errorf("it said %q, not %q", shorten(got), word)
	}
	return err
}

// end stops serving, and reports whether somebody has taken over.
func (o *estateOffice) end() bool {
	o.l.Close()
	o.mu.Lock()
	o.ended = true
	if o.caller != nil && !closed(o.taken) {
		o.caller.Close()
	}
	o.mu.Unlock()
	<-o.done
	return o.heir != nil
}

// leave gives what waits in memory to the heir. It is an error when there is none,
// or he does not say that he keeps it.
func (o *estateOffice) leave(events []webhooks.Event, letters []webhooks.DeadLetter) error {
	if o.heir == nil {
		return errors.New("nobody has taken over")
	}
	o.heir.SetDeadline(time.Now().Add(handoverPatience))
	if err := o.heir.Send(rest{events, letters}); err != nil {
		return err
	}
	return expect(o.heir, wordKept)
}

// close is the last word to the heir. Without one the socket's file goes.
func (o *estateOffice) close() {
	if o.heir != nil {
		o.heir.Close()
		return
	}
	o.l.Remove()
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
