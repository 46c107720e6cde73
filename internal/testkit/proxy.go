package testkit

import (
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Proxy passes connections from a unix socket on to another, and can be told to
// stop that: what a network does between a node and its Redis.
type Proxy struct {
	Socket string

	target   string
	listener net.Listener
	all      sync.WaitGroup

	mu      sync.Mutex
	changed *sync.Cond
	cut     bool // connections are closed, new ones as well
	held    bool // nothing passes, and nobody is told
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
	p := &Proxy{Socket: filepath.Join(dir, "p.sock"), target: target, conns: make(map[net.Conn]struct{})}
	p.changed = sync.NewCond(&p.mu)
	if p.listener, err = net.Listen("unix", p.Socket); err != nil {
		t.Fatal(err)
	}
	p.all.Go(p.accept)
	t.Cleanup(func() {
		p.set(func() { p.over = true })
		p.listener.Close()
		p.all.Wait()
		os.RemoveAll(dir)
	})
	return p
}

// URL names the Redis behind it.
func (p *Proxy) URL() string { return "unix://" + p.Socket }

// Cut closes all connections, and new ones at once.
func (p *Proxy) Cut() { p.set(func() { p.cut = true }) }

// Hold lets nothing pass while connections stay open.
func (p *Proxy) Hold() { p.set(func() { p.held = true }) }

// Heal lets everything pass again. What was held comes late.
func (p *Proxy) Heal() { p.set(func() { p.cut, p.held = false, false }) }

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

// pipe copies one way until either side ends.
func (p *Proxy) pipe(from, to net.Conn) {
	defer func() {
		from.Close()
		to.Close()
		p.mu.Lock()
		delete(p.conns, from)
		p.mu.Unlock()
	}()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		for p.held && !p.cut && !p.over {
			p.changed.Wait()
		}
		p.mu.Unlock()
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
