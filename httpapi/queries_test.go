package httpapi

import (
	"strings"
	"testing"
	"time"

	"dunlin/cluster"
	"dunlin/protocol"
)

func occupied(subscriptions, users int) cluster.ChannelInfo {
	return cluster.ChannelInfo{Occupied: true, Subscriptions: subscriptions, Users: users}
}

// TestChannels lists occupied channels, with what is asked about them.
//
// PROTOCOL 4.16, 5.25, 5.35, 5.38, 5.39.
func TestChannels(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.expect(f.get("channels"), 200, `{"channels":{}}`) // 5.35: an object
	f.engine.counts["3/a"] = occupied(1, 0)
	f.engine.counts["3/presence-b"] = occupied(5, 2)
	f.engine.counts["3/presence-empty"] = cluster.ChannelInfo{}
	f.engine.counts["3/#server-to-user-1"] = occupied(1, 0) // 4.16: not listed
	f.engine.counts["4/presence-other"] = occupied(1, 1)
	for _, v := range []struct{ name, query, want string }{
		{"5.35", "", `{"channels":{"a":{},"presence-b":{}}}`},
		{"5.35 prefix", "filter_by_prefix=presence-", `{"channels":{"presence-b":{}}}`},
		{"5.35 other prefix", "filter_by_prefix=x", `{"channels":{}}`},
		{"5.38", "filter_by_prefix=presence-&info=user_count", `{"channels":{"presence-b":{"user_count":2}}}`},
		{"5.39", "info=subscription_count", `{"channels":{"a":{"subscription_count":1},"presence-b":{"subscription_count":5}}}`},
		{"both", "filter_by_prefix=presence-b&info=user_count,subscription_count",
			`{"channels":{"presence-b":{"user_count":2,"subscription_count":5}}}`},
	} {
		t.Run(v.name, func(t *testing.T) {
			var more []string
			if v.query != "" {
				more = strings.Split(v.query, "&")
			}
			got := f.get("channels", more...)
			f.expect(got, 200, v.want)
			if ct := got.header.Get("Content-Type"); ct != "application/json" {
				t.Errorf("content type %q", ct)
			}
		})
	}
}

// TestQueryRejections: what cannot be asked of a channel, with the hosted texts.
//
// PROTOCOL 2.1, 2.2, 2.3, 5.36, 5.37, 5.42, 5.43, 5.46, 5.47.
func TestQueryRejections(t *testing.T) {
	t.Parallel()
	f := start(t)
	const noPrefix = "user_count may only be requested for presence channels - please supply filter_by_prefix begining with presence-"
	for _, v := range []struct{ name, path, query, text string }{
		{"5.36", "channels", "info=user_count", noPrefix},
		{"5.36 prefix", "channels", "info=subscription_count,user_count&filter_by_prefix=presence", noPrefix},
		{"5.37", "channels", "info=nonsense", "info should be a comma separated list of attributes; not available here: nonsense"},
		{"5.37 cache", "channels", "info=cache", "info should be a comma separated list of attributes; not available here: cache"},
		{"5.37 one", "channels/a", "info=members", "info should be a comma separated list of attributes; not available here: members"},
		{"5.42", "channels/a", "info=user_count", "Cannot retrieve the user count unless the channel is a presence channel"},
		{"5.42 anchored", "channels/my-presence-a", "info=user_count", "Cannot retrieve the user count unless the channel is a presence channel"},
		{"5.43", "channels/presence-a", "info=cache", "Cannot retrieve the cache unless the channel is a cache channel"},
		{"5.46", "channels/private-a/users", "", "Users can only be retrieved for presence channels"},
		{"5.46 user", "channels/%23server-to-user-1/users", "", "Users can only be retrieved for presence channels"},
		{"5.47", "channels/presence-a/users", "info=user_count", "The following query string parameters are extraneous: info"},
		{"5.47 two", "channels/presence-a/users", "info=x&more=y&with_user_info=1",
			"The following query string parameters are extraneous: info, more"},
		{"2.1", "channels/a%20b", "", "Invalid channel name: a b"},
		{"2.1 slash", "channels/a%2Fb", "", "Invalid channel name: a/b"},
		{"2.2", "channels/" + strings.Repeat("x", 165), "", "The channel name exceeds the allowed maximum (164 characters)"},
		{"2.3", "channels/%23x", "", "Invalid channel name: #x"},
	} {
		t.Run(v.name, func(t *testing.T) {
			var more []string
			if v.query != "" {
				more = strings.Split(v.query, "&")
			}
			f.refused(f.get(v.path, more...), 400, v.text)
		})
	}
}

// TestChannel describes one channel.
//
// PROTOCOL 2.48, 5.25, 5.40, 5.41, 5.44.
func TestChannel(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.engine.counts["3/a"] = occupied(2, 0)
	f.engine.counts["3/presence-b"] = occupied(5, 2)
	f.engine.counts["3/a=@,.;b"] = occupied(1, 0)
	f.engine.counts["3/cache-c"] = cluster.ChannelInfo{Last: &cluster.Last{
		TTL:   59*time.Second + 300*time.Millisecond,
		Frame: protocol.ChannelEvent("data", `"{\"data\":\"\u00e9\"}"`, "cache-c", ""),
	}}
	f.engine.counts["3/presence-cache-d"] = occupied(1, 1)
	for _, v := range []struct{ path, info, want string }{
		{"channels/never-seen", "", `{"occupied":false}`},
		{"channels/a", "", `{"occupied":true}`},
		{"channels/a", "info=subscription_count", `{"occupied":true,"subscription_count":2}`},
		{"channels/never-seen", "info=subscription_count", `{"occupied":false,"subscription_count":0}`},
		{"channels/presence-b", "info=user_count,subscription_count", `{"occupied":true,"user_count":2,"subscription_count":5}`},
		{"channels/cache-c", "info=cache", `{"occupied":false,"cache":{"data":"{\"data\":\"\u00e9\"}","ttl":60}}`},
		{"channels/presence-cache-d", "info=subscription_count,user_count,cache",
			`{"occupied":true,"user_count":1,"subscription_count":1,"cache":null}`},
		{"channels/a=@,.;b", "", `{"occupied":true}`},
		{"channels/a%3D%40%2C.%3Bb", "", `{"occupied":true}`},
		{"channels/%23server-to-user-1", "", `{"occupied":false}`},
	} {
		var more []string
		if v.info != "" {
			more = []string{v.info}
		}
		f.expect(f.get(v.path, more...), 200, v.want)
	}
}

// TestUsers lists members; with_user_info is Soketi's.
//
// PROTOCOL 5.10, 5.45.
func TestUsers(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.engine.members["3/presence-a"] = []protocol.Member{
		{ID: "10", Data: `{"user_id":10,"user_info":{"name":"é"}}`},
		{ID: "quo\"te", Data: `{"user_id":"quo\"te","user_info":{}}`},
	}
	f.expect(f.get("channels/presence-a/users"), 200, `{"users":[{"id":"10"},{"id":"quo\"te"}]}`)
	f.expect(f.get("channels/presence-a/users", "with_user_info=0"), 200, `{"users":[{"id":"10"},{"id":"quo\"te"}]}`)
	f.expect(f.get("channels/presence-a/users", "with_user_info=1"), 200,
		`{"users":[{"id":"10","user_info":{"name":"é"}},{"id":"quo\"te","user_info":{}}]}`)
	f.expect(f.get("channels/presence-none/users"), 200, `{"users":[]}`)
	// Python claims a body's MD5 here too, which is not extraneous (PROTOCOL 5.10).
	f.expect(f.get("channels/presence-none/users", "body_md5=d41d8cd98f00b204e9800998ecf8427e"), 200, `{"users":[]}`)
}

// TestOnlyWhatIsAskedIsCounted: counting costs on a cluster.
func TestOnlyWhatIsAskedIsCounted(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.get("channels/presence-a")
	if f.engine.asked != 0 {
		t.Errorf("asked for %b", f.engine.asked)
	}
	f.get("channels/presence-a", "info=user_count")
	if f.engine.asked != cluster.WantUsers {
		t.Errorf("asked for %b", f.engine.asked)
	}
}
