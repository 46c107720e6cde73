package main

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"dunlin/internal/handover"
	"dunlin/protocol"
	"dunlin/webhooks"
)

// listen publishes a socket for the process after this one.
func listen(t *testing.T, path string) *handover.Listener {
	t.Helper()
	l, err := handover.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if err := l.Publish(); err != nil {
		t.Fatal(err)
	}
	return l
}

// talk is one conversation, as the older process and the younger one have it.
func talk(t *testing.T) (older *handover.Conn, younger *predecessor) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "h.sock")
	l := listen(t, path)
	accepted := make(chan *handover.Conn, 1)
	go func() { accepted <- offered(l) }()
	younger, err := callPredecessor(path)
	if err != nil {
		t.Fatal(err)
	}
	older = <-accepted
	for _, c := range []*handover.Conn{older, younger.conn} {
		t.Cleanup(func() { c.Close() })
	}
	return older, younger
}

// offered is the next caller, who has got an inventory of nothing.
func offered(l *handover.Listener) *handover.Conn {
	c, err := l.Accept()
	if err == nil {
		c.SetDeadline(time.Now().Add(handoverPatience))
		c.Send(inventory{Version: "older"})
	}
	return c
}

// Of two that come at once the second waits, and then asks the first.
func TestAnotherTookThePlace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "h.sock")
	first := listen(t, path)
	go func() {
		c, err := first.Accept()
		if err != nil {
			return
		}
		second := listen(t, path)
		c.Close()
		offered(second)
	}()
	p, err := callPredecessor(path)
	if err != nil || p == nil || p.version != "older" {
		t.Fatalf("%+v, %v", p, err)
	}
	p.conn.Close()
}

// A process that dies while its place is taken leaves its sockets: they are served.
func TestPredecessorDies(t *testing.T) {
	t.Parallel()
	older, younger := talk(t)
	older.Close()
	if e, err := younger.takeOver(); err != nil || len(e.There) != 0 {
		t.Errorf("%+v, %v", e, err)
	}
}

// Webhooks count as left when the other process says that it has them.
func TestLeaving(t *testing.T) {
	t.Parallel()
	for _, kept := range []bool{true, false} {
		older, younger := talk(t)
		s := &handoverServer{successor: older}
		queue := newHookQueue(t)
		if !kept { // as when it stops by itself
			if err := queue.Close(); err != nil {
				t.Fatal(err)
			}
		}
		none := func(...webhooks.DeadLetter) error { return nil }
		go younger.inheritRest(queue, none, slog.New(slog.DiscardHandler))
		err := s.leave([]webhooks.Event{{ID: "1", App: "a", Name: protocol.HookOccupied, Channel: "c"}}, nil)
		if (err == nil) != kept {
			t.Errorf("kept: %v, error: %v", kept, err)
		}
		younger.close()
	}
}

func newHookQueue(t *testing.T) webhooks.Queue {
	t.Helper()
	h := &hookParts{cfg: WebhooksConfig{Path: filepath.Join(t.TempDir(), "hooks.db")}, log: slog.New(slog.DiscardHandler)}
	q, err := h.openSpool()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}
