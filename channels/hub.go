// Package channels is the state machine of the Pusher protocol.
package channels

import (
	"context"

	"dunlin/cluster"
	"dunlin/protocol"
)

// Hub is one node's state.
type Hub struct {
	engine cluster.Engine
}

// Publish delivers events in their order, all or none. When loops are behind it
// waits up to a second, then returns cluster.ErrUnavailable.
func (h *Hub) Publish(ctx context.Context, p []cluster.Publication) ([]cluster.Receipt, error) {
	return h.engine.Publish(ctx, p)
}

// Channels lists the occupied channels of an app whose names begin with prefix.
func (h *Hub) Channels(ctx context.Context, app, prefix string, want cluster.Info) (map[string]cluster.ChannelInfo, error) {
	return h.engine.Channels(ctx, app, prefix, want)
}

// Channel describes one channel, occupied or not.
func (h *Hub) Channel(ctx context.Context, ch protocol.ChannelKey, want cluster.Info) (cluster.ChannelInfo, error) {
	return h.engine.Channel(ctx, ch, want)
}

// Members lists the members of a presence channel.
func (h *Hub) Members(ctx context.Context, ch protocol.ChannelKey) ([]protocol.Member, error) {
	return h.engine.Members(ctx, ch)
}

// Ready says why the node should get no traffic; nil: it should.
func (h *Hub) Ready() error { return h.engine.Health() }
