//go:build linux

package epoll

import (
	"net"
	"path/filepath"
	"testing"

	"dunlin/transport"
	"dunlin/transport/contract"
)

func listenWith(how Sleep) contract.Listen {
	return func(a []transport.Address, o transport.Options, h transport.NewHandler) (transport.Server, error) {
		s, err := ListenSleeping(how, a, o, h)
		if err != nil {
			return nil, err // not a nil *Server in an interface
		}
		return s, nil
	}
}

func TestContract(t *testing.T) { contract.Run(t, listenWith(Parked)) }

func TestContractBlocking(t *testing.T) { contract.Run(t, listenWith(Blocking)) }

// TestDesertedSocket replaces the file of a server that was killed, but not that
// of one that lives.
func TestDesertedSocket(t *testing.T) {
	t.Parallel()
	at := []transport.Address{{Network: "unix", Address: filepath.Join(t.TempDir(), "dunlin.sock")}}
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: at[0].Address})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	left.Close()
	newHandler := func(transport.Loop) transport.Handler { return greeter{} }
	s, err := Listen(at, transport.Options{}, newHandler)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if second, err := Listen(at, transport.Options{}, newHandler); err == nil {
		second.Close()
		t.Error("a second start shares the socket")
	}
	nc, err := net.Dial("unix", at[0].Address)
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
}
