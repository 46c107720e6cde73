// Package apps is the contract for where apps come from: what an app is, and how
// the rest of the server finds one.
package apps

import (
	"sync/atomic"

	"dunlin/protocol"
)

// App is one tenant: its credentials, switches and limits. It is immutable once
// it stands in a Registry; a changed app is another App.
type App struct {
	ID      string // [A-Za-z0-9_-]{1,64}
	Key     string
	Secrets []*protocol.Secret // at least one, the newest first; any of them verifies, the oldest signs webhooks
	Enabled bool

	ClientEvents            bool
	ClientEventsLocalFirst  bool // they reach this node's subscribers without the engine
	AuthorizedConnections   bool // PROTOCOL 1.40
	WatchlistEvents         bool
	SubscriptionCountEvents bool
	SubscriptionErrors      bool // PROTOCOL 2.21
	ForceTLS                bool
	AllowedOrigins          []string // host patterns; empty: any

	Webhooks []Webhook

	Limits Limits
}

// Limits of one app. 0 is no limit.
type Limits struct {
	Connections           int
	ClientEventsPerSecond int // per connection
	BackendEventsPerSec   int
	ReadRequestsPerSec    int
	PresenceMembers       int // distinct users in a channel
	PresenceMemberBytes   int // user_info as JSON
	UserIDLength          int // characters
	ChannelNameLength     int // characters
	EventNameLength       int // characters
	EventBytes            int // data after JSON decoding
	ChannelsPerEvent      int
	EventsPerBatch        int
	ChannelsPerConnection int
}

// DefaultLimits are those of the hosted service, where it has any.
func DefaultLimits() Limits {
	return Limits{
		ClientEventsPerSecond: 10,
		PresenceMembers:       100,
		PresenceMemberBytes:   1 << 10,
		UserIDLength:          128,
		ChannelNameLength:     164,
		EventNameLength:       200,
		EventBytes:            10240,
		ChannelsPerEvent:      100,
		EventsPerBatch:        10,
	}
}

// Verify reports whether signature is that of the parts joined under any of the
// app's secrets, in constant time for each.
func (a *App) Verify(signature []byte, parts ...[]byte) bool {
	ok := false
	for _, s := range a.Secrets {
		if s.Verify(signature, parts...) {
			ok = true
		}
	}
	return ok
}

// HookSecret signs webhooks: the oldest that is still accepted, since a consumer
// learns of a newer one later than the server (PROTOCOL 6.2).
func (a *App) HookSecret() *protocol.Secret { return a.Secrets[len(a.Secrets)-1] }

// Registry finds apps. Lookups may be made from any goroutine and never block.
type Registry struct {
	current atomic.Pointer[index]
}

type index struct {
	list  []*App
	byKey map[string]*App
	byID  map[string]*App
}

// NewRegistry returns a registry of these apps. Keys and ids must be unique.
func NewRegistry(list ...*App) *Registry {
	r := &Registry{}
	r.Replace(list)
	return r
}

// Replace puts another list in place of the present one, all at once.
func (r *Registry) Replace(list []*App) {
	x := &index{list: list, byKey: make(map[string]*App, len(list)), byID: make(map[string]*App, len(list))}
	for _, a := range list {
		x.byKey[a.Key] = a
		x.byID[a.ID] = a
	}
	r.current.Store(x)
}

// ByKey returns the app with that key, or nil.
func (r *Registry) ByKey(key string) *App { return r.current.Load().byKey[key] }

// ByID returns the app with that id, or nil.
func (r *Registry) ByID(id string) *App { return r.current.Load().byID[id] }

// All returns the apps in the order they were given. Read only.
func (r *Registry) All() []*App { return r.current.Load().list }
