package httpapi

import (
	"slices"
	"strings"
	"testing"
	"time"

	"dunlin/protocol"
)

// TestDeprecatedEvents: the body is the data as it stands, the rest is in the path
// and the query; 202.
//
// PROTOCOL 5.18, 5.50.
func TestDeprecatedEvents(t *testing.T) {
	t.Parallel()
	f := start(t, func(o *Options) { o.CacheTTL = time.Minute })
	for _, v := range []struct{ path, body string }{
		{"channels/a/events", `{"x":"é"}`},
		{"channels/a=@,.;b/events", "no JSON\n\"\\\x00"},
		{"channels/a%3D%40b/events", ""},
		{"channels/%23server-to-user-1/events", "d"},
		{"channels/cache-a/events", strings.Repeat("\n", 10240)},
	} {
		got := f.post(v.path, v.body, "name=e", "socket_id=1.2", "info=ignored", "channel=ignored", "data=ignored")
		f.expect(got, 202, "202 ACCEPTED")
	}
	want := []string{
		`{"event":"e","data":"{\"x\":\"é\"}","channel":"a"}`,
		`{"event":"e","data":"no JSON\n\"\\\u0000","channel":"a=@,.;b"}`,
		`{"event":"e","data":"","channel":"a=@b"}`,
		`{"event":"e","data":"d","channel":"#server-to-user-1"}`,
		`{"event":"e","data":"` + strings.Repeat(`\n`, 10240) + `","channel":"cache-a"}`,
	}
	if got := f.engine.events(); !slices.Equal(got, want) {
		t.Errorf("published %q", got)
	}
	for i, p := range f.engine.publications() {
		if p.Except != (protocol.SocketID{Hi: 1, Lo: 2}) || p.Want != 0 || (p.Keep == time.Minute) != (i == 4) {
			t.Errorf("publication %d: %+v", i, p)
		}
	}
}

// TestDeprecatedEventsRejections: the rules of events hold.
//
// PROTOCOL 2.1, 2.28, 5.18, 5.19, 5.28, 5.50.
func TestDeprecatedEventsRejections(t *testing.T) {
	t.Parallel()
	f := start(t)
	for _, v := range []struct {
		name, path, body, query string
		status                  int
		text                    string
	}{
		{"5.50 not UTF-8", "channels/a/events", "\xff", "name=e", 400, "Invalid request body: not valid UTF-8"},
		{"5.28 no name", "channels/a/events", "d", "x=y", 400, "Expected name parameter to be a string"},
		{"5.19 long name", "channels/a/events", "d", "name=" + strings.Repeat("x", 201), 400,
			"The event name exceeds the allowed maximum (200 characters)"},
		{"5.50 name not UTF-8", "channels/a/events", "d", "name=\xff", 400, "Invalid query string: not valid UTF-8"},
		{"2.28", "channels/a/events", "d", "name=pusher:e", 400, "The 'pusher' namespace is reserved for internal usage"},
		{"2.1", "channels/a%20b/events", "d", "name=e", 400, "Invalid channel name: a b"},
		{"5.18", "channels/a/events", strings.Repeat("é", 5121), "name=e", 413, dataTooLarge},
	} {
		t.Run(v.name, func(t *testing.T) { f.refused(f.post(v.path, v.body, v.query), v.status, v.text) })
	}
}

// TestStats: connection_count is everybody's, user_count that of presence channels.
//
// PROTOCOL 5.51.
func TestStats(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.engine.counts["3/a"] = occupied(2, 9)
	f.engine.counts["3/presence-b"] = occupied(5, 2)
	f.expect(f.get("channels/a/stats"), 200, `{"occupied":true,"connection_count":2}`)
	f.expect(f.get("channels/presence-b/stats"), 200, `{"occupied":true,"user_count":2,"connection_count":5}`)
	f.expect(f.get("channels/presence-none/stats"), 200, `{"occupied":false,"user_count":0,"connection_count":0}`)
	f.refused(f.get("channels/a%20b/stats"), 400, "Invalid channel name: a b")
}
