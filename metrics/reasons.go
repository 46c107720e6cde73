package metrics

// Drop is the reason for which a connection was ended or work refused by the
// server. Every drop goes through Loop.Drop, once.
type Drop int

const (
	DropSlow           Drop = iota // socket refused more than max_pending_bytes (4100)
	DropPong                       // no sign of life (4201)
	DropHandshake                  // no upgrade request in time
	DropBadRequest                 // upgrade request malformed or too large
	DropFraming                    // RFC 6455 violated
	DropTooBig                     // message above max_message_bytes (1009)
	DropUTF8                       // text that is not UTF-8 (1007)
	DropFileLimit                  // no file descriptor left
	DropPanic                      // a message (4200) or request (500) made the server panic
	DropRefused                    // connection refused with a 40xx code
	DropClientEvents               // client events refused: rate (4301)
	DropClientBacklog              // client events refused: mailbox full (4301)
	DropPublish                    // publishes refused: mailbox full (503)
	DropDrain                      // closed because the node stops (4200)
	DropDetached                   // closed because the node is cut off from what it shares with others (4200)
	DropEventQuota                 // API requests refused: events per second (403)
	DropReadQuota                  // API requests refused: read requests per second (403)
	DropCache                      // last events dropped before their time: cache.max_bytes
	DropApp                        // connections closed because their app was removed (4001) or disabled (4003)
	DropTLS                        // TLS was agreed on, and the handshake failed
	DropPlain                      // plain connections to the TLS port
	DropProxy                      // a trusted proxy sent no valid PROXY header
	DropAddress                    // connections refused: those of one address (4100)
	DropAddressRate                // connections refused: new ones of one address per second (4100)
	DropConnectionRate             // connections refused: new ones per second (4100)
	DropMessageRate                // connections not read from for a while: messages per second
	DropDoor                       // connections closed: those of one address that have not sent their request
	dropCount
)

var dropNames = [dropCount]string{
	"slow", "pong_timeout", "handshake_timeout", "bad_request", "framing", "too_big", "invalid_utf8",
	"file_limit", "panic", "refused", "client_event_rate", "client_event_backlog", "publish_backlog", "drain", "detached",
	"event_quota", "read_quota", "cache", "app", "tls", "plain", "proxy_header",
	"address_connections", "address_rate", "connection_rate", "message_rate", "door",
}

func (d Drop) String() string { return dropNames[d] }

// DropReasons are the names of all reasons.
func DropReasons() []string { return dropNames[:] }

// Refusal is why an authentication failed: where somebody had to show who they are,
// and the cause.
type Refusal int

const (
	_                     Refusal = iota // nothing was refused
	RefusedAPIApp                        // no app of that id
	RefusedAPIKey                        // no key, or one that no app or another app has
	RefusedAPIVersion                    // auth_version missing, or not 1.0
	RefusedAPITimestamp                  // missing, or too far from the server's time
	RefusedAPISignature                  // missing or wrong
	RefusedAPIBody                       // body_md5 missing or wrong
	RefusedAPIDisabled                   // the app is disabled
	RefusedChannelMissing                // a private channel without auth
	RefusedChannelFormat                 // auth is not key:signature
	RefusedChannelKey                    // not the app's key
	RefusedChannelSign                   // signature wrong
	RefusedUserFormat                    // of pusher:signin, as above
	RefusedUserKey
	RefusedUserSign
	RefusedAdmin // admin token missing or wrong
	refusalCount
)

// refusalNames are where and why.
var refusalNames = [refusalCount][2]string{
	{},
	{"api", "app"}, {"api", "key"}, {"api", "version"}, {"api", "timestamp"}, {"api", "signature"}, {"api", "body_md5"}, {"api", "disabled"},
	{"channel", "missing"}, {"channel", "format"}, {"channel", "key"}, {"channel", "signature"},
	{"user", "format"}, {"user", "key"}, {"user", "signature"},
	{"admin", "token"},
}

// String is where and why, as "api signature".
func (r Refusal) String() string { return refusalNames[r][0] + " " + refusalNames[r][1] }

// Kinds of messages that clients send.
const (
	ReceivedSubscribe = iota
	ReceivedUnsubscribe
	ReceivedClientEvent
	ReceivedSignin
	ReceivedPing  // pusher:ping and pusher:pong
	ReceivedOther // anything else, answered with an error
	ReceivedKinds
)

var receivedNames = [ReceivedKinds]string{"subscribe", "unsubscribe", "client_event", "signin", "ping", "other"}

// SentKinds is how many kinds of messages the server sends: those of
// protocol.Class, which is an index of Loop.Sent.
const SentKinds = 4

var sentNames = [SentKinds]string{"protocol", "presence", "client_event", "event"}
