package protocol

import "strconv"

// Names of server messages.
const (
	evEstablished   = "pusher:connection_established"
	evError         = "pusher:error"
	evSucceeded     = "pusher_internal:subscription_succeeded"
	evMemberAdded   = "pusher_internal:member_added"
	evMemberRemoved = "pusher_internal:member_removed"
	evSubError      = "pusher:subscription_error"
	evCacheMiss     = "pusher:cache_miss"
	evCount         = "pusher_internal:subscription_count"
	evSignedIn      = "pusher:signin_success"
	evWatchlist     = "pusher_internal:watchlist_events"
)

// Pong answers pusher:ping (PROTOCOL 1.21). Its data is a string, as all data of
// pusher messages but pusher:error.
var Pong = NewFrame([]byte(`{"event":"pusher:pong","data":"{}"}`))

// message starts a frame buffer with {"event":"name","data":
func message(event string, hint int) []byte {
	b := make([]byte, frameHeadroom, frameHeadroom+len(event)+hint+48)
	b = append(b, `{"event":`...)
	b = AppendString(b, event)
	return append(b, `,"data":`...)
}

// onChannel ends a message with ,"channel":"name"}. Channel names in use are
// plain, but an error may repeat one that is not.
func onChannel(b []byte, channel string) *Frame {
	b = append(b, `,"channel":`...)
	b = AppendString(b, channel)
	return frameOf(append(b, '}'))
}

// ConnectionEstablished is the first message of a connection (PROTOCOL 1.16).
// activityTimeout is in seconds and not 0 (1.18).
func ConnectionEstablished(id SocketID, activityTimeout int) *Frame {
	b := message(evEstablished, 80)
	b = append(b, `"{\"socket_id\":\"`...)
	b = id.Append(b)
	b = append(b, `\",\"activity_timeout\":`...)
	b = strconv.AppendInt(b, int64(activityTimeout), 10)
	return frameOf(append(b, `}"}`...))
}

// ErrorMessage is pusher:error. Its data is an object, and code a number or null
// (PROTOCOL 1.28–1.31).
func ErrorMessage(e *Error) *Frame {
	b := message(evError, len(e.Message)+40)
	b = append(b, `{"code":`...)
	if e.Code == 0 {
		b = append(b, "null"...)
	} else {
		b = strconv.AppendInt(b, int64(e.Code), 10)
	}
	b = append(b, `,"message":`...)
	b = AppendString(b, e.Message)
	return frameOf(append(b, "}}"...))
}

// SubscriptionError is what Soketi's users know beside pusher:error (PROTOCOL
// 2.21): kind "AuthError" or "LimitReached", status an HTTP-like number.
func SubscriptionError(channel, kind, text string, status int) *Frame {
	b := message(evSubError, len(channel)+len(text)+80)
	b = append(b, `{"type":`...)
	b = AppendString(b, kind)
	b = append(b, `,"error":`...)
	b = AppendString(b, text)
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(status), 10)
	return onChannel(append(b, '}'), channel)
}

// SubscriptionSucceeded answers a subscribe on any but a presence channel
// (PROTOCOL 2.8, 2.9).
func SubscriptionSucceeded(channel string) *Frame {
	return onChannel(append(message(evSucceeded, len(channel)), `"{}"`...), channel)
}

// PresenceSucceeded answers a subscribe on a presence channel with all of its
// members, the joiner included (PROTOCOL 2.33, 2.34).
func PresenceSucceeded(channel string, members []Listed) *Frame {
	size := len(channel) + 80
	for i := range members {
		size += len(members[i].entry) + members[i].id + 2
	}
	b := append(message(evSucceeded, size), `"{\"presence\":{\"count\":`...)
	b = strconv.AppendInt(b, int64(len(members)), 10)
	b = append(b, `,\"ids\":[`...)
	for i := range members {
		b = append(comma(b, i), members[i].entry[:members[i].id]...)
	}
	b = append(b, `],\"hash\":{`...)
	for i := range members {
		b = append(comma(b, i), members[i].entry...)
	}
	return onChannel(append(b, `}}}"`...), channel)
}

// Listed is a member as subscription_succeeded lists it: encoded once, when the
// member comes, and from then on copied into each list.
type Listed struct {
	entry string // of the hash, inside a JSON string: \"id\":{…}
	id    int    // so much of entry is the id alone
}

// Listed encodes a member for lists.
func (m Member) Listed() Listed {
	info := m.Info()
	id := appendEscaped(make([]byte, 0, len(m.ID)+len(info)*5/4+8), AppendString(nil, m.ID))
	entry := appendEscaped(append(id, ':'), info)
	return Listed{string(entry), len(id)}
}

func comma(b []byte, i int) []byte {
	if i > 0 {
		return append(b, ',')
	}
	return b
}

// MemberAdded tells the others of a user's first connection (PROTOCOL 2.36).
func MemberAdded(channel string, m Member) *Frame {
	return onChannel(AppendString(message(evMemberAdded, len(m.Data)*5/4+len(channel)), m.Data), channel)
}

// MemberRemoved tells the others of a user's last connection (PROTOCOL 2.37).
func MemberRemoved(channel, user string) *Frame {
	inner := append(AppendString([]byte(`{"user_id":`), user), '}')
	return onChannel(AppendString(message(evMemberRemoved, len(inner)+len(channel)), inner), channel)
}

// ChannelEvent is an event for subscribers (PROTOCOL 2.30). data is spliced as it
// is; userID, on client events in presence channels, is left out when "" (3.9).
func ChannelEvent(name string, data StringLiteral, channel, userID string) *Frame {
	b := append(message(name, len(data)+len(channel)+len(userID)), data...)
	if userID == "" {
		return onChannel(b, channel)
	}
	b = append(b, `,"channel":`...)
	b = AppendString(b, channel)
	b = append(b, `,"user_id":`...)
	b = AppendString(b, userID)
	return frameOf(append(b, '}'))
}

// CacheMiss follows subscription_succeeded where there is no last event (PROTOCOL
// 2.41).
func CacheMiss(channel string) *Frame {
	return onChannel(append(message(evCacheMiss, len(channel)), `"{}"`...), channel)
}

// SubscriptionCount tells how many connections subscribe to a channel (PROTOCOL
// 2.51, 2.52).
func SubscriptionCount(channel string, count int) *Frame {
	b := append(message(evCount, len(channel)+40), `"{\"subscription_count\":`...)
	b = strconv.AppendInt(b, int64(count), 10)
	return onChannel(append(b, `}"`...), channel)
}

// SignedIn answers pusher:signin with the very user_data that was signed (PROTOCOL
// 4.5).
func SignedIn(userData string) *Frame {
	inner := append(AppendString([]byte(`{"user_data":`), userData), '}')
	return frameOf(append(AppendString(message(evSignedIn, len(inner)*5/4), inner), '}'))
}

// WatchlistEvents tells who of a watchlist is, or came, online and offline; an
// empty list is left out (PROTOCOL 4.25, 4.26).
func WatchlistEvents(online, offline []string) *Frame {
	inner := []byte(`{"events":[`)
	for i, list := range [][]string{online, offline} {
		if len(list) == 0 {
			continue
		}
		inner = comma(inner, len(inner)-len(`{"events":[`))
		inner = append(inner, `{"name":"`+[2]string{"online", "offline"}[i]+`","user_ids":[`...)
		for j, id := range list {
			inner = AppendString(comma(inner, j), id)
		}
		inner = append(inner, "]}"...)
	}
	inner = append(inner, "]}"...)
	return frameOf(append(AppendString(message(evWatchlist, len(inner)*5/4), inner), '}'))
}
