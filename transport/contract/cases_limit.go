package contract

import (
	"fmt"
	"testing"

	"dunlin/internal/addrlimit"
	"dunlin/metrics"
	"dunlin/transport"
)

var limitCases = []testCase{
	{"an address has only so many connections at the door", crowdedDoor},
}

// crowdedDoor: connections that send nothing have their places until they are gone
// or upgraded; who comes meanwhile is closed and counted.
//
// PITFALLS 29, 30.
func crowdedDoor(t *testing.T, listen Listen) {
	door := addrlimit.New(addrlimit.Limits{PerAddress: 3}, nil)
	n := start(t, listen, config{options: transport.Options{Loops: 2, Door: door}})
	n.connect() // is through the door
	eventually(t, func() error { return taken(door, 0) })
	silent := []*client{n.dial(), n.dial(), n.dial()}
	eventually(t, func() error { return taken(door, 3) })
	n.dial().cut()
	n.drops(metrics.DropDoor, 1)
	silent[0].nc.Close()
	silent[1].write("GET /live HTTP/1.1\r\n\r\n") // goes to HTTP
	silent[2].write(upgradeRequest("/app/key"))
	silent[2].switched()
	eventually(t, func() error { return taken(door, 0) })
	n.connect()
	eventually(t, func() error { return taken(door, 0) })
}

func taken(door *addrlimit.Limiter, want int) error {
	if _, n := door.Taken(); n != want {
		return fmt.Errorf("%d connections have places at the door, want %d", n, want)
	}
	return nil
}
