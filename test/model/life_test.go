package model

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"dunlin/internal/client"
)

// life is one connection of a client, and all that it ever sent and heard.
type life struct {
	// Static after construction
	client, id string
	node       int
	conn       *client.Conn
	opened     time.Time
	done       chan struct{} // closed when the reader has ended

	bell  chan struct{} // of one: something was heard
	left  atomic.Bool   // the client closes
	pings atomic.Int64  // sent

	mu sync.Mutex
	// Guarded by mu
	log   []entry
	end   error // why it ended; nil while it is open
	ended time.Time
}

// entry is something sent or heard.
type entry struct {
	at   time.Time // before it was sent, after it was heard
	sent *op       // nil: heard
	frame
	raw string
	bad error // of a frame whose form is wrong
}

// dial connects a client and begins to listen.
func dial(ctx context.Context, name string, node int, addr, key string) (*life, error) {
	l := &life{client: name, node: node, opened: time.Now(), done: make(chan struct{}), bell: make(chan struct{}, 1)}
	conn, err := client.Dial(ctx, "http://"+addr, key, client.Options{})
	if err != nil {
		return nil, err
	}
	l.conn, l.id = conn, conn.SocketID()
	go l.listen()
	return l, nil
}

func (l *life) listen() {
	defer close(l.done)
	for {
		e, err := l.conn.Next(context.Background())
		l.mu.Lock()
		if err != nil {
			l.end, l.ended = err, time.Now()
			l.mu.Unlock()
			l.ring()
			return
		}
		heard := entry{at: time.Now(), raw: e.Raw}
		heard.frame, heard.bad = parseFrame(e.Raw)
		l.log = append(l.log, heard)
		l.mu.Unlock()
		l.ring()
	}
}

func (l *life) ring() {
	select {
	case l.bell <- struct{}{}:
	default:
	}
}

// send notes an op, if there is one behind it, and sends its text, or a binary message
// when there is none. That the other side has closed shows in what is heard.
func (l *life) send(ctx context.Context, o *op, text string) {
	if o != nil {
		l.mu.Lock()
		l.log = append(l.log, entry{at: time.Now(), sent: o})
		l.mu.Unlock()
	}
	if text == "" {
		_ = l.conn.SendBinary(ctx, []byte(pingText))
	} else {
		_ = l.conn.Send(ctx, text)
	}
}

const pingText = `{"event":"pusher:ping","data":{}}`

// ping sends a ping to be answered behind everything sent before.
func (l *life) ping(ctx context.Context) {
	l.pings.Add(1)
	l.send(ctx, nil, pingText)
}

// ponged waits until every ping was answered, or the connection has ended.
func (l *life) ponged(ctx context.Context) bool {
	return l.heard(ctx, 0, func(log []entry, end error) bool { return end != nil || pongs(log) >= int(l.pings.Load()) })
}

// since returns a copy of what was noted from index i on, and why it ended.
func (l *life) since(i int) ([]entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]entry(nil), l.log[i:]...), l.end
}

// over reports whether the connection has ended.
func (l *life) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end != nil
}

// closedBy is the code of the server's close frame, 0 while it is open.
func closedBy(end error) int {
	var c *client.CloseError
	switch {
	case end == nil:
		return 0
	case errors.As(end, &c):
		return c.Code
	}
	return -1
}

func (l *life) endedAt() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}

// heard waits until ok holds for what was noted from index from on, or until ctx
// ends.
func (l *life) heard(ctx context.Context, from int, ok func([]entry, error) bool) bool {
	for {
		if ok(l.since(from)) {
			return true
		}
		select {
		case <-l.bell:
		case <-ctx.Done():
			return ok(l.since(from))
		}
	}
}

// pongs counts the answers to pings.
func pongs(log []entry) (n int) {
	for _, e := range log {
		if e.sent == nil && e.event == evPong {
			n++
		}
	}
	return n
}
