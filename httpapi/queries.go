package httpapi

import (
	"maps"
	"slices"
	"strings"
	"time"

	"dunlin/cluster"
	"dunlin/protocol"

	"github.com/tidwall/gjson"
)

const presencePrefix = "presence-"

// info reads the query parameter of that name.
func (c *call) info(allowed cluster.Info) (cluster.Info, error) {
	list, _ := c.query.get("info")
	return parseInfo(view(list), allowed)
}

// getChannels lists the occupied channels (PROTOCOL 5d).
func (s *Server) getChannels(c *call) error {
	want, err := c.info(cluster.WantUsers | cluster.WantSubscriptions)
	if err != nil {
		return err
	}
	value, _ := c.query.get("filter_by_prefix")
	prefix := string(value)
	if want&cluster.WantUsers != 0 && !strings.HasPrefix(prefix, presencePrefix) {
		// The spelling is the hosted service's (PROTOCOL 5.36).
		return badRequest("user_count may only be requested for presence channels" +
			" - please supply filter_by_prefix begining with presence-")
	}
	ctx := within(s.opts.RequestTimeout)
	defer ctx.stop()
	found, err := s.opts.Hub.Channels(ctx, c.app.ID, prefix, want)
	if err != nil {
		return err
	}
	c.scratch = appendChannels(c.scratch[:0], found, want)
	return answer(c, c.scratch)
}

// appendChannels lists channels by name. The channels of users are not listed
// (PROTOCOL 4.16).
func appendChannels(b []byte, found map[string]cluster.ChannelInfo, want cluster.Info) []byte {
	b = append(b, `{"channels":{`...)
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if strings.HasPrefix(name, "#") {
			continue
		}
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = append(protocol.AppendString(b, name), ':', '{')
		b = appendCounts(b, want, found[name].Users, found[name].Subscriptions)
		b = append(b, '}')
	}
	return append(b, "}}"...)
}

// channel returns the channel of the path and its kind.
func (c *call) channel() (protocol.ChannelKey, protocol.Kind, error) {
	name := strings.Clone(c.segment(1))
	if err := checkChannelName(name, &c.app.Limits); err != nil {
		return protocol.ChannelKey{}, 0, err
	}
	return protocol.ChannelKey{App: c.app.ID, Name: name}, protocol.KindOf(name), nil
}

// getChannel describes one channel, occupied or not (PROTOCOL 5e).
func (s *Server) getChannel(c *call) error {
	ch, kind, err := c.channel()
	if err != nil {
		return err
	}
	want, err := c.info(cluster.WantUsers | cluster.WantSubscriptions | cluster.WantCache)
	if err != nil {
		return err
	}
	switch {
	case want&cluster.WantUsers != 0 && !kind.Is(protocol.Presence):
		return badRequest("Cannot retrieve the user count unless the channel is a presence channel")
	case want&cluster.WantCache != 0 && !kind.Is(protocol.Cache):
		return badRequest("Cannot retrieve the cache unless the channel is a cache channel")
	}
	ctx := within(s.opts.RequestTimeout)
	defer ctx.stop()
	found, err := s.opts.Hub.Channel(ctx, ch, want)
	if err != nil {
		return err
	}
	c.scratch = appendChannel(c.scratch[:0], &found, want)
	return answer(c, c.scratch)
}

func appendChannel(b []byte, found *cluster.ChannelInfo, want cluster.Info) []byte {
	if found.Occupied {
		b = append(b, `{"occupied":true`...)
	} else {
		b = append(b, `{"occupied":false`...)
	}
	b = appendCounts(b, want, found.Users, found.Subscriptions)
	if want&cluster.WantCache != 0 {
		b = appendCache(b, found.Last)
	}
	return append(b, '}')
}

// appendCache appends the kept event's data, and for how many more seconds it is
// kept, begun seconds counted (PROTOCOL 2.48).
func appendCache(b []byte, last *cluster.Last) []byte {
	if last == nil {
		return append(b, `,"cache":null`...)
	}
	data := gjson.GetBytes(last.Frame.Payload(), "data").Raw
	b = append(append(b, `,"cache":{"data":`...), data...)
	b = appendCount(b, "ttl", int((last.TTL+time.Second-1)/time.Second))
	return append(b, '}')
}

// getUsers lists the members of a presence channel (PROTOCOL 5f).
func (s *Server) getUsers(c *call) error {
	ch, kind, err := c.channel()
	if err != nil {
		return err
	}
	if !kind.Is(protocol.Presence) {
		return badRequest("Users can only be retrieved for presence channels")
	}
	if extra := c.query.besides("with_user_info"); extra != nil {
		return badRequest("The following query string parameters are extraneous: " + strings.Join(extra, ", "))
	}
	ctx := within(s.opts.RequestTimeout)
	defer ctx.stop()
	members, err := s.opts.Hub.Members(ctx, ch)
	if err != nil {
		return err
	}
	value, _ := c.query.get("with_user_info")
	c.scratch = appendUsers(c.scratch[:0], members, string(value) == "1")
	return answer(c, c.scratch)
}

// appendUsers lists members; their user_info is what Soketi adds when asked.
func appendUsers(b []byte, members []protocol.Member, withInfo bool) []byte {
	b = append(b, `{"users":[`...)
	for i := range members {
		if i > 0 {
			b = append(b, ',')
		}
		b = protocol.AppendString(append(b, `{"id":`...), members[i].ID)
		if withInfo {
			b = append(append(b, `,"user_info":`...), members[i].Info()...)
		}
		b = append(b, '}')
	}
	return append(b, "]}"...)
}

// besides lists the parameters other than those of authentication and one more.
func (q *query) besides(known string) (extra []string) {
	for i := range q.params {
		switch key := string(q.params[i].key); key {
		case paramKey, paramTimestamp, paramVersion, paramSignature, paramMD5, known:
		default:
			if !slices.Contains(extra, cut(key)) {
				extra = append(extra, cut(key))
			}
		}
	}
	return extra
}
