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

// handoverServer serves processes that want this one's place, until one has it.
type handoverServer struct {
	// Static after construction
	l        *handover.Listener
	log      *slog.Logger
	sockets  func() (map[transport.Address][]*os.File, error) // duplicates, for clients
	ops      func() (transport.Address, *os.File, error)      // nil file: there is none
	takeOver func() state                                     // from then on there is no way back
	taken    chan struct{}                                    // closed when somebody has it
	done     chan struct{}                                    // closed when serving has ended

	mu sync.Mutex
	// Guarded by mu
	caller *handover.Conn // that is being talked to
	ended  bool

	// Static once done is closed
	successor *handover.Conn // nil: nobody has taken over, or has died over it
}

// startHandover lets others find the socket and serves.
func startHandover(s *handoverServer) (*handoverServer, error) {
	if err := s.l.Publish(); err != nil {
		return nil, fmt.Errorf("server.handover: %w", err)
	}
	s.taken, s.done = make(chan struct{}), make(chan struct{})
	go s.serve()
	return s, nil
}

// serve talks to one caller after the other.
func (s *handoverServer) serve() {
	defer close(s.done)
	for {
		conn, err := s.l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.log.Error("nobody can take over any more", "error", err)
			return
		}
		if s.attend(conn) && s.talk(conn) {
			close(s.taken)
			s.l.Close()
			return
		}
		conn.Close()
	}
}

// attend notes whom end has to interrupt. It reports false after end.
func (s *handoverServer) attend(conn *handover.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.caller = conn
	return !s.ended
}

// talk serves one caller, and reports whether this process is to end.
func (s *handoverServer) talk(conn *handover.Conn) (ending bool) {
	conn.SetDeadline(time.Now().Add(handoverPatience))
	if err := s.offer(conn); err != nil {
		s.log.Warn("another process could not take over", "error", err)
		return false
	}
	st := s.takeOver()
	conn.SetDeadline(time.Now().Add(handoverPatience))
	err := conn.Send(st)
	if err == nil {
		err = expect(conn, wordReady)
	}
	if err != nil {
		s.log.Error("the process that was taking over has failed", "error", err)
		conn.Close()
		return true
	}
	s.log.Info("another process takes over")
	conn.SetDeadline(time.Time{})
	s.successor = conn
	return true
}

// offer sends the sockets and waits until the other process is ready to go on.
func (s *handoverServer) offer(conn *handover.Conn) error {
	files, err := s.sockets()
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
	at, f, err := s.ops()
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
func (s *handoverServer) end() bool {
	s.l.Close()
	s.mu.Lock()
	s.ended = true
	if s.caller != nil && !closed(s.taken) {
		s.caller.Close()
	}
	s.mu.Unlock()
	<-s.done
	return s.successor != nil
}

// leave gives what waits in memory to the successor. It is an error when there is none,
// or he does not say that he keeps it.
func (s *handoverServer) leave(events []webhooks.Event, letters []webhooks.DeadLetter) error {
	if s.successor == nil {
		return errors.New("nobody has taken over")
	}
	s.successor.SetDeadline(time.Now().Add(handoverPatience))
	if err := s.successor.Send(rest{events, letters}); err != nil {
		return err
	}
	return expect(s.successor, wordKept)
}

// close is the last word to the successor. Without one the socket's file goes.
func (s *handoverServer) close() {
	if s.successor != nil {
		s.successor.Close()
		return
	}
	s.l.Remove()
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
