package memory

import (
	"context"
	"strings"

	"dunlin/cluster"
	"dunlin/protocol"
)

// Publish implements cluster.Engine. Nothing here waits.
func (e *Engine) Publish(_ context.Context, list []cluster.Publication) ([]cluster.Receipt, error) {
	var receipts []cluster.Receipt
	for i := range list {
		p := &list[i]
		e.deliver(p)
		if p.Want == 0 {
			continue
		}
		if receipts == nil {
			receipts = make([]cluster.Receipt, len(list))
		}
		receipts[i] = e.receipt(p)
	}
	return receipts, nil
}

// Offer implements cluster.Engine.
func (e *Engine) Offer(p cluster.Publication) bool {
	e.deliver(&p)
	return true
}

// deliver hands an event to the handler. Only for a kept event is there an order
// to hold here, that of the cache; else the handler's own lock makes one.
func (e *Engine) deliver(p *cluster.Publication) {
	h := e.handler.Load()
	if h == nil || p.Elsewhere {
		return
	}
	if p.Keep > 0 {
		s := e.stripe(p.Channel)
		s.publish.Lock()
		defer s.publish.Unlock()
		e.cache.put(p.Channel, p.Frame, p.Keep)
	}
	(*h).Event(p.Channel, p.Message)
}

func (e *Engine) receipt(p *cluster.Publication) cluster.Receipt {
	s := e.stripe(p.Channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels[p.Channel]
	if c == nil {
		return cluster.Receipt{}
	}
	info := c.info(p.Want)
	return cluster.Receipt{Subscriptions: info.Subscriptions, Users: info.Users}
}

// Last implements cluster.Engine.
func (e *Engine) Last(ch protocol.ChannelKey, done func(*cluster.Last, error)) {
	e.notify(func(cluster.Handler) {
		s := e.stripe(ch)
		s.publish.Lock()
		defer s.publish.Unlock()
		done(e.cache.get(ch), nil)
	})
}

func (c *channel) info(want cluster.Info) cluster.ChannelInfo {
	i := cluster.ChannelInfo{Occupied: c.count > 0}
	if want&cluster.WantSubscriptions != 0 {
		i.Subscriptions = c.count
	}
	if want&cluster.WantUsers != 0 {
		i.Users = len(c.members)
	}
	return i
}

// Channel implements cluster.Engine.
func (e *Engine) Channel(_ context.Context, ch protocol.ChannelKey, want cluster.Info) (cluster.ChannelInfo, error) {
	var i cluster.ChannelInfo
	s := e.stripe(ch)
	s.mu.Lock()
	if c := s.channels[ch]; c != nil {
		i = c.info(want)
	}
	s.mu.Unlock()
	if want&cluster.WantCache != 0 {
		i.Last = e.cache.get(ch)
	}
	return i, nil
}

// Channels implements cluster.Engine. It looks at every channel of the node, one
// stripe at a time, and holds up publishers of a stripe no longer than that.
func (e *Engine) Channels(_ context.Context, app, prefix string, want cluster.Info) (map[string]cluster.ChannelInfo, error) {
	list := make(map[string]cluster.ChannelInfo)
	for i := range e.stripes {
		s := &e.stripes[i]
		s.mu.Lock()
		for key, c := range s.channels {
			if key.App == app && c.count > 0 && key.Name[0] != '#' && strings.HasPrefix(key.Name, prefix) {
				list[key.Name] = c.info(want)
			}
		}
		s.mu.Unlock()
	}
	return list, nil
}

// Members implements cluster.Engine.
func (e *Engine) Members(_ context.Context, ch protocol.ChannelKey) ([]protocol.Member, error) {
	s := e.stripe(ch)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.channels[ch]; c != nil {
		return c.list(), nil
	}
	return nil, nil
}
