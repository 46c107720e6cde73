package main

import (
	"fmt"
	"net"
	"os"
	"slices"

	"github.com/coreos/go-systemd/v22/activation"

	"dunlin/transport"
)

// inheritance is what a program need not make itself.
type inheritance struct {
	addresses []transport.Address // to listen on; empty: as configured
	clients   map[transport.Address][]*os.File
	ops       *os.File     // nil: none
	from      *predecessor // nil: the process takes nobody's place
	kept      bool         // the service manager keeps the sockets when this process ends
}

// opsSocket is the name of a service manager's socket that is for operators.
const opsSocket = "ops"

// inherit finds what there is: sockets of the service manager, else those of a
// process whose place this one takes.
func inherit(cfg *Config) (*inheritance, error) {
	if files := activation.Files(true); len(files) > 0 {
		return fromManager(files)
	}
	from, err := callPredecessor(cfg.Server.Handover)
	if err != nil {
		return nil, fmt.Errorf("taking over at %s: %w", cfg.Server.Handover, err)
	}
	if from == nil {
		return &inheritance{}, nil
	}
	return &inheritance{clients: from.clients, ops: from.ops[cfg.Ops.Address()], from: from}, nil
}

// fromManager takes the sockets that systemd passes to a service. They say
// themselves where they listen.
func fromManager(files []*os.File) (*inheritance, error) {
	in := &inheritance{clients: make(map[transport.Address][]*os.File), kept: true}
	for _, f := range files {
		if f.Name() == opsSocket {
			in.ops = f
			continue
		}
		l, err := net.FileListener(f)
		if err != nil {
			return nil, fmt.Errorf("the service manager's socket %q does not listen: %w", f.Name(), err)
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
func (in *inheritance) takeOver() (estate, error) {
	if in.from == nil {
		return estate{}, nil
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
