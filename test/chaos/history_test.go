package chaos

// entry is one thing that was done, seen or broken. Nodes are numbered from 1; 0 is
// none, or all. Fields that a kind has no use for are empty.
type entry struct {
	At      int64    `json:"at"` // µs since 1970
	Kind    string   `json:"kind"`
	Node    int      `json:"node,omitempty"`
	Conn    string   `json:"conn,omitempty"` // "c3.2" is the second connection of a client
	Channel string   `json:"channel,omitempty"`
	User    string   `json:"user,omitempty"`
	ID      string   `json:"id,omitempty"`      // of an event, or of a webhook
	Name    string   `json:"name,omitempty"`    // of a fault, or of a webhook
	Members []string `json:"members,omitempty"` // of a snapshot
	Code    int      `json:"code,omitempty"`    // of a close frame
	State   *state   `json:"state,omitempty"`
}

// Kinds of entries.
const (
	fault = "fault" // Name, Node
	heal  = "heal"  // the same: it is over

	opened      = "opened"      // Conn, Node
	closed      = "closed"      // Conn, Code: by the other side
	left        = "left"        // Conn: it closes itself
	subscribe   = "subscribe"   // Conn, Channel, User: was sent
	subscribed  = "subscribed"  // Conn, Channel, Members: was heard
	unsubscribe = "unsubscribe" // Conn, Channel: was sent
	heard       = "heard"       // Conn, Channel, ID: an event
	added       = "added"       // Conn, Channel, User
	removed     = "removed"     // Conn, Channel, User
	unexpected  = "unexpected"  // Conn, Name: any other frame
	publishing  = "publishing"  // ID, Channel, Node: is about to be sent
	published   = "published"   // ID: was answered 200
	refused     = "refused"     // ID: nothing was published
	uncertain   = "uncertain"   // ID: nobody knows
	failed      = "failed"      // ID, Name: any other answer
	webhook     = "webhook"     // ID, Name, Channel, User
	calm        = "calm"        // everything is healed and nobody acts any more
	observed    = "observed"    // State: what Redis has when it has come to rest
	lastWord    = "lastword"    // ID, Channel: published when all was well again
	unreachable = "unreachable" // Node: it does not answer although all is well
)

// state is what Redis has: maps of maps, as state.lua makes them.
type state struct {
	Living    map[string]int64               `json:"living"`    // incarnation → its lease ends, ms
	Counts    map[string]map[string]int      `json:"counts"`    // incarnation → channel → subscriptions
	Tracked   map[string]map[string]int      `json:"tracked"`   // incarnation → channel
	Occupied  map[string]map[string]int      `json:"occupied"`  // channel → incarnation
	Members   map[string]map[string][]string `json:"members"`   // channel → user → incarnations
	Leases    map[string]int                 `json:"leases"`    // incarnation
	Timers    int                            `json:"timers"`    // of vacated and member_removed
	Webhooks  int                            `json:"webhooks"`  // that wait
	HandedOut int                            `json:"handedout"` // of these
}
