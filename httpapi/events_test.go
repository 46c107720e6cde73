package httpapi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dunlin/apps"
	"dunlin/cluster"
	"dunlin/metrics"
	"dunlin/protocol"
)

const dataTooLarge = "The data content of this event exceeds the allowed maximum (10240 bytes)." +
	" See https://pusher.com/docs/channels/server_api/http-api#publishing-events for more info"

// TestTrigger: what is accepted, and what subscribers get of it.
//
// PROTOCOL 2.28, 2.30, 2.55, 4.15, 5.16, 5.20, 5.21, 5.26, 8.20.
func TestTrigger(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		name, body string
		events     []string
	}{
		{"5.16 channels", `{"name":"e","data":"d","channels":["a"]}`, []string{`{"event":"e","data":"d","channel":"a"}`}},
		{"5.16 channel", `{"name":"e","data":"d","channel":"a"}`, []string{`{"event":"e","data":"d","channel":"a"}`}},
		{"8.20 null for absent", `{"name":"e","data":"d","channel":"a","channels":null,"socket_id":null,"info":null}`,
			[]string{`{"event":"e","data":"d","channel":"a"}`}},
		{"5.21 duplicates", `{"name":"e","data":"d","channels":["a","b","a","\u0061"]}`,
			[]string{`{"event":"e","data":"d","channel":"a"}`, `{"event":"e","data":"d","channel":"b"}`}},
		{"2.30 data untouched", `{"name":"e","data":"{\"a\":\"\u00e9é\/\\n\"}","channel":"a"}`,
			[]string{`{"event":"e","data":"{\"a\":\"\u00e9é\/\\n\"}","channel":"a"}`}},
		{"empty data", `{"name":"e","data":"","channel":"a"}`, []string{`{"event":"e","data":"","channel":"a"}`}},
		{"9 any event name", `{"name":"App\\Events\\X: \"é\"","data":"d","channel":"a"}`,
			[]string{`{"event":"App\\Events\\X: \"é\"","data":"d","channel":"a"}`}},
		{"5.26 client- names", `{"name":"client-e","data":"d","channel":"a"}`, []string{`{"event":"client-e","data":"d","channel":"a"}`}},
		{"2.28 anchored", `{"name":"my-pusher:e","data":"d","channel":"a"}`, []string{`{"event":"my-pusher:e","data":"d","channel":"a"}`}},
		{"4.15 to a user", `{"name":"e","data":"d","channels":["#server-to-user-12345"]}`,
			[]string{`{"event":"e","data":"d","channel":"#server-to-user-12345"}`}},
		{"2.55 one encrypted", `{"name":"e","data":"d","channels":["private-encrypted-a"]}`,
			[]string{`{"event":"e","data":"d","channel":"private-encrypted-a"}`}},
		{"last of repeated keys", `{"name":"x","data":5,"name":"e","channel":"a","data":"d","channel":"b"}`,
			[]string{`{"event":"e","data":"d","channel":"b"}`}},
		{"unknown keys", `{"name":"e","data":"d","channel":"a","extra":{"name":"x"}}`, []string{`{"event":"e","data":"d","channel":"a"}`}},
		{"white space", " {\r\n\t\"name\" : \"e\" , \"data\" : \"d\", \"channel\":\"a\" } \n", []string{`{"event":"e","data":"d","channel":"a"}`}},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			f := start(t)
			got := f.post("events", v.body)
			f.expect(got, 200, "{}")
			if ct := got.header.Get("Content-Type"); ct != "application/json" {
				t.Errorf("content type %q (PROTOCOL 5.20)", ct)
			}
			if events := f.engine.events(); !slices.Equal(events, v.events) {
				t.Errorf("published %q, want %q", events, v.events)
			}
		})
	}
}

// TestTriggerRejections: nothing of a refused event is published.
//
// PROTOCOL 2.1, 2.2, 2.3, 2.28, 2.55, 4.4, 4.15, 5.18, 5.19, 5.28, 5.29, 5.37; PITFALLS 1.
func TestTriggerRejections(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 201)
	many := func(n int) string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf(`"c%d"`, i)
		}
		return strings.Join(list, ",")
	}
	const notObject = "Invalid request body: expected a JSON object"
	const notJSON = "Invalid request body: not valid JSON"
	const badName = "Expected name parameter to be a string"
	f := start(t)
	for _, v := range []struct {
		name, body string
		status     int
		text       string
	}{
		{"PITFALLS 1 null", `null`, 400, notObject},
		{"PITFALLS 1 empty object", `{}`, 400, badName},
		{"PITFALLS 1 batch", `{"batch":[null]}`, 400, badName},
		{"PITFALLS 1 channels abc", `{"name":"e","data":"d","channels":"abc"}`, 400, "Expected channels parameter to be an array"},
		{"PITFALLS 1 [5]", `[5]`, 400, notObject},
		{"PITFALLS 1 [null]", `[null]`, 400, notObject},
		{"a string", `"x"`, 400, notObject},
		{"channels object", `{"name":"e","data":"d","channels":{"0":"a"}}`, 400, "Expected channels parameter to be an array"},
		{"channels of numbers", `{"name":"e","data":"d","channels":[5]}`, 400, "Expected channel parameter to be a string"},
		{"channels of null", `{"name":"e","data":"d","channels":[null]}`, 400, "Expected channel parameter to be a string"},
		{"channel number", `{"name":"e","data":"d","channel":5}`, 400, "Expected channel parameter to be a string"},
		{"5.29 not JSON", `{"name":"e"`, 400, notJSON},
		{"5.29 trailing", `{"name":"e","data":"d","channel":"a"}x`, 400, notJSON},
		{"5.29 only space", ` `, 400, notJSON},
		{"5.29 nesting bomb", `{"name":"e","data":"d","channel":"a","x":` + strings.Repeat("[", 500_000), 400, notJSON},
		{"5.29 valid but deep", `{"x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`, 400, notJSON},
		{"5.29 not UTF-8", "{\"name\":\"e\",\"data\":\"\xff\",\"channel\":\"a\"}", 400, "Invalid request body: not valid UTF-8"},
		{"5.29 no channels", `{"name":"e","data":"d","channels":[]}`, 400, "Expected channels parameter not to be empty"},
		{"5.29 101 channels", `{"name":"e","data":"d","channels":[` + many(101) + `]}`, 400, "Too many channels (101 > 100)"},
		{"5.28 name number", `{"name":5,"data":"d","channel":"a"}`, 400, badName},
		{"5.28 name null", `{"name":null,"data":"d","channel":"a"}`, 400, badName},
		{"empty name", `{"name":"","data":"d","channel":"a"}`, 400, "Expected name parameter not to be empty"},
		{"no data", `{"name":"e","channel":"a"}`, 400, "Expected data parameter to be a string"},
		{"data object", `{"name":"e","data":{"a":1},"channel":"a"}`, 400, "Expected data parameter to be a string"},
		{"no channel", `{"name":"e","data":"d"}`, 400, "Missing required parameter: channels"},
		{"2.28 pusher:", `{"name":"pusher:x","data":"d","channel":"a"}`, 400, "The 'pusher' namespace is reserved for internal usage"},
		{"2.28 pusher_internal:", `{"name":"pusher_internal:x","data":"d","channel":"a"}`, 400,
			"The 'pusher' namespace is reserved for internal usage"},
		{"2.28 escaped", `{"name":"\u0070usher:x","data":"d","channel":"a"}`, 400,
			"The 'pusher' namespace is reserved for internal usage"},
		{"5.19 long name", `{"name":"` + long + `","data":"d","channel":"a"}`, 400,
			"The event name exceeds the allowed maximum (200 characters)"},
		{"2.1 space", `{"name":"e","data":"d","channels":["good","a b"]}`, 400, "Invalid channel name: a b"},
		{"2.1 empty", `{"name":"e","data":"d","channel":""}`, 400, "Invalid channel name: "},
		{"2.1 slash", `{"name":"e","data":"d","channel":"a/b"}`, 400, "Invalid channel name: a/b"},
		{"2.2 long channel", `{"name":"e","data":"d","channel":"` + long[:165] + `"}`, 400,
			"The channel name exceeds the allowed maximum (164 characters)"},
		{"2.3 #", `{"name":"e","data":"d","channel":"#other"}`, 400, "Invalid channel name: #other"},
		{"2.3 no user", `{"name":"e","data":"d","channel":"#server-to-user-"}`, 400, "Invalid channel name: #server-to-user-"},
		{"4.4 long user", `{"name":"e","data":"d","channel":"#server-to-user-` + long + `"}`, 400,
			"Invalid channel name: " + ("#server-to-user-" + long)[:200] + "…"},
		{"4.15 user among others", `{"name":"e","data":"d","channels":["a","#server-to-user-1"]}`, 400,
			"You cannot trigger to multiple channels when sending to a user"},
		{"2.55 encrypted among others", `{"name":"e","data":"d","channels":["a","private-encrypted-b"]}`, 400,
			"You cannot trigger to multiple channels when using encrypted channels"},
		{"2.55 encrypted cache", `{"name":"e","data":"d","channels":["private-encrypted-cache-b","a"]}`, 400,
			"You cannot trigger to multiple channels when using encrypted channels"},
		{"5.18 too large", `{"name":"e","data":"` + strings.Repeat("x", 10241) + `","channel":"a"}`, 413, dataTooLarge},
		{"5.18 bytes, not characters", `{"name":"e","data":"` + strings.Repeat("é", 5121) + `","channel":"a"}`, 413, dataTooLarge},
		{"5.18 after decoding", `{"name":"e","data":"` + strings.Repeat(`\n`, 10241) + `","channel":"a"}`, 413, dataTooLarge},
		{"socket_id number", `{"name":"e","data":"d","channel":"a","socket_id":5}`, 400, "Expected socket_id parameter to be a string"},
		{"5.37 unknown info", `{"name":"e","data":"d","channel":"a","info":"nonsense"}`, 400,
			"info should be a comma separated list of attributes; not available here: nonsense"},
		{"cache is for queries", `{"name":"e","data":"d","channel":"cache-a","info":"cache"}`, 400,
			"info should be a comma separated list of attributes; not available here: cache"},
		{"info array", `{"name":"e","data":"d","channel":"a","info":["user_count"]}`, 400,
			`info should be a comma separated list of attributes; not available here: ["user_count"]`},
	} {
		t.Run(v.name, func(t *testing.T) { f.refused(f.post("events", v.body), v.status, v.text) })
	}
}

// TestTriggerLimits: what is just inside the limits passes.
//
// PROTOCOL 2.2, 5.16, 5.18, 5.19, 8.11.
func TestTriggerLimits(t *testing.T) {
	t.Parallel()
	channels := make([]string, 100)
	for i := range channels {
		channels[i] = fmt.Sprintf(`"c%d"`, i)
	}
	for _, body := range []string{
		`{"name":"` + strings.Repeat("é", 200) + `","data":"d","channel":"a"}`,
		`{"name":"e","data":"` + strings.Repeat("x", 10240) + `","channel":"a"}`,
		`{"name":"e","data":"` + strings.Repeat(`\u00e9`, 5120) + `","channel":"a"}`,
		`{"name":"e","data":"` + strings.Repeat(`\"`, 10240) + `","channel":"a"}`,
		`{"name":"e","data":"d","channel":"` + strings.Repeat("x", 164) + `"}`,
		`{"name":"e","data":"d","channels":[` + strings.Join(channels, ",") + `]}`,
	} {
		f := start(t)
		f.expect(f.post("events", body), 200, "{}")
		if n := len(f.engine.events()); n != 1 && n != 100 {
			t.Errorf("%d events", n)
		}
	}
}

// TestNoLimits: 0 is no limit.
//
// PROTOCOL 2.2, 5.18, 5.19, 5.29, 5.30.
func TestNoLimits(t *testing.T) {
	t.Parallel()
	f := start(t)
	app := *f.apps.ByID("3")
	app.Limits.ChannelNameLength, app.Limits.EventNameLength, app.Limits.EventBytes = 0, 0, 0
	app.Limits.ChannelsPerEvent, app.Limits.EventsPerBatch, app.Limits.UserIDLength = 0, 0, 0
	f.apps.Replace([]*apps.App{&app})
	long := strings.Repeat("x", 30_000)
	f.expect(f.post("events", `{"name":"`+long+`","data":"`+long+`","channel":"`+long+`"}`), 200, "{}")
	f.expect(f.post("events", `{"name":"e","data":"","channel":"#server-to-user-`+long+`"}`), 200, "{}")
	f.expect(f.post("batch_events", `{"batch":[`+strings.Repeat(`{"name":"e","data":"","channel":"a"},`, 99)+
		`{"name":"e","data":"","channel":"a"}]}`), 200, "{}")
	list := make([]string, 1000)
	for i := range list {
		list[i] = fmt.Sprintf(`"c%d"`, i%500)
	}
	f.expect(f.post("events", `{"name":"e","data":"","channels":[`+strings.Join(list, ",")+`]}`), 200, "{}")
	if n := len(f.engine.events()); n != 1+1+100+500 {
		t.Errorf("%d events", n)
	}
}

// TestPublication: what the hub is told besides the frame.
//
// PROTOCOL 2.40, 2.43, 2.45, 5.22.
func TestPublication(t *testing.T) {
	t.Parallel()
	f := start(t, func(o *Options) { o.CacheTTL = time.Minute })
	for _, v := range []struct {
		channel, socket string
		except          protocol.SocketID
		keep            time.Duration
	}{
		{"a", "123.456", protocol.SocketID{Hi: 123, Lo: 456}, 0},
		{"a", "123123", protocol.SocketID{}, 0},
		{"a", "", protocol.SocketID{}, 0},
		{"cache-a", "1.2", protocol.SocketID{Hi: 1, Lo: 2}, time.Minute},
		{"private-encrypted-cache-a", "", protocol.SocketID{}, time.Minute},
		{"presence-cache-a", "", protocol.SocketID{}, time.Minute},
	} {
		before := len(f.engine.publications())
		f.expect(f.post("events", `{"name":"e","data":"d","channel":"`+v.channel+`","socket_id":"`+v.socket+`"}`), 200, "{}")
		p := f.engine.publications()[before]
		if p.Channel != (protocol.ChannelKey{App: "3", Name: v.channel}) || p.Except != v.except || p.Keep != v.keep || p.Want != 0 {
			t.Errorf("%s %q: %+v", v.channel, v.socket, p)
		}
	}
}

// TestRepeatedRequest: the very same request is another event each time, also one
// that looks like a repetition of the sender's library.
//
// PROTOCOL 5.27.
func TestRepeatedRequest(t *testing.T) {
	t.Parallel()
	f := start(t)
	target := app3.target("POST", "/apps/3/events", vectorBody)
	for n := range 3 {
		f.expect(f.send(request("POST", target, vectorBody, "Idempotency-Key: 1", "X-Request-Id: 1")), 200, "{}")
		if events := f.engine.events(); len(events) != n+1 {
			t.Errorf("%d events after %d requests", len(events), n+1)
		}
	}
}

// TestTriggerInfo: counts of each distinct channel, with the answer that the PHP suite
// asserts.
//
// PROTOCOL 5.23, 5.24, 5.25.
func TestTriggerInfo(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.engine.counts["3/my-channel"] = cluster.ChannelInfo{Subscriptions: 1, Users: 9}
	f.engine.counts["3/presence-b"] = cluster.ChannelInfo{Subscriptions: 3, Users: 1}
	for _, v := range []struct{ channels, info, want string }{
		{`["my-channel","presence-my-channel"]`, "user_count,subscription_count",
			`{"channels":{"my-channel":{"subscription_count":1},"presence-my-channel":{"user_count":0,"subscription_count":0}}}`},
		{`["presence-b","presence-b"]`, " subscription_count , user_count ",
			`{"channels":{"presence-b":{"user_count":1,"subscription_count":3}}}`},
		{`["my-channel"]`, "user_count", `{"channels":{"my-channel":{}}}`},
		{`["my-channel"]`, "", `{}`},
	} {
		f.expect(f.post("events", `{"name":"e","data":"d","channels":`+v.channels+`,"info":"`+v.info+`"}`), 200, v.want)
	}
	f.expect(f.post("events", `{"name":"e","data":"d","channel":"presence-b","info":"user_count"}`), 200,
		`{"channels":{"presence-b":{"user_count":1}}}`)
}

// TestTriggerFromQuery: parameters may come in the query string; the body counts where
// both have one.
//
// PROTOCOL 5.17.
func TestTriggerFromQuery(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.engine.counts["3/a"] = cluster.ChannelInfo{Subscriptions: 7}
	f.expect(f.post("events", "", "name=e", `data={"x":"y"}`, "channels[]=a", "channels[]=b", "socket_id=1.2"), 200, "{}")
	f.expect(f.post("events", `{"name":"body","data":"d","channel":"a"}`, "info=subscription_count", "name=query"), 200,
		`{"channels":{"a":{"subscription_count":7}}}`)
	f.expect(f.post("events", `{"name":"one","data":"d","channel":"a"}`, "channels[]=b", "channel=c"), 200, "{}")
	f.expect(f.post("events", `{"name":"two","data":"d","channels":["a"],"channel":null}`, "channel=c"), 200, "{}")
	want := []string{
		`{"event":"e","data":"{\"x\":\"y\"}","channel":"a"}`,
		`{"event":"e","data":"{\"x\":\"y\"}","channel":"b"}`,
		`{"event":"body","data":"d","channel":"a"}`,
		`{"event":"one","data":"d","channel":"a"}`,
		`{"event":"two","data":"d","channel":"a"}`,
	}
	if got := f.engine.events(); !slices.Equal(got, want) {
		t.Errorf("published %q", got)
	}
	if p := f.engine.publications()[0]; p.Except != (protocol.SocketID{Hi: 1, Lo: 2}) {
		t.Errorf("except %v", p.Except)
	}
}

// TestTriggerFromQueryRejections: the same rules hold there.
//
// PROTOCOL 5.17.
func TestTriggerFromQueryRejections(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.refused(f.post("events", ""), 400, "Expected name parameter to be a string")
	f.refused(f.post("events", "", "name=e", "data=d"), 400, "Missing required parameter: channels")
	f.refused(f.post("events", "", "name=e", "data=d", "channels=a"), 400, "Expected channels parameter to be an array")
	f.refused(f.post("events", "", "name=e", "data=\xff", "channel=a"), 400, "Invalid query string: not valid UTF-8")
}

// TestEngineErrors: what cannot be done now is 503 with Retry-After, a fault is
// 500, and neither tells more.
//
// PROTOCOL 5.60.
func TestEngineErrors(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		err    error
		status int
		text   string
		retry  string
	}{
		{fmt.Errorf("publish: %w", cluster.ErrUnavailable), 503, "Service unavailable, please retry", "1"},
		{fmt.Errorf("%w of all: %w", cluster.ErrUncertain, cluster.ErrUnavailable), 503,
			"No answer in time: the events may have been published, and a retry may publish them again", "1"},
		{context.DeadlineExceeded, 503, "Service unavailable, please retry", "1"},
		{errors.New("redis://user:password@host"), 500, "Internal server error", ""},
	} {
		f := start(t)
		f.engine.err = v.err
		for _, got := range []reply{
			f.post("events", `{"name":"e","data":"d","channel":"a"}`),
			f.post("batch_events", `{"batch":[{"name":"e","data":"d","channel":"a"}]}`),
			f.get("channels"), f.get("channels/a"), f.get("channels/presence-a/users"),
		} {
			f.refused(got, v.status, v.text)
			if r := got.header.Get("Retry-After"); r != v.retry {
				t.Errorf("Retry-After %q, want %q", r, v.retry)
			}
		}
	}
}

// TestPanicCostsOneConnection: PITFALLS 33.
func TestPanicCostsOneConnection(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.engine.panics = true
	got := f.post("events", `{"name":"e","data":"d","channel":"a"}`)
	f.refused(got, 500, "Internal server error")
	if !got.last {
		t.Error("the connection stays open")
	}
	if n := f.counters.Drops(metrics.DropPanic); n != 1 {
		t.Errorf("%d panics counted", n)
	}
	f.engine.panics = false
	f.expect(f.post("events", `{"name":"e","data":"d","channel":"a"}`), 200, "{}")
}

// TestNothingOfTheRequestIsKept: fasthttp reuses its buffers, so what was
// published must be the same after other requests on the connection.
func TestNothingOfTheRequestIsKept(t *testing.T) {
	t.Parallel()
	f := start(t)
	nc, br := f.dial()
	for i := range 20 {
		body := strings.ReplaceAll(`{"name":"event-N","data":"data-N","channels":["channel-N","other-N"]}`, "N", fmt.Sprint(100+i))
		fmt.Fprint(nc, app3.request("POST", "/apps/3/events", body))
		f.expect(f.read(br, "POST"), 200, "{}")
	}
	for i, p := range f.engine.publications() {
		name := [...]string{"channel", "other"}[i%2] + fmt.Sprintf("-%d", 100+i/2)
		frame := fmt.Sprintf(`{"event":"event-%d","data":"data-%d","channel":"%s"}`, 100+i/2, 100+i/2, name)
		if p.Channel.Name != name || string(p.Frame.Payload()) != frame {
			t.Errorf("publication %d is of %s: %s", i, p.Channel.Name, p.Frame.Payload())
		}
	}
}
