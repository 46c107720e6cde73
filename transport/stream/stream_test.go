package stream

import (
	"testing"

	"dunlin/transport"
	"dunlin/transport/contract"
)

func listen(a []transport.Address, o transport.Options, h transport.NewHandler) (transport.Server, error) {
	s, err := Listen(a, o, h)
	if err != nil {
		return nil, err // not a nil *Server in an interface
	}
	return s, nil
}

func TestContract(t *testing.T) { contract.Run(t, listen) }
