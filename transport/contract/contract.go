// Package contract is the test of what package transport promises. Every
// implementation runs it.
package contract

import (
	"testing"

	"dunlin/transport"
)

// Listen is the constructor of an implementation.
type Listen func([]transport.Address, transport.Options, transport.NewHandler) (transport.Server, error)

// Run holds an implementation to the contract.
func Run(t *testing.T, listen Listen) {
	// First, and alone: they count what the whole process has.
	t.Run("nothing is left after Close", func(t *testing.T) { leaks(t, listen) })
	t.Run("file descriptors are reused", func(t *testing.T) { reuse(t, listen) })

	for _, group := range [][]testCase{doorCases, frameCases, deflateCases, closeCases, lifeCases, loopCases, serverCases, handoverCases, proxyCases, limitCases} {
		for _, c := range group {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				c.run(t, listen)
			})
		}
	}
}

type testCase struct {
	name string
	run  func(t *testing.T, listen Listen)
}
