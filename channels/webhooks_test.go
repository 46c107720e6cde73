package channels

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"dunlin/apps"
	"dunlin/cluster"
	"dunlin/cluster/memory"
	"dunlin/protocol"
	"dunlin/webhooks"
	queues "dunlin/webhooks/memory"
)

// hooked is a world whose app has these webhooks, and what they were told.
func hooked(t *testing.T, change func(*Options, *apps.App), hooks ...apps.Webhook) (*world, func(want ...string)) {
	t.Helper()
	q := queues.New(queues.Options{})
	outbox := webhooks.NewOutbox(webhooks.OutboxOptions{Queue: q, Log: slog.New(slog.DiscardHandler)})
	w := newWorld(t, 2, func(o *Options, a *apps.App) {
		a.Webhooks = hooks
		o.Webhooks = outbox
		o.Engine = memory.New(memory.Options{Webhooks: outbox, Debounce: time.Millisecond})
		if change != nil {
			change(o, a)
		}
	})
	t.Cleanup(func() { outbox.Close(context.Background()) })
	var told []string
	return w, func(want ...string) {
		t.Helper()
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		w.until(fmt.Sprintf("webhooks %q, have %q", want, told), func() bool {
			list, err := q.Take(ended, 100)
			for i := range list {
				if list[i].At.IsZero() || list[i].App != "1" {
					t.Errorf("event %+v", list[i])
				}
				body := string(webhooks.Body(list[i : i+1]))
				told = append(told, body[len(fmt.Sprintf(`{"time_ms":%d,"events":[`, list[i].At.UnixMilli())):len(body)-2])
			}
			return err != nil && len(told) >= len(want)
		})
		if !slices.Equal(told, want) {
			t.Errorf("told\n%q\nwant\n%q", told, want)
		}
		told = nil
	}
}

func everything() apps.Webhook { return apps.NewWebhook("http://127.0.0.1/", 1) }

// PROTOCOL 6.9–6.12, 6.20, 6.21, 4.30: from frames to events; nothing of user
// channels and watchlists
func TestTransitionsAreTold(t *testing.T) {
	t.Parallel()
	w, told := hooked(t, func(_ *Options, a *apps.App) { a.WatchlistEvents = true }, everything())
	a, b := w.open(0), w.open(1)
	b.signin(`{"id":"bob","watchlist":["ann"]}`)
	a.signin(`{"id":"ann"}`)
	a.subscribe("#server-to-user-ann", "")
	a.subscribe("room", "")
	b.subscribe("room", "")
	a.subscribe("presence-p", member("ann"))
	told(`{"name":"channel_occupied","channel":"room"}`, `{"name":"channel_occupied","channel":"presence-p"}`,
		`{"name":"member_added","channel":"presence-p","user_id":"ann"}`)
	a.leaveAll()
	told(`{"name":"member_removed","channel":"presence-p","user_id":"ann"}`, `{"name":"channel_vacated","channel":"presence-p"}`)
	b.leaveAll()
	told(`{"name":"channel_vacated","channel":"room"}`)
}

// What nobody wants is not tracked.
func TestFlagsFollowWebhooks(t *testing.T) {
	t.Parallel()
	const occupancy, members, has = cluster.TrackOccupancy, cluster.TrackMembers, cluster.HasMembers
	for name, c := range map[string]struct {
		types          protocol.HookType
		prefix, suffix string
		public         cluster.Flags
		presence       cluster.Flags
	}{
		"all":           {protocol.AllHooks, "", "", occupancy, occupancy | members | has},
		"vacated only":  {protocol.HookVacated, "", "", occupancy, occupancy | has},
		"removed only":  {protocol.HookMemberRemoved, "", "", 0, members | has},
		"client events": {protocol.HookClientEvent, "", "", 0, has},
		"prefix":        {protocol.AllHooks, "presence-", "", 0, occupancy | members | has},
		"suffix":        {protocol.AllHooks, "", "room", occupancy, has},
	} {
		hook := everything()
		hook.Types, hook.Prefix, hook.Suffix = c.types, c.prefix, c.suffix
		x := &session{app: &apps.App{Webhooks: []apps.Webhook{hook}}}
		for channel, want := range map[string]cluster.Flags{"room": c.public, "presence-p": c.presence, "#server-to-user-1": 0} {
			if got := flagsOf(x.app, channel, protocol.KindOf(channel)); got != want {
				t.Errorf("%s: %s has flags %b, want %b", name, channel, got, want)
			}
		}
	}
}

// PROTOCOL 6.14, 6.16, 6.18, 3.15
func TestClientEventsAreTold(t *testing.T) {
	t.Parallel()
	hook := everything()
	hook.Types = protocol.HookClientEvent
	w, told := hooked(t, nil, hook)
	a := w.open(0)
	a.subscribe("presence-p", member("ann"))
	a.subscribe("private-encrypted-e", "")
	w.until("both subscriptions", func() bool { return len(a.got) == 2 })
	a.say(`{"event":"client-e","channel":"presence-p","data":{"a":1}}`)
	a.say(`{"event":"client-e","channel":"private-encrypted-e","data":"{\"nonce\":\"n\",\"ciphertext\":\"c\"}"}`)
	a.say(`{"event":"client-e","channel":"private-other","data":"not subscribed"}`)
	id := a.id.String()
	told(`{"name":"client_event","channel":"presence-p","event":"client-e","data":"{\"a\":1}","socket_id":"`+id+`","user_id":"ann"}`,
		`{"name":"client_event","channel":"private-encrypted-e","event":"client-e","data":"{\"nonce\":\"n\",\"ciphertext\":\"c\"}","socket_id":"`+id+`"}`)
}

// PROTOCOL 6.15
func TestCountsAreTold(t *testing.T) {
	t.Parallel()
	hook := everything()
	hook.Types = protocol.HookCount
	w, told := hooked(t, func(_ *Options, a *apps.App) { a.SubscriptionCountEvents = true }, hook)
	count := func(n int) string {
		return fmt.Sprintf(`{"name":"subscription_count","channel":"room","subscription_count":%d}`, n)
	}
	a, b := w.open(0), w.open(1)
	a.subscribe("presence-p", member("ann"))
	a.subscribe("room", "")
	b.subscribe("room", "")
	told(count(1), count(2))
	a.leaveAll()
	told(count(1))
	b.leaveAll()
	told(count(0))
}

// PROTOCOL 6.13, 2.42
func TestCacheMissIsToldOnce(t *testing.T) {
	t.Parallel()
	hook := everything()
	hook.Types = protocol.HookCacheMiss
	w, told := hooked(t, nil, hook)
	for i := range 6 {
		c := w.open(i % 2)
		c.subscribe("cache-c", "")
		c.subscribe("private-cache-d", "")
		w.until("both misses", func() bool { return len(c.got) == 4 })
	}
	told(`{"name":"cache_miss","channel":"cache-c"}`, `{"name":"cache_miss","channel":"private-cache-d"}`)
}

func TestMisses(t *testing.T) {
	t.Parallel()
	var m misses
	key := func(name string) protocol.ChannelKey { return protocol.ChannelKey{App: "1", Name: name} }
	for _, c := range []struct {
		at   time.Duration
		name string
		want bool
	}{
		{0, "a", true}, {time.Second, "a", false}, {2 * time.Second, "b", true}, {missInterval - 1, "a", false},
		{missInterval, "a", true}, {missInterval + time.Second, "b", false}, {missInterval + 2*time.Second, "b", true}, {5 * missInterval, "c", true},
	} {
		if got := m.first(key(c.name), time.Unix(0, 0).Add(c.at)); got != c.want {
			t.Errorf("%s at %v: %v", c.name, c.at, got)
		}
	}
	if len(m.at) != 1 || m.order.Len() != 1 {
		t.Errorf("%d misses are remembered", len(m.at))
	}
}

// Without webhooks nobody is asked anything.
func TestNoWebhooks(t *testing.T) {
	t.Parallel()
	w, told := hooked(t, nil)
	a := w.open(0)
	a.subscribe("presence-cache-p", member("ann"))
	w.until("the miss", func() bool { return len(a.got) == 2 })
	a.leaveAll()
	told()
}
