package protocol

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Error is what a client is told: the data of pusher:error, and the code and
// reason of the close frame when the error ends the connection. Code 0 is sent
// as null and never closes (PROTOCOL 1.28, 1.35).
type Error struct {
	Code    int
	Message string
}

func (e *Error) Error() string {
	if e.Code == 0 {
		return e.Message
	}
	return strconv.Itoa(e.Code) + " " + e.Message
}

// Codes that dunlin sends (PROTOCOL 1.35). 40xx: do not reconnect; 41xx: back
// off; 42xx: reconnect at once; 43xx: an event only, never a close code (1.36).
const (
	CodeTLSOnly         = 4000
	CodeNoApp           = 4001
	CodeAppDisabled     = 4003
	CodeOverQuota       = 4004
	CodePathNotFound    = 4005
	CodeBadVersion      = 4006
	CodeOldProtocol     = 4007
	CodeNoProtocol      = 4008
	CodeUnauthorized    = 4009
	CodeOverCapacity    = 4100
	CodeReconnect       = 4200
	CodePongTimeout     = 4201
	CodeClientEventRate = 4301
	CodeWatchlistLimit  = 4302
)

// Errors that end a connection and carry nothing of the request.
var (
	ErrAppDisabled  = &Error{CodeAppDisabled, "Application disabled"}
	ErrPathNotFound = &Error{CodePathNotFound, "Path not found"}
	ErrBadVersion   = &Error{CodeBadVersion, "Invalid version string format"}
	ErrOldProtocol  = &Error{CodeOldProtocol, "Unsupported protocol version"}
	ErrNoProtocol   = &Error{CodeNoProtocol, "No protocol version supplied"}
	ErrTLSOnly      = &Error{CodeTLSOnly, "Application only accepts SSL connections, reconnect using wss://"}
	ErrOverQuota    = &Error{CodeOverQuota, "Application is over connection quota"}
	ErrOrigin       = &Error{CodeUnauthorized, "Origin not allowed"}
	ErrUnauthorized = &Error{CodeUnauthorized, "Connection not authorized within timeout"}
	ErrTerminated   = &Error{CodeUnauthorized, "You got disconnected by the app."}
	ErrOverCapacity = &Error{CodeOverCapacity, "Over capacity"}
	ErrReconnect    = &Error{CodeReconnect, "Please reconnect immediately"}
	ErrPongTimeout  = &Error{CodePongTimeout, "Pong reply not received"}
)

// Errors that leave the connection open and carry nothing of the message.
var (
	ErrInvalidJSON        = &Error{0, "Received invalid JSON"}
	ErrBinaryMessage      = &Error{0, "Binary messages are not supported"}
	ErrClientEventRate    = &Error{CodeClientEventRate, "Client event rejected due to rate limit"}
	ErrClientEventsOff    = &Error{0, "To send client events, you must enable this feature in the Settings page of your dashboard."}
	ErrClientEventChannel = &Error{0, "Client event rejected - only supported on private and presence channels"}
	ErrClientEventShape   = &Error{0, "Invalid client event (must contain channel and data)"}
	ErrWatchlistLimit     = &Error{CodeWatchlistLimit, "Watchlist limit exceeded. Only the first 100 user IDs are accepted."}
	ErrOtherUser          = &Error{0, "The connection is already signed in as another user"}
	ErrAuthFormat         = &Error{0, "Invalid format: auth must have the format key:signature"}
)

// ErrUnknownKey is the refusal of a key that no app has (PROTOCOL 1.35).
func ErrUnknownKey(key string) *Error {
	return &Error{CodeNoApp, "App key " + clip(key) + " not in this cluster. Did you forget to specify the cluster?"}
}

// maxReason is what a close frame leaves for its reason (RFC 6455 §5.5).
const maxReason = 123

// Reason returns the message cut, between characters, to what fits in a close
// frame (PROTOCOL 1.33).
func (e *Error) Reason() string {
	s := strings.ToValidUTF8(e.Message, "\uFFFD") // it may repeat what a client sent, which is not always UTF-8
	return prefix(s, maxReason)
}

// clip keeps what a client sent from growing the answer about it.
func clip(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return prefix(s, most) + "…"
}

// prefix returns at most most bytes of s, cut between characters.
func prefix(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

// Refusals that repeat what the client sent, none of which closes.

// ErrUnknownEvent answers an event that no client may send (PROTOCOL 1.42, 3.2).
func ErrUnknownEvent(name string) *Error {
	return &Error{0, "Unknown event: " + clip(name) + " (client events begin with " + ClientEventPrefix + ")"}
}

// ErrAlreadySubscribed answers a repeated subscribe (PROTOCOL 2.25).
func ErrAlreadySubscribed(channel string) *Error {
	return &Error{0, "Existing subscription to channel " + clip(channel)}
}

// ErrNoSubscription answers an unsubscribe without a subscribe (PROTOCOL 2.26).
func ErrNoSubscription(channel string) *Error {
	return &Error{0, "No current subscription to channel " + clip(channel) + ", or subscription in progress"}
}

// ErrAuthRequired answers a subscribe without auth (PROTOCOL 2.19).
func ErrAuthRequired(channel string) *Error {
	return &Error{0, "Auth info required to subscribe to " + clip(channel)}
}

// ErrAuthKey answers an auth string with another app's key (PROTOCOL 2.19).
func ErrAuthKey(key string) *Error {
	return &Error{0, "Invalid key in subscription auth data: '" + clip(key) + "'"}
}

// ErrAuthSignature answers a wrong signature (PROTOCOL 2.19).
func ErrAuthSignature(signed []byte, got string) *Error {
	return &Error{0, "Invalid signature: Expected HMAC SHA256 hex digest of " + string(signed) + ", but got " + clip(got)}
}

// ErrChannelDataRequired answers a presence subscribe that names no user
// (PROTOCOL 2.31).
func ErrChannelDataRequired(channel string) *Error {
	return &Error{0, "Invalid channel_data: " + clip(channel) + " needs a user_id"}
}

// ErrNotThatUser answers a subscribe to another user's channel (PROTOCOL 2.58).
func ErrNotThatUser(channel string) *Error {
	return &Error{0, "Only the signed-in user may subscribe to " + clip(channel)}
}

// ErrTooManyMembers answers a user beyond the member limit (PROTOCOL 2.39b).
func ErrTooManyMembers(limit int) *Error {
	return &Error{0, "The maximum members per presence channel limit was reached (" + strconv.Itoa(limit) + " members)"}
}

// ErrTooManyChannels answers a subscribe beyond the connection's limit.
func ErrTooManyChannels(limit int) *Error {
	return &Error{0, "The maximum channels per connection limit was reached (" + strconv.Itoa(limit) + " channels)"}
}
