package main

import (
	"fmt"
	"net"
	"os"
	"slices"

	"github.com/coreos/go-systemd/v22/activation"

	"dunlin/internal/handover"
	"dunlin/transport"
)

// inheritance is what a program need not make itself.
type inheritance struct {
	addresses []transport.Address // to listen on; empty: as configured
	clients   map[transport.Address][]*os.File
	ops       *os.File           // nil: none
	handover  *handover.Listener // for the process after this one; nil: nobody can take over
	from      *predecessor       // nil: the process takes nobody's place
	managed   bool               // the sockets are the service manager's, who keeps them when this process ends
}

// opsSocket is the name of a service manager's socket that is for operators.
const opsSocket = "ops"

// inherit finds what there is: sockets of the service manager, else those of a
// process whose place this one takes.
func inherit(cfg *Config) (in *inheritance, err error) {
	if files := activation.Files(true); len(files) > 0 {
		in, err = fromManager(files)
	} else {
		in, err = fromPredecessor(cfg)
	}
	if err == nil && cfg.Server.Handover != "" {
		if in.handover, err = handover.Listen(cfg.Server.Handover); err != nil {
			in.close()
			err = fmt.Errorf("server.handover: %w", err)
		}
	}
	return in, err
}

// fromPredecessor takes the sockets of the process whose place this one takes, and
// binds what it does not have: once it is told to yield it is too late to fail.
func fromPredecessor(cfg *Config) (*inheritance, error) {
	from, err := callPredecessor(cfg.Server.Handover)
	if err != nil {
		return nil, fmt.Errorf("taking over at %s: %w", cfg.Server.Handover, err)
	}
	in := &inheritance{from: from}
	if from == nil {
		return in, nil
	}
	in.clients = from.clients
	for at, f := range from.ops {
		if cfg.Ops.Enabled && at == cfg.Ops.Address() {
			in.ops = f
		} else {
			f.Close()
		}
	}
	if err := in.bindRest(cfg); err != nil {
		in.close()
		from.conn.Close()
		return nil, err
	}
	return in, nil
}

func (in *inheritance) bindRest(cfg *Config) error {
	plain, secure := in.listeners(cfg.Server)
	for _, at := range slices.Concat(plain, secure) {
		if len(in.clients[at]) > 0 {
			continue
		}
		f, err := bindFile(at)
		if err != nil {
			return fmt.Errorf("listening for clients: %w", err)
		}
		in.clients[at] = []*os.File{f}
	}
	if !cfg.Ops.Enabled || in.ops != nil {
		return nil
	}
	var err error
	if in.ops, err = bindFile(cfg.Ops.Address()); err != nil {
		return fmt.Errorf("listening for operators: %w", err)
	}
	return nil
}

// bindFile listens on an address, as one inherits it.
func bindFile(at transport.Address) (*os.File, error) {
	l, err := transport.Bind(at)
	if err != nil {
		return nil, err
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	defer l.Close()
	return l.(interface{ File() (*os.File, error) }).File()
}

// fromManager takes the sockets that systemd passes to a service. They say
// themselves where they listen.
func fromManager(files []*os.File) (*inheritance, error) {
	in := &inheritance{clients: make(map[transport.Address][]*os.File), managed: true}
	for _, f := range files {
		if f.Name() == opsSocket {
			in.ops = f
			continue
		}
		l, err := transport.Inherit(f)
		if err != nil {
			return nil, fmt.Errorf("the service manager's socket %q can not be served: %w", f.Name(), err)
		}
		if u, ok := l.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false)
		}
		at := transport.Address{Network: l.Addr().Network(), Address: l.Addr().String()}
		l.Close()
		if !slices.Contains(in.addresses, at) {
			in.addresses = append(in.addresses, at)
		}
		in.clients[at] = append(in.clients[at], f)
	}
	return in, nil
}

// takeOver says what the process before this one leaves. Without one nothing is
// left.
func (in *inheritance) takeOver() (state, error) {
	if in.from == nil {
		return state{}, nil
	}
	return in.from.takeOver()
}

// listeners are the addresses to listen on, without TLS and with it.
func (in *inheritance) listeners(s ServerConfig) (plain, secure []transport.Address) {
	if len(in.addresses) == 0 {
		return s.plainAddresses(), s.tlsAddresses()
	}
	for _, a := range in.addresses {
		if s.speaksTLS(a) {
			secure = append(secure, a)
		} else {
			plain = append(plain, a)
		}
	}
	return plain, secure
}

// close lets go of the files, of which whoever needed them has duplicates.
func (in *inheritance) close() {
	transport.CloseFiles(in.clients)
	if in.ops != nil {
		in.ops.Close()
	}
}

// abandon is close for a program that does not start: nobody else is to find
// anything of it.
func (in *inheritance) abandon() {
	in.close()
	if in.handover != nil {
		in.handover.Close()
	}
}
