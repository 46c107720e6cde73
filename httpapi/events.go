package httpapi

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"dunlin/apps"
	"dunlin/cluster"
	"dunlin/protocol"
)

// event is a validated event but for its channels. Its strings are views of the
// request.
type event struct {
	name   string
	data   protocol.StringLiteral
	except protocol.SocketID
	want   cluster.Info
	asked  bool // for info, which decides the shape of the answer
}

// newEvent judges the fields of an event (PROTOCOL 5.16, 5.18, 5.19).
func newEvent(f *fields, limits *apps.Limits) (e event, err error) {
	if e.name, err = eventName(f.name, limits.EventNameLength); err != nil {
		return e, err
	}
	if e.data, err = eventData(f.data, limits.EventBytes); err != nil {
		return e, err
	}
	if !f.socketID.missing() {
		if !f.socketID.isString() {
			return e, badRequest("Expected socket_id parameter to be a string")
		}
		e.except, _ = protocol.ParseSocketID(f.socketID.text()) // unknown ids exclude nobody (PROTOCOL 5.22)
	}
	if !f.info.missing() {
		if !f.info.isString() {
			return e, unknownInfo(string(f.info))
		}
		list := f.info.text()
		e.asked = list != ""
		e.want, err = parseInfo(list, cluster.WantUsers|cluster.WantSubscriptions)
	}
	return e, err
}

func eventName(v value, limit int) (string, error) {
	if !v.isString() {
		return "", badRequest("Expected name parameter to be a string")
	}
	switch name := v.text(); {
	case name == "":
		return "", badRequest("Expected name parameter not to be empty")
	case protocol.ReservedEvent(name):
		return "", badRequest("The 'pusher' namespace is reserved for internal usage")
	case limit > 0 && len(name) > limit && utf8.RuneCountInString(name) > limit:
		return "", badRequest("The event name exceeds the allowed maximum (" + strconv.Itoa(limit) + " characters)")
	default:
		return name, nil
	}
}

// eventData counts the bytes of the string after JSON decoding (PROTOCOL 5.18),
// which never makes it longer: most need not be decoded to know.
func eventData(v value, limit int) (protocol.StringLiteral, error) {
	data := protocol.StringLiteral(v)
	switch {
	case !v.isString():
		return "", badRequest("Expected data parameter to be a string")
	case limit > 0 && len(v) > limit+len(`""`) && data.Len() > limit:
		return "", tooLarge(protocol.ErrDataTooLarge(limit).Message)
	}
	return data, nil
}

// eventChannel judges the name of a channel that is published to; alone says that
// it is the only one.
func eventChannel(v value, limits *apps.Limits, alone bool) (string, error) {
	if !v.isString() {
		return "", badRequest("Expected channel parameter to be a string")
	}
	name := v.text()
	if err := checkChannelName(name, limits); err != nil {
		return "", err
	}
	switch kind := protocol.KindOf(name); {
	case alone:
		return name, nil
	case kind.Is(protocol.Encrypted):
		return "", badRequest("You cannot trigger to multiple channels when using encrypted channels")
	case kind.Is(protocol.User):
		return "", badRequest("You cannot trigger to multiple channels when sending to a user")
	}
	return name, nil
}

// checkChannelName judges any channel name of a request: a plain one, or that of
// a user's channel (PROTOCOL 2.1–2.3).
func checkChannelName(name string, limits *apps.Limits) error {
	limit := limits.ChannelNameLength
	user, isUser := protocol.ServerToUser(name)
	switch {
	case isUser && userIDFits(user, limits):
		return nil
	case limit > 0 && len(name) > limit && protocol.ValidChannelName(name, len(name)):
		return badRequest("The channel name exceeds the allowed maximum (" + strconv.Itoa(limit) + " characters)")
	case !protocol.ValidChannelName(name, len(name)):
		return badRequest(protocol.ErrChannelName(name).Message)
	}
	return nil
}

// postEvents publishes one event to one or many channels (PROTOCOL 5b).
func (s *Server) postEvents(c *call) error {
	f, err := c.event()
	if err != nil {
		return err
	}
	e, err := newEvent(&f, &c.app.Limits)
	if err != nil {
		return err
	}
	list, err := s.fanOut(c.app, &e, &f)
	if err != nil {
		return err
	}
	receipts, err := s.publish(c, list)
	if err != nil {
		return err
	}
	if !e.asked {
		return answerEmpty(c)
	}
	return answerChannels(c, list, receipts)
}

// fanOut makes the publications of an event, one a distinct channel.
func (s *Server) fanOut(app *apps.App, e *event, f *fields) ([]cluster.Publication, error) {
	if f.channels.missing() {
		return s.single(app, e, f.channel)
	}
	n, err := countChannels(f.channels, app.Limits.ChannelsPerEvent)
	if err != nil {
		return nil, err
	}
	list := make([]cluster.Publication, 0, n)
	known := newNames(n)
	f.channels.each(func(_ string, item value) bool {
		var name string
		if name, err = eventChannel(item, &app.Limits, n == 1); err == nil && known.add(name, list) {
			list = append(list, s.publication(app, e, name))
		}
		return err == nil
	})
	return list, err
}

func (s *Server) single(app *apps.App, e *event, channel value) ([]cluster.Publication, error) {
	if channel.missing() {
		return nil, badRequest("Missing required parameter: channels")
	}
	name, err := eventChannel(channel, &app.Limits, true)
	if err != nil {
		return nil, err
	}
	return []cluster.Publication{s.publication(app, e, name)}, nil
}

func countChannels(v value, limit int) (int, error) {
	if !v.isArray() {
		return 0, badRequest("Expected channels parameter to be an array")
	}
	switch n := v.count(); {
	case n == 0:
		return 0, badRequest("Expected channels parameter not to be empty")
	case limit > 0 && n > limit:
		return 0, badRequest("Too many channels (" + strconv.Itoa(n) + " > " + strconv.Itoa(limit) + ")")
	default:
		return n, nil
	}
}

// publication is an event for one channel. It holds nothing of the request.
func (s *Server) publication(app *apps.App, e *event, channel string) cluster.Publication {
	kind := protocol.KindOf(channel)
	p := cluster.Publication{
		Channel: protocol.ChannelKey{App: app.ID, Name: strings.Clone(channel)},
		Message: cluster.Message{Frame: protocol.ChannelEvent(e.name, e.data, channel, ""), Except: e.except},
		Want:    e.want,
	}
	if kind.Is(protocol.Cache) {
		p.Keep = s.opts.CacheTTL
	}
	if !kind.Is(protocol.Presence) {
		p.Want &^= cluster.WantUsers // asked of other channels it is left out (PROTOCOL 5.24)
	}
	return p
}

// publish publishes what an app may publish now, all or none of it.
func (s *Server) publish(c *call, list []cluster.Publication) ([]cluster.Receipt, error) {
	if err := s.admitEvents(c.app, len(list)); err != nil {
		return nil, err
	}
	if c.trace != nil {
		for i := range list {
			list[i].Trace = c.trace
		}
	}
	ctx := within(s.opts.RequestTimeout)
	defer ctx.stop()
	receipts, err := s.opts.Hub.Publish(ctx, list)
	if err == nil {
		s.published(c.app, list)
	}
	return receipts, err
}

func (s *Server) published(app *apps.App, list []cluster.Publication) {
	bytes := 0
	for i := range list {
		bytes += list[i].Frame.Size()
	}
	s.quotas.of(app.ID).counts.Published.Add(uint64(len(list)), uint64(bytes))
}

// names tells which channels an event goes to already. Few are compared with the
// list itself, many have a map.
type names map[string]struct{}

func newNames(n int) names {
	const few = 16
	if n <= few {
		return nil
	}
	return make(names, n)
}

// add reports whether name is not in the list yet (PROTOCOL 5.21).
func (n names) add(name string, list []cluster.Publication) bool {
	if n != nil {
		before := len(n)
		n[name] = struct{}{}
		return len(n) > before
	}
	for i := range list {
		if list[i].Channel.Name == name {
			return false
		}
	}
	return true
}
