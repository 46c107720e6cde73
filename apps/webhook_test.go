package apps

import (
	"testing"

	"dunlin/protocol"
)

// PROTOCOL 6.19, 6.20: who hears of what
func TestHears(t *testing.T) {
	t.Parallel()
	all, some := NewWebhook("https://a.example/", 1), NewWebhook("https://b.example/", 1)
	some.Types, some.Prefix, some.Suffix = protocol.HookOccupied|protocol.HookCount, "pre-", "-post"
	for _, c := range []struct {
		hooks   []Webhook
		types   protocol.HookType
		channel string
		want    bool
	}{
		{nil, protocol.AllHooks, "room", false},
		{[]Webhook{all}, protocol.HookCacheMiss, "cache-c", true},
		{[]Webhook{all}, protocol.AllHooks, "#server-to-user-1", false},
		{[]Webhook{some}, protocol.HookOccupied, "pre-x-post", true},
		{[]Webhook{some}, protocol.HookOccupied | protocol.HookVacated, "pre-x-post", true},
		{[]Webhook{some}, protocol.HookVacated, "pre-x-post", false},
		{[]Webhook{some}, protocol.HookOccupied, "pre-x", false},
		{[]Webhook{some}, protocol.HookOccupied, "x-post", false},
		{[]Webhook{some, all}, protocol.HookVacated, "x", true},
	} {
		a := &App{Webhooks: c.hooks}
		if got := a.Hears(c.types, c.channel); got != c.want {
			t.Errorf("%v in %s: %v", c.types, c.channel, got)
		}
	}
}

// The id of an endpoint is that of its URL and tells nothing of it.
func TestWebhookNames(t *testing.T) {
	t.Parallel()
	const address = "https://user:hush@example.com:8443/hooks/a%2Fb?token=hush"
	w := NewWebhook(address, 1)
	if w.Shown != "https://example.com:8443/hooks/a%2Fb" || w.ID != NewWebhook(address, 1).ID || len(w.ID) != 8 {
		t.Errorf("shown %q, id %q", w.Shown, w.ID)
	}
	second := NewWebhook(address, 2)
	if second.ID != w.ID+"-2" || NewWebhook(address+"2", 1).ID == w.ID {
		t.Errorf("ids %q, %q", w.ID, second.ID)
	}
	a := &App{Webhooks: []Webhook{w, second}}
	if a.Webhook(second.ID) != &a.Webhooks[1] || a.Webhook("none") != nil {
		t.Error("an endpoint is not found by its id")
	}
}
