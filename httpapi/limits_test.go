package httpapi

import (
	"fmt"
	"strings"
	"testing"

	"dunlin/apps"
)

// limitCase is a limit that this package enforces: a request that is just inside
// of 7, which takes every size n, and how one more is refused.
type limitCase struct {
	name   string
	set    func(*apps.Limits, int)
	path   string
	body   func(n int) string
	status int
	text   string
}

func eventBody(name, data, channel string) string {
	return fmt.Sprintf(`{"name":"%s","data":"%s","channel":"%s"}`, name, data, channel)
}

func limitCases() []limitCase {
	x := func(n int) string { return strings.Repeat("x", n) }
	names := func(n int) string { return strings.TrimPrefix(numbered(`,"c%d"`, n), ",") }
	list := func(n int) string { return strings.TrimPrefix(strings.Repeat(","+eventBody("e", "d", "c"), n), ",") }
	return []limitCase{
		{"2.2 channel_name_length", func(l *apps.Limits, n int) { l.ChannelNameLength = n }, "events",
			func(n int) string { return eventBody("e", "d", x(n)) }, 400, "The channel name exceeds the allowed maximum (7 characters)"},
		{"5.19 event_name_length", func(l *apps.Limits, n int) { l.EventNameLength = n }, "events",
			func(n int) string { return eventBody(strings.Repeat("é", n), "d", "c") }, 400, "The event name exceeds the allowed maximum (7 characters)"},
		{"5.18 event_bytes", func(l *apps.Limits, n int) { l.EventBytes = n }, "events",
			func(n int) string { return eventBody("e", strings.Repeat(`\n`, n), "c") }, 413, strings.Replace(dataTooLarge, "10240", "7", 1)},
		{"5.31 event_bytes", func(l *apps.Limits, n int) { l.EventBytes = n }, "batch_events",
			func(n int) string { return `{"batch":[` + eventBody("e", x(n), "c") + `]}` }, 413, strings.Replace(dataTooLarge, "10240", "7", 1)},
		{"5.29 channels_per_event", func(l *apps.Limits, n int) { l.ChannelsPerEvent = n }, "events",
			func(n int) string { return `{"name":"e","data":"d","channels":[` + names(n) + `]}` }, 400, "Too many channels (8 > 7)"},
		{"5.30 events_per_batch", func(l *apps.Limits, n int) { l.EventsPerBatch = n }, "batch_events",
			func(n int) string { return `{"batch":[` + list(n) + `]}` }, 400, "Batch too large (8 > 7)"},
		{"5.62 backend_events_per_second", func(l *apps.Limits, n int) { l.BackendEventsPerSec = n }, "events",
			func(n int) string { return `{"name":"e","data":"d","channels":[` + names(n) + `]}` }, 403,
			"The request publishes 8 events, but the app may publish 7 per second"},
	}
}

// TestLimits: each limit at a value that is not its default passes what is just
// inside and refuses one more; 0 takes it away.
//
// PROTOCOL 2.2, 5.18, 5.19, 5.29, 5.30, 5.31, 5.62.
func TestLimits(t *testing.T) {
	t.Parallel()
	for _, v := range limitCases() {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			f := start(t)
			limit := func(n int) {
				app := *f.apps.ByID("3")
				v.set(&app.Limits, n)
				f.apps.Replace([]*apps.App{&app})
			}
			limit(7)
			f.refused(f.post(v.path, v.body(8)), v.status, v.text)
			f.expect(f.post(v.path, v.body(7)), 200, "{}")
			limit(0)
			f.expect(f.post(v.path, v.body(8)), 200, "{}")
		})
	}
}

// TestLimitOfUserIDs: to users one may send, whatever is the limit for members of
// presence channels, as long as they can sign in.
//
// PROTOCOL 2.3, 4.4, 4.15.
func TestLimitOfUserIDs(t *testing.T) {
	t.Parallel()
	f := start(t)
	for limit, most := range map[int]int{7: 200, 128: 200, 250: 250, 0: 5000} {
		app := *f.apps.ByID("3")
		app.Limits.UserIDLength = limit
		f.apps.Replace([]*apps.App{&app})
		for n, ok := range map[int]bool{most: true, most + 1: limit == 0} {
			id := strings.Repeat("x", n)
			want := 400
			if ok {
				want = 200
			}
			if got := f.post("events", eventBody("e", "d", "#server-to-user-"+id)); got.status != want {
				t.Errorf("limit %d, send to %d characters: %d %q", limit, n, got.status, got.body)
			}
			if got := f.post("users/"+id+"/terminate_connections", ""); got.status != want {
				t.Errorf("limit %d, terminate %d characters: %d %q", limit, n, got.status, got.body)
			}
		}
	}
}
