package httpapi

import (
	"encoding/json"
	"strings"
	"testing"

	"dunlin/cluster"
	"dunlin/protocol"
)

// sdkFixture has a presence channel with every character that names may have.
func sdkFixture(t *testing.T) *fixture {
	f := start(t)
	f.engine.counts["3/presence-a=@,;.b"] = occupied(3, 2)
	f.engine.members["3/presence-a=@,;.b"] = []protocol.Member{{ID: "1", Data: `{"user_id":"1"}`}, {ID: "2", Data: `{"user_id":"2"}`}}
	f.engine.counts["3/private-a=@,;.b"] = cluster.ChannelInfo{Subscriptions: 7}
	return f
}

// TestSDKRequests: what nine HTTP stacks make of the same six wishes is understood
// in the same way. The same request signed with another secret, or changed after it
// was signed, is turned away.
//
// PROTOCOL 4.22, 5.1, 5.2, 5.4, 5.6, 5.9, 5.10, 5.11, 5.14, 5.16, 5.20, 5.35, 5.41, 5.44, 5.45, 5.49, 8.17, 8.20.
func TestSDKRequests(t *testing.T) {
	t.Parallel()
	const channel = "/apps/3/channels/presence-a=@,;.b"
	for _, k := range sdks {
		for _, v := range []struct {
			name string
			ask  ask
			want string
		}{
			{"trigger", ask{"POST", "/apps/3/events", nil, k.trigger}, `{}`},
			{"trigger with info in the query", ask{"POST", "/apps/3/events", []string{"info=user_count,subscription_count"}, k.trigger},
				`{"channels":{"private-a=@,;.b":{"subscription_count":7}}}`},
			{"channels", ask{"GET", "/apps/3/channels", []string{"filter_by_prefix=presence-a=@,;", "info=user_count,subscription_count"}, ""},
				`{"channels":{"presence-a=@,;.b":{"user_count":2,"subscription_count":3}}}`},
			{"channel", ask{"GET", channel, []string{"info=user_count,subscription_count", "note=1+1/é"}, ""},
				`{"occupied":true,"user_count":2,"subscription_count":3}`},
			{"users", ask{"GET", channel + "/users", nil, ""}, `{"users":[{"id":"1"},{"id":"2"}]}`},
			{"terminate", ask{"POST", "/apps/3/users/a@b,c;d=e/terminate_connections", nil, "{}"}, `{}`},
		} {
			t.Run(k.name+"/"+v.name, func(t *testing.T) {
				t.Parallel()
				f := sdkFixture(t)
				f.expect(f.send(k.raw(v.ask, app3)), 200, v.want)
				switch v.name {
				case "trigger":
					f.published(wantTrigger)
				case "terminate":
					if len(f.engine.ended) != 1 || f.engine.ended[0] != "3/a@b,c;d=e" {
						t.Errorf("terminated %q", f.engine.ended)
					}
				}
				turnedAway(t, k, v.ask)
			})
		}
	}
}

// published checks that one event was published: its name, data and channel.
func (f *fixture) published(want [3]string) {
	f.t.Helper()
	events := f.engine.events()
	if len(events) != 1 {
		f.t.Fatalf("published %q", events)
	}
	var m struct{ Event, Data, Channel string }
	if err := json.Unmarshal([]byte(events[0]), &m); err != nil || [3]string{m.Event, m.Data, m.Channel} != want {
		f.t.Errorf("published %q, want %q (%v)", events[0], want, err)
	}
}

// turnedAway sends what must not pass.
func turnedAway(t *testing.T, k sdk, a ask) {
	t.Helper()
	f := sdkFixture(t)
	good := k.raw(a, app3)
	wrong := app3
	wrong.secret = "other-secret"
	bad := map[string]string{
		"with another secret": k.raw(a, wrong),
		"at another time":     strings.Replace(good, "auth_timestamp=1353088179", "auth_timestamp=1353088180", 1),
		"by another method":   strings.Replace(strings.Replace(good, "GET ", "HEAD ", 1), "POST ", "PUT ", 1),
		"with a parameter":    strings.Replace(good, "?", "?a=b&", 1),
	}
	if a.body != "" {
		bad["with another body"] = good[:len(good)-1] + " "
	}
	for how, raw := range bad {
		want := 401
		if strings.HasPrefix(raw, "PUT ") {
			want = 405
		}
		if got := f.send(raw); got.status != want {
			t.Errorf("%s: %d %q, want %d", how, got.status, got.body, want)
		}
	}
	if events := f.engine.events(); len(events)+len(f.engine.ended) > 0 {
		t.Errorf("published %q, terminated %q", events, f.engine.ended)
	}
}

// TestArraysInQueries: the gem signs and sends channels[], escaped or not. What PHP
// makes of an array is signed in one form and sent in another, and fails, as it
// does on the hosted service.
//
// PROTOCOL 5.5, 5.17.
func TestArraysInQueries(t *testing.T) {
	t.Parallel()
	const path = "/apps/3/events"
	for _, v := range []struct {
		name, signed, sent string
		status             int
	}{
		{"gem, escaped", "channels[]=b&channels[]=a", "channels%5B%5D=b&channels%5B%5D=a", 200},
		{"gem, not escaped", "channels[]=b&channels[]=a", "channels[]=b&channels[]=a", 200},
		{"gem, signed in another order", "channels[]=a&channels[]=b", "channels[]=b&channels[]=a", 401},
		{"PHP", "channels=b,a", "channels%5B0%5D=b&channels%5B1%5D=a", 401},
	} {
		f := start(t)
		params := byKey(append(app3.params(""), append(strings.Split(v.signed, "&"), "name=e", "data={}")...))
		sent := strings.Join(app3.params(""), "&") + "&name=e&data=%7B%7D&" + v.sent +
			"&auth_signature=" + app3.signature("POST", path, params)
		got := f.send(request("POST", path+"?"+sent, ""))
		events := strings.Join(f.engine.events(), "")
		want := `{"event":"e","data":"{}","channel":"b"}{"event":"e","data":"{}","channel":"a"}`
		if got.status != v.status || (got.status == 200) != (events == want) {
			t.Errorf("%s: %d %q, published %s", v.name, got.status, got.body, events)
		}
	}
}

// TestUpperCaseKeys are lower-cased before they are sorted and signed, and mean the
// same; values keep their case.
//
// PROTOCOL 5.7.
func TestUpperCaseKeys(t *testing.T) {
	t.Parallel()
	f := sdkFixture(t)
	f.engine.counts["3/presence-A"] = occupied(1, 1)
	const path = "/apps/3/channels"
	params := app3.params("", "filter_by_prefix=presence-A", "info=user_count")
	sent := "INFO=user_count&Filter_By_Prefix=presence-A&AUTH_KEY=" + testKey + "&Auth_Version=1.0&auth_TIMESTAMP=1353088179&AUTH_SIGNATURE="
	f.expect(f.send(request("GET", path+"?"+sent+app3.signature("GET", path, params), "")), 200,
		`{"channels":{"presence-A":{"user_count":1}}}`)
	upper := byKey([]string{"AUTH_KEY=" + testKey, "Auth_Version=1.0", "auth_TIMESTAMP=1353088179",
		"Filter_By_Prefix=presence-A", "INFO=user_count"})
	if got := f.send(request("GET", path+"?"+sent+app3.signature("GET", path, upper), "")); got.status != 401 {
		t.Errorf("signed as sent: %d", got.status)
	}
}
