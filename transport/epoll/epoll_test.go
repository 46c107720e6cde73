//go:build linux

package epoll

import (
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
