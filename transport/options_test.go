package transport

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

func TestDefaults(t *testing.T) {
	t.Parallel()
	o := Options{}.WithDefaults()
	if o.Loops < 1 || o.HandshakeTimeout != 10*time.Second || o.MaxPendingBytes != 1<<20 || o.Log == nil || o.Counters(0) == nil {
		t.Errorf("%+v", o)
	}
	if got := (Options{Loops: 1000}).WithDefaults().Loops; got != MaxLoops {
		t.Errorf("%d loops", got)
	}
}

func TestTick(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ shortest, want time.Duration }{
		{0, time.Second}, {time.Second, 250 * time.Millisecond}, {time.Millisecond, time.Millisecond},
	} {
		if got := (Options{PongTimeout: c.shortest}).WithDefaults().Tick(); got != c.want {
			t.Errorf("pong timeout %v: tick %v, want %v", c.shortest, got, c.want)
		}
	}
}

func TestReplay(t *testing.T) {
	t.Parallel()
	a, b := net.Pipe()
	read := []byte("read before ")
	nc := Replay(a, read)
	clear(read) // it has its own copy
	go func() {
		io.WriteString(b, "and after")
		b.Close()
	}()
	var got bytes.Buffer
	if _, err := io.CopyBuffer(&got, struct{ io.Reader }{nc}, make([]byte, 5)); err != nil || got.String() != "read before and after" {
		t.Errorf("%q, %v", got.String(), err)
	}
}
