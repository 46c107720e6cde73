package redis

import (
	"dunlin/cluster"
	"dunlin/protocol"
)

// The connections of an app are counted like the subscriptions of a channel, whose
// name no channel has. Each message of its topic says how much of the total is
// whose: so a node knows exactly what the others have, in the order of Redis,
// whatever of its own is still on the way.
const connectionsName = "#connections"

func (t *topic) isConnections() bool { return t.key.Name == connectionsName }

// Connections implements cluster.Engine. The topic is held for ever: apps are few.
func (e *Engine) Connections(app string, count int) {
	ch := protocol.ChannelKey{App: app, Name: connectionsName}
	e.Occupy(ch, cluster.CountEvents, count)
	if _, held := e.limited.LoadOrStore(app, true); !held {
		e.Attach(ch, func(error) {})
	}
}

// connectionsMessage takes a total that an incarnation made, of which own is its
// share; a sweep names none.
func (t *topic) connectionsMessage(total int, own, inc string) {
	if reg, _ := t.slice.state(); inc == reg.inc {
		if mine, ok := decodeNumber(own); ok {
			t.view.mine = mine
		}
	}
	t.elsewhere(total)
}

func (t *topic) elsewhere(total int) {
	n := max(total-t.view.mine, 0)
	if n != t.view.count {
		t.view.count = n
		t.slice.engine.handler.Elsewhere(t.key.App, n)
	}
}
