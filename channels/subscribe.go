package channels

import (
	"dunlin/internal/lograte"
	"dunlin/metrics"
	"dunlin/protocol"
)

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
		x.shard.counters.Refuse(metrics.RefusedChannelMissing)
		return protocol.ErrAuthRequired(want.Channel)
	}
	signed := x.conn.ID().Append(make([]byte, 0, 64+len(want.Channel)+len(want.ChannelData)))
	signed = append(append(signed, ':'), want.Channel...)
	if want.ChannelDataGiven {
		signed = append(append(signed, ':'), want.ChannelData...)
	}
	return x.verify(want.Auth, signed, channelRefusals)
}

// authRefusals are the causes for which an auth value is refused.
type authRefusals struct{ format, key, signature metrics.Refusal }

var (
	channelRefusals = authRefusals{metrics.RefusedChannelFormat, metrics.RefusedChannelKey, metrics.RefusedChannelSign}
	userRefusals    = authRefusals{metrics.RefusedUserFormat, metrics.RefusedUserKey, metrics.RefusedUserSign}
)

// verify checks "key:signature" over a text.
func (x *session) verify(auth string, signed []byte, causes authRefusals) *protocol.Error {
	key, signature, ok := protocol.SplitAuth(auth)
	switch {
	case !ok:
		return x.denied(causes.format, protocol.ErrAuthFormat, signed, auth)
	case key != x.app.Key:
		return x.denied(causes.key, protocol.ErrAuthKey(key), signed, signature)
	case !x.app.Verify([]byte(signature), signed):
		return x.denied(causes.signature, protocol.ErrAuthSignature(signed, signature), signed, signature)
	}
	return nil
}

// denied counts an auth value that is refused, and tells the operator why: what
// should have been signed is in it, and no secret.
func (x *session) denied(cause metrics.Refusal, e *protocol.Error, signed []byte, signature string) *protocol.Error {
	x.shard.counters.Refuse(cause)
	h := x.shard.hub
	if leftOut, ok := h.denials.Allow(); ok {
		h.log.Warn("signature refused", "app", x.app.ID, "cause", cause.String(), "socket_id", x.conn.ID().String(),
			"string_to_sign", lograte.Clip(string(signed)), "sent", lograte.Signature(signature), "more_since_last", leftOut)
	}
	return e
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
