package apps

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"time"

	"dunlin/protocol"
)

// Webhook is one endpoint that hears of an app's events. Make it with NewWebhook.
type Webhook struct {
	ID    string // names it in queues and dead letters; one app has it once
	URL   string // http or https; may hold credentials
	Shown string // the URL without its credentials and its query, for people

	Types   protocol.HookType
	Headers []Header
	Prefix  string // of the names of channels it hears of; "": any
	Suffix  string
	Batch   Batch
	Flights int // requests under way at once; events of one channel are in one at a time
}

// Header is sent with every request to an endpoint. Its value may be a secret.
type Header struct {
	Name  string
	Value *protocol.Secret
}

// Batch is how many events go into one request, and how long the first waits for
// the others (PROTOCOL 6.6).
type Batch struct {
	Events int // 1: no batching
	Window time.Duration
}

// DefaultBatch is what an endpoint has when nothing is said: batching, as the
// hosted service has it for new apps.
func DefaultBatch() Batch { return Batch{Events: 50, Window: 50 * time.Millisecond} }

// NewWebhook returns an endpoint that hears of everything. The URL must be valid.
// n tells endpoints of one app apart that have the same URL: the first is 1.
func NewWebhook(address string, n int) Webhook {
	sum := sha256.Sum256([]byte(address))
	w := Webhook{ID: hex.EncodeToString(sum[:4]), URL: address, Types: protocol.AllHooks, Batch: DefaultBatch(), Flights: 1}
	if n > 1 {
		w.ID += fmt.Sprint("-", n)
	}
	if u, err := url.Parse(address); err == nil {
		w.Shown = (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
	}
	return w
}

// Wants reports whether the endpoint hears of events of a type, or of one of
// several, in a channel.
func (w *Webhook) Wants(t protocol.HookType, channel string) bool {
	return w.Types&t != 0 && strings.HasPrefix(channel, w.Prefix) && strings.HasSuffix(channel, w.Suffix)
}

// Hears reports whether any endpoint of the app wants events of a type, or of one
// of several, in a channel. Nobody hears of "#server-to-user-" channels (PROTOCOL
// 6.20).
func (a *App) Hears(t protocol.HookType, channel string) bool {
	if len(a.Webhooks) == 0 || strings.HasPrefix(channel, protocol.ServerToUserPrefix) {
		return false
	}
	for i := range a.Webhooks {
		if a.Webhooks[i].Wants(t, channel) {
			return true
		}
	}
	return false
}

// Webhook returns the endpoint of that id, or nil.
func (a *App) Webhook(id string) *Webhook {
	for i := range a.Webhooks {
		if a.Webhooks[i].ID == id {
			return &a.Webhooks[i]
		}
	}
	return nil
}
