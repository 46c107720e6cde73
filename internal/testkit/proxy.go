package testkit

import (
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Proxy passes connections on to a unix socket, and can be told to stop that: what a
// network does between a node and its Redis.
type Proxy struct {
	Socket string // of StartProxy
	Addr   string // of StartTCPProxy

	target   string
	listener net.Listener
	all      sync.WaitGroup

	mu      sync.Mutex
	changed *sync.Cond
	cut     bool          // connections are closed, new ones as well
	held    bool          // nothing passes, and nobody is told
	delay   time.Duration // of all that passes
	over    bool
	conns   map[net.Conn]struct{}
}

// StartProxy starts a proxy to a unix socket.
func StartProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	dir, err := os.MkdirTemp("", "dunlin-proxy-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := startProxy(t, "unix", filepath.Join(dir, "p.sock"), target)
	p.Socket = p.listener.Addr().String()
	return p
}

// StartTCPProxy starts a proxy from a TCP port, at that address or, with "", on any
// port of the loopback interface, to a unix socket.
func StartTCPProxy(t testing.TB, addr, target string) *Proxy {
	t.Helper()
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	p := startProxy(t, "tcp", addr, target)
	p.Addr = p.listener.Addr().String()
	return p
}

func startProxy(t testing.TB, network, addr, target string) *Proxy {
	t.Helper()
	p := &Proxy{target: target, conns: make(map[net.Conn]struct{})}
	p.changed = sync.NewCond(&p.mu)
	var err error
	if p.listener, err = net.Listen(network, addr); err != nil {
		t.Fatal(err)
	}
	p.all.Go(p.accept)
	t.Cleanup(func() {
		p.set(func() { p.over = true })
		p.listener.Close()
		p.all.Wait()
	})
	return p
}

// URL names the Redis behind it.
func (p *Proxy) URL() string {
	if p.Addr != "" {
		return "redis://" + p.Addr
	}
	return "unix://" + p.Socket
}

// Cut closes all connections, and new ones at once.
func (p *Proxy) Cut() { p.set(func() { p.cut = true }) }

// Hold lets nothing pass while connections stay open.
func (p *Proxy) Hold() { p.set(func() { p.held = true }) }

// Delay lets everything pass so much later.
func (p *Proxy) Delay(by time.Duration) { p.set(func() { p.delay = by }) }

// Heal lets everything pass again. What was held comes late.
func (p *Proxy) Heal() { p.set(func() { p.cut, p.held, p.delay = false, false, 0 }) }

func (p *Proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	if p.cut || p.over {
		for c := range p.conns {
			c.Close()
		}
	}
	p.changed.Broadcast()
}

func (p *Proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("unix", p.target)
		if err != nil || !p.add(in, out) {
			in.Close()
			if out != nil {
				out.Close()
			}
			continue
		}
		p.all.Go(func() { p.pipe(in, out) })
		p.all.Go(func() { p.pipe(out, in) })
	}
}

func (p *Proxy) add(list ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut || p.over {
		return false
	}
	for _, c := range list {
		p.conns[c] = struct{}{}
	}
	return true
}

// piece is what was read at once.
type piece struct {
	data []byte
	due  time.Time // to be written
}

// pipe copies one way until either side ends. What is delayed is on its way together,
// not one after the other.
func (p *Proxy) pipe(from, to net.Conn) {
	defer func() {
		from.Close()
		to.Close()
		p.mu.Lock()
		delete(p.conns, from)
		p.mu.Unlock()
	}()
	way := make(chan piece, 64)
	var writing sync.WaitGroup
	writing.Go(func() { p.write(to, way) })
	defer writing.Wait()
	defer close(way)
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			p.mu.Lock()
			due := time.Now().Add(p.delay)
			p.mu.Unlock()
			way <- piece{append([]byte(nil), buf[:n]...), due}
		}
		if err != nil {
			return
		}
	}
}

// write writes what is due, and nothing more after a failure.
func (p *Proxy) write(to net.Conn, way <-chan piece) {
	var err error
	for x := range way {
		if err != nil {
			continue
		}
		time.Sleep(time.Until(x.due))
		p.mu.Lock()
		for p.held && !p.cut && !p.over {
			p.changed.Wait()
		}
		p.mu.Unlock()
		if _, err = to.Write(x.data); err != nil {
			to.Close() // the other direction ends too
		}
	}
}
