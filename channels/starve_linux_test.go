package channels_test

import (
	"bytes"
	"context"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dunlin/channels"
	"dunlin/cluster"
	"dunlin/protocol"
	"dunlin/transport"
	"dunlin/transport/wire"
)

// TestReadsDuringFanOut: what a subscriber sends while a fan-out is unfinished is
// read before the next slice of it, not when it is through. The ping is written by
// the loop itself, in the middle of a fan-out that does not end before it is
// answered, to a socket on which writes arrive at once.
func TestReadsDuringFanOut(t *testing.T) {
	t.Parallel()
	for name, listen := range listeners {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			slices := interrupt(t, listen)
			if name == "epoll" && slices != 0 { // stream reads on goroutines, whose turn comes when it comes
				t.Errorf("the ping waited for %d more slices of the fan-out", slices)
			}
		})
	}
}

// interrupt returns how many slices of an unfinished fan-out a ping waited for.
func interrupt(t *testing.T, listen listen) int {
	at := transport.Address{Network: "unix", Address: filepath.Join(t.TempDir(), "s")}
	pinger, answered := make(chan net.Conn, 1), make(chan struct{})
	var hub *channels.Hub
	pinged, ponged := false, false // owned by the loop
	var slices atomic.Int32
	hub, _ = serve(t, listen, at, 1, spy{
		sent: func(f *protocol.Frame) { ponged = ponged || f == protocol.Pong },
		turned: func(more bool) {
			switch {
			case ponged || !more && !pinged:
			case pinged:
				slices.Add(1)
				publish(t, hub, 100) // more than a slice has
			default:
				select {
				case c := <-pinger:
					c.Write(wire.AppendMasked(nil, wire.Text, []byte(`{"event":"pusher:ping","data":{}}`)))
					pinged = true
				default: // it is still subscribing
				}
			}
		},
	})
	for range 3 {
		go find(subscribed(t, at), "what never comes") // reads all
	}
	c := subscribed(t, at)
	pinger <- c
	publish(t, hub, 500)
	go func() {
		defer close(answered)
		if !find(c, `"pusher:pong"`) {
			t.Error("the ping was not answered")
		}
	}()
	select {
	case <-answered:
	case <-time.After(time.Minute):
		t.Fatal("the ping is not answered while there is a fan-out")
	}
	return int(slices.Load())
}

// publish publishes n events of 1 KB.
func publish(t *testing.T, hub *channels.Hub, n int) {
	p := []cluster.Publication{{
		Channel: protocol.ChannelKey{App: "app-id", Name: "room"},
		Message: cluster.Message{Frame: protocol.NewFrame(bytes.Repeat([]byte("x"), 1000))},
	}}
	for range n {
		if _, err := hub.Publish(context.Background(), p); err != nil {
			t.Error(err)
			return
		}
	}
}

// subscribed returns a connection that has subscribed to room.
func subscribed(t *testing.T, at transport.Address) net.Conn {
	t.Helper()
	c, err := net.Dial(at.Network, at.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.Write(wire.AppendMasked(wire.AppendUpgrade(nil, "h", "/app/app-key?protocol=7"), wire.Text,
		[]byte(`{"event":"pusher:subscribe","data":{"channel":"room"}}`)))
	if !find(c, "subscription_succeeded") {
		t.Fatal("not subscribed")
	}
	return c
}

// find reads until a text has come; false: the connection ended before.
func find(c net.Conn, text string) bool {
	var tail string
	for b := make([]byte, 64<<10); ; {
		n, err := c.Read(b)
		if err != nil {
			return false
		}
		tail += string(b[:n])
		if strings.Contains(tail, text) {
			return true
		}
		tail = tail[max(len(tail)-len(text), 0):]
	}
}
