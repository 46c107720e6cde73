package channels

import "dunlin/protocol"

// subscribe serves pusher:subscribe (PROTOCOL 2.7–2.26). The signature is judged
// before anything that it protects.
func (x *session) subscribe(m protocol.ClientMessage) *protocol.Error {
	want, bad := protocol.DecodeSubscribe(m)
	if bad != nil {
		return bad
	}
	kind := protocol.KindOf(want.Channel)
	if bad := x.nameable(want.Channel, kind); bad != nil {
		return bad
	}
	if x.subs.find(want.Channel) != nil {
		return protocol.ErrAlreadySubscribed(want.Channel)
	}
	if kind.Is(protocol.Private) {
		if bad := x.authorize(want); bad != nil {
			return x.refuse(want.Channel, authError, bad)
		}
	}
	if most := x.app.Limits.ChannelsPerConnection; most > 0 && len(x.subs.list) >= most {
		return x.refuse(want.Channel, limitReached, protocol.ErrTooManyChannels(most))
	}
	var member protocol.Member
	if kind.Is(protocol.Presence) {
		if member, bad = x.member(want); bad != nil {
			return x.refuse(want.Channel, authError, bad)
		}
	}
	return x.join(want.Channel, kind, member)
}

// nameable checks a channel's name, and that a user's own channel is asked for by
// that user (PROTOCOL 2.1–2.3, 2.6, 2.58).
func (x *session) nameable(name string, kind protocol.Kind) *protocol.Error {
	if !kind.Is(protocol.User) {
		if !protocol.ValidChannelName(name, x.app.Limits.ChannelNameLength) {
			return protocol.ErrChannelName(name)
		}
		return nil
	}
	if id, ok := protocol.ServerToUser(name); !ok || x.user == nil || x.user.ID != id {
		return protocol.ErrNotThatUser(name)
	}
	return nil
}

// authorize checks the signature of a subscription (PROTOCOL 2.13–2.19).
// channel_data is signed whenever it was sent, byte for byte.
func (x *session) authorize(want protocol.Subscribe) *protocol.Error {
	if want.Auth == "" {
		return protocol.ErrAuthRequired(want.Channel)
	}
	signed := x.conn.ID().Append(make([]byte, 0, 64+len(want.Channel)+len(want.ChannelData)))
	signed = append(append(signed, ':'), want.Channel...)
	if want.ChannelDataGiven {
		signed = append(append(signed, ':'), want.ChannelData...)
	}
	return x.verify(want.Auth, signed)
}

// verify checks "key:signature" over a text.
func (x *session) verify(auth string, signed []byte) *protocol.Error {
	key, signature, ok := protocol.SplitAuth(auth)
	switch {
	case !ok:
		return protocol.ErrAuthFormat
	case key != x.app.Key:
		return protocol.ErrAuthKey(key)
	case !x.app.Verify([]byte(signature), signed):
		x.shard.hub.log.Debug("signature refused", "app", x.app.ID, "signed", string(signed), "signature", signature)
		return protocol.ErrAuthSignature(signed, signature)
	}
	return nil
}

// member reads who joins a presence channel: channel_data says so, else the
// signed-in user does (PROTOCOL 2.31, 2.32).
func (x *session) member(want protocol.Subscribe) (protocol.Member, *protocol.Error) {
	l := &x.app.Limits
	if !want.ChannelDataGiven {
		if x.user == nil {
			return protocol.Member{}, protocol.ErrChannelDataRequired(want.Channel)
		}
		return x.user.Member(l.UserIDLength, l.PresenceMemberBytes)
	}
	return protocol.DecodeMember(want.ChannelData, l.UserIDLength, l.PresenceMemberBytes)
}

// refusal is a kind of pusher:subscription_error with its status (PROTOCOL 2.21,
// 2.39b).
type refusal struct {
	kind   string
	status int
}

var (
	authError    = refusal{"AuthError", 401}
	limitReached = refusal{"LimitReached", 4004}
)

// refuse sends pusher:subscription_error where the app wants it, and returns the
// error that follows it.
func (x *session) refuse(channel string, r refusal, e *protocol.Error) *protocol.Error {
	if x.app.SubscriptionErrors {
		x.conn.Send(protocol.SubscriptionError(channel, r.kind, e.Message, r.status))
	}
	return e
}

// unsubscribe serves pusher:unsubscribe, which has no answer but errors (PROTOCOL
// 2.26, 2.27).
func (x *session) unsubscribe(m protocol.ClientMessage) *protocol.Error {
	name, bad := protocol.DecodeUnsubscribe(m)
	if bad != nil {
		return bad
	}
	sub := x.subs.find(name)
	if sub == nil {
		return protocol.ErrNoSubscription(name)
	}
	x.shard.leave(sub)
	x.subs.remove(sub)
	x.moved(sub.entry)
	return nil
}
