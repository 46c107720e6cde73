package main

import (
	"reflect"
	"testing"
	"time"

	"dunlin/apps"
)

// TestSwitchesAndLimits: every switch and limit of an app, and what bounds cached
// events, reaches its place with a value that is not the default.
//
// PROTOCOL 1.40, 2.2, 2.39a, 2.43, 2.50, 4.25, 5.62.
func TestSwitchesAndLimits(t *testing.T) {
	t.Parallel()
	cfg := mustLoad(t, `
cache: {ttl: 90s, max_bytes: 1KiB}
apps:
  - id: a
    key: k
    secret: s
    client_events: true
    authorized_connections: true
    watchlist_events: true
    subscription_count_events: true
    subscription_errors: false
    force_tls: true
    allowed_origins: [example.com, "*.example.org"]
    limits:
      connections: 1
      client_events_per_second: 2
      backend_events_per_second: 3
      read_requests_per_second: 4
      presence_members: 5
      presence_member_bytes: 6B
      user_id_length: 7
      channel_name_length: 8
      event_name_length: 9
      event_bytes: 10
      channels_per_event: 11
      events_per_batch: 12
      channels_per_connection: 13
`, nil)
	if cfg.Cache != (CacheConfig{TTL: 90 * time.Second, MaxBytes: 1 << 10}) {
		t.Errorf("cache: %+v", cfg.Cache)
	}
	got := *cfg.Apps[0]
	got.Secrets = nil // not comparable
	want := apps.App{
		ID: "a", Key: "k", Enabled: true,
		ClientEvents: true, AuthorizedConnections: true, WatchlistEvents: true, SubscriptionCountEvents: true, ForceTLS: true,
		AllowedOrigins: []string{"example.com", "*.example.org"},
		Limits: apps.Limits{
			Connections: 1, ClientEventsPerSecond: 2, BackendEventsPerSec: 3, ReadRequestsPerSec: 4, PresenceMembers: 5,
			PresenceMemberBytes: 6, UserIDLength: 7, ChannelNameLength: 8, EventNameLength: 9, EventBytes: 10,
			ChannelsPerEvent: 11, EventsPerBatch: 12, ChannelsPerConnection: 13,
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if _, err := loadText("cache: {max_bytes: 0}\n"+oneApp, nil); err == nil {
		t.Error("cache.max_bytes: 0 is accepted, and would mean the default")
	}
}
