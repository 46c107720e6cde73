package e2e

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"

	"dunlin/internal/client"
	"dunlin/internal/testkit"
	"dunlin/protocol"
)

// What operators see of a conversation: what is there now, which is gone again when
// everybody left, and what happened, by kind, route and cause.
//
// PITFALLS 26.
func TestFigures(t *testing.T) {
	t.Parallel()
	config := strings.Replace(testkit.DefaultConfig, "ops: {port: 0}", "ops: {port: 0, soketi_prefix: soketi_}", 1)
	eachTransport(t, config, func(t *testing.T, s *testkit.Server) {
		ctx := testkit.Context(t)
		ann, bob := s.Dial(), s.Dial()
		subscribe(t, s, ann, "private-room", "")
		subscribe(t, s, bob, "private-room", "")
		subscribe(t, s, bob, "news", "")
		subscribe(t, s, ann, "presence-room", `{"user_id":"ann"}`)
		subscribe(t, s, bob, "presence-room", `{"user_id":"bob"}`) // ann hears of it
		if err := ann.Trigger(ctx, "private-room", "client-hi", "there"); err != nil {
			t.Fatal(err)
		}
		if _, err := bob.Await(ctx, "client-hi", "private-room"); err != nil {
			t.Fatal(err)
		}
		trigger(t, s, ctx)
		for _, c := range []*client.Conn{ann, bob} {
			if _, err := c.Await(ctx, "news", "private-room"); err != nil {
				t.Fatal(err)
			}
		}
		wrongly(t, s, ctx, ann)
		settled := map[string]float64{
			"dunlin_connections": 2, "dunlin_channels": 3, "dunlin_subscriptions": 5,
			`dunlin_app_connections{app="app-id"}`: 2, `dunlin_app_channels{app="app-id"}`: 3, `dunlin_app_subscriptions{app="app-id"}`: 5,
			`dunlin_messages_received_total{kind="subscribe"}`: 6, `dunlin_messages_received_total{kind="client_event"}`: 1,
			`dunlin_messages_sent_total{kind="presence"}`: 1, `dunlin_messages_sent_total{kind="client_event"}`: 1,
			`dunlin_messages_sent_total{kind="event"}`:                                3,
			`dunlin_app_events_published_total{app="app-id"}`:                         2, // to two channels
			`dunlin_app_messages_delivered_total{app="app-id"}`:                       5,
			`dunlin_auth_failures_total{cause="signature",where="api"}`:               1,
			`dunlin_auth_failures_total{cause="signature",where="channel"}`:           1,
			`dunlin_api_requests_total{route="POST /apps/{app}/events",status="200"}`: 1,
			`dunlin_api_requests_total{route="POST /apps/{app}/events",status="401"}`: 1,
			`dunlin_api_request_seconds_count{route="POST /apps/{app}/events"}`:       2,
			`dunlin_engine_up{type="memory"}`:                                         1, "dunlin_mailbox_bytes": 0,
		}
		for name, want := range settled {
			testkit.Until(t, name, func() bool { return s.Metric(name) == want })
		}
		// One for each event, channel and loop that has subscribers.
		if n := s.Metric("dunlin_event_write_seconds_count"); n < 3 || n > 6 {
			t.Errorf("the time of %v events was measured", n)
		}
		ann.Drop()
		bob.Drop()
		for _, name := range []string{"dunlin_connections", "dunlin_channels", "dunlin_subscriptions", `dunlin_app_connections{app="app-id"}`,
			`dunlin_app_channels{app="app-id"}`, `dunlin_app_subscriptions{app="app-id"}`, `soketi_connected{app_id="app-id",port="0"}`} {
			testkit.Until(t, name+" is 0", func() bool { return s.Metric(name) == 0 })
		}
		if n := s.Metric(`soketi_new_disconnections_total{app_id="app-id",port="0"}`); n != 2 {
			t.Errorf("soketi_new_disconnections_total: %v", n)
		}
	})
}

func trigger(t *testing.T, s *testkit.Server, ctx context.Context) {
	t.Helper()
	if _, err := s.API.Trigger(ctx, client.Publication{Name: "news", Channels: []string{"private-room", "news"}, Data: `{"a":1}`}); err != nil {
		t.Fatal(err)
	}
}

// wrongly signs a request and a subscription with another secret.
func wrongly(t *testing.T, s *testkit.Server, ctx context.Context, c *client.Conn) {
	t.Helper()
	other := client.NewAPI("http://"+s.Addr, testkit.AppID, testkit.Key, protocol.NewSecret("wrong"))
	var refused *client.StatusError
	if _, err := other.Trigger(ctx, client.Publication{Name: "x", Channels: []string{"c"}, Data: "1"}); !errors.As(err, &refused) || refused.Status != 401 {
		t.Errorf("a request that is signed wrongly: %v", err)
	}
	if err := c.Subscribe(ctx, "private-other", other.Authorize(c.SocketID(), "private-other", "")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Await(ctx, "pusher:error", ""); err != nil {
		t.Fatal(err)
	}
}

// A signal turns debug logs on and off again in a running server.
func TestDebugSignal(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, testkit.Options{})
	for i, level := range []string{"DEBUG", "INFO"} {
		s.Signal(syscall.SIGUSR1)
		line := `"msg":"the log's level was changed","to":"` + level + `"`
		testkit.Until(t, line, func() bool { return strings.Count(s.Log(), line) == 1 })
		if strings.Count(s.Log(), "level was changed") != i+1 {
			t.Errorf("the log says\n%s", s.Log())
		}
	}
}
