package transport

import (
	"crypto/tls"
	"log/slog"
	"net"
	"os"
	"runtime"
	"time"

	"dunlin/internal/addrlimit"
	"dunlin/metrics"
)

// Address is something to listen on, in the words of net.Listen: network "tcp",
// "tcp4", "tcp6" or "unix".
type Address struct{ Network, Address string }

// MaxLoops bounds the loops of a server: their numbers are bits of a 64-bit mask.
const MaxLoops = 64

// Options are what every transport needs to know. The zero value of each field
// stands for what WithDefaults says.
type Options struct {
	Loops            int           // 0: GOMAXPROCS; at most MaxLoops
	PathPrefix       string        // before /app/, "" or "/something"
	HandshakeTimeout time.Duration // from accept until the upgrade request is whole; 0: 10 s
	ActivityTimeout  time.Duration // nothing received for so long: ping (PROTOCOL 1.23); 0: 120 s
	PongTimeout      time.Duration // nothing received after the ping for so long: close 4201; 0: 30 s
	Linger           time.Duration // a closed connection may take so long to read its close frame; 0: 2 s
	MaxMessageBytes  int           // of one message, fragments joined; more ends with 1009; 0: 100 KiB
	MaxPendingBytes  int           // that a socket refused; more ends with 4100; 0: 1 MiB
	CompressFrom     int           // bytes of a message from which on it is compressed for who negotiated that (RFC 7692); 0: nobody can
	FirstLoop        int           // number of the first loop, where another server of the node has those before it
	Proxies          Proxies       // whose word about clients counts
	// Door bounds the connections of an address whose request is not whole yet; more
	// are closed. Proxies that are trusted, and unix sockets, are not bounded. Nil: nobody
	// is. The servers of a node share one.
	Door *addrlimit.Limiter
	TLS  *tls.Config  // nil: plain. Only transport/stream can
	Log  *slog.Logger // nil: discards
	// Counters gives the block that a loop counts in. Nil: blocks that nobody reads.
	Counters func(loop int) *metrics.Loop
	// Inherited are listening sockets that are there already, from Server.Listeners or
	// the service manager. Their addresses are not bound. The files stay the caller's.
	Inherited map[Address][]*os.File
	// HTTP takes connections that turned out not to be WebSocket connections. What
	// was read of them comes back first from Read. Nil: they are closed. It may be
	// called from any goroutine and must not block.
	HTTP func(net.Conn)
}

// WithDefaults returns o with every zero field replaced.
func (o Options) WithDefaults() Options {
	if o.Loops <= 0 {
		o.Loops = runtime.GOMAXPROCS(0)
	}
	o.Loops = min(o.Loops, MaxLoops-o.FirstLoop)
	orDuration(&o.HandshakeTimeout, 10*time.Second)
	orDuration(&o.ActivityTimeout, 120*time.Second)
	orDuration(&o.PongTimeout, 30*time.Second)
	orDuration(&o.Linger, 2*time.Second)
	if o.MaxMessageBytes <= 0 {
		o.MaxMessageBytes = 100 << 10
	}
	if o.MaxPendingBytes <= 0 {
		o.MaxPendingBytes = 1 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Counters == nil {
		set := metrics.New()
		o.Counters = set.Loop
	}
	return o
}

func orDuration(d *time.Duration, otherwise time.Duration) {
	if *d <= 0 {
		*d = otherwise
	}
}

// Tick is how often a loop looks at its timers: a second, or a quarter of the
// shortest timeout where that is less.
func (o Options) Tick() time.Duration {
	shortest := min(o.HandshakeTimeout, o.ActivityTimeout, o.PongTimeout)
	return max(min(shortest/4, time.Second), time.Millisecond)
}

// EnterDoor judges a connection that was accepted from an address. What it lets in
// leaves its seat, which may be nil, once its request is whole or it is gone.
func (o *Options) EnterDoor(from net.Addr) (seat *addrlimit.Seat, ok bool) {
	if o.Door == nil || o.Proxies.Trust(from) {
		return nil, true
	}
	seat, verdict := o.Door.Enter(from)
	return seat, verdict == addrlimit.Admitted
}
