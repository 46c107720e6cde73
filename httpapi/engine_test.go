package httpapi

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dunlin/cluster"
	"dunlin/cluster/memory"
	"dunlin/protocol"
)

// occupy gives a channel of app 3 subscriptions, and a presence channel users.
func occupy(t *testing.T, e cluster.Engine, name string, count int, users ...string) {
	t.Helper()
	ch := protocol.ChannelKey{App: "3", Name: name}
	if len(users) == 0 {
		e.Occupy(ch, 0, count)
		return
	}
	e.Attach(ch, func(error) {})
	e.Occupy(ch, cluster.HasMembers, count)
	for _, id := range users {
		joined := make(chan error, 1)
		e.Join(ch, cluster.HasMembers, protocol.Member{ID: id, Data: `{"user_id":"` + id + `"}`}, 0,
			func(_ cluster.Roster, err error) { joined <- err })
		if err := receive(t, joined); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCountsAndCache: over a real engine, every answer that has counts or a cached
// event has the right ones. No switch is needed for subscription_count.
//
// PROTOCOL 2.43, 2.45, 2.48, 5.24, 5.25, 5.33, 5.35, 5.38, 5.39, 5.41, 5.43, 5.44, 5.45, 5.51.
func TestCountsAndCache(t *testing.T) {
	t.Parallel()
	var now atomic.Int64 // seconds
	now.Store(testTime)
	clock := func() time.Time { return time.Unix(now.Load(), 0) }
	engine := memory.New(memory.Options{Now: clock})
	f := start(t, func(o *Options) {
		o.Now, o.CacheTTL = clock, 90*time.Second
		o.Hub = hubOf(engine, o.Apps, o.Counters)
		if err := engine.Start(o.Hub); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { engine.Close() })
	})
	if f.apps.ByID("3").SubscriptionCountEvents {
		t.Fatal("the switch is on")
	}
	occupy(t, engine, "a", 2)
	occupy(t, engine, "private-b", 1)
	occupy(t, engine, "presence-c", 5, "1", "2")
	occupy(t, engine, "presence-cache-d", 1, "1")

	const both = `,"info":"user_count,subscription_count"`
	f.expect(f.post("events", `{"name":"e","data":"1","channels":["a","presence-c","none"]`+both+`}`), 200,
		`{"channels":{"a":{"subscription_count":2},"presence-c":{"user_count":2,"subscription_count":5},"none":{"subscription_count":0}}}`)
	f.expect(f.post("batch_events", `{"batch":[{"name":"e","data":"2","channel":"cache-e","socket_id":"1.2"},`+
		`{"name":"e","data":"3","channel":"presence-cache-d"`+both+`},{"name":"e","data":"4","channel":"a","info":"subscription_count"}]}`), 200,
		`{"batch":[{},{"user_count":1,"subscription_count":1},{"subscription_count":2}]}`)
	for _, v := range []struct{ path, query, want string }{
		{"channels", "info=subscription_count", `{"channels":{"a":{"subscription_count":2},"presence-c":{"subscription_count":5},` +
			`"presence-cache-d":{"subscription_count":1},"private-b":{"subscription_count":1}}}`},
		{"channels", "info=subscription_count,user_count&filter_by_prefix=presence-c",
			`{"channels":{"presence-c":{"user_count":2,"subscription_count":5},"presence-cache-d":{"user_count":1,"subscription_count":1}}}`},
		{"channels/private-b", "info=subscription_count", `{"occupied":true,"subscription_count":1}`},
		{"channels/presence-c", "info=user_count,subscription_count", `{"occupied":true,"user_count":2,"subscription_count":5}`},
		{"channels/presence-c/stats", "", `{"occupied":true,"user_count":2,"connection_count":5}`},
		{"channels/presence-cache-d/users", "", `{"users":[{"id":"1"}]}`},
		{"channels/presence-cache-d", "info=cache,user_count", `{"occupied":true,"user_count":1,"cache":{"data":"3","ttl":90}}`},
		{"channels/cache-e", "info=cache,subscription_count", `{"occupied":false,"subscription_count":0,"cache":{"data":"2","ttl":90}}`},
		{"channels/private-encrypted-cache-f", "info=cache", `{"occupied":false,"cache":null}`},
	} {
		f.expect(f.get(v.path, strings.FieldsFunc(v.query, func(r rune) bool { return r == '&' })...), 200, v.want)
	}
	now.Add(60)
	f.expect(f.get("channels/cache-e", "info=cache"), 200, `{"occupied":false,"cache":{"data":"2","ttl":30}}`)
	f.expect(f.post("events", `{"name":"e","data":"5","channel":"cache-e"}`), 200, "{}")
	now.Add(60)
	f.expect(f.get("channels/cache-e", "info=cache"), 200, `{"occupied":false,"cache":{"data":"5","ttl":30}}`)
	now.Add(30)
	f.expect(f.get("channels/cache-e", "info=cache"), 200, `{"occupied":false,"cache":null}`)
}

// TestAppsAreApart: what one app publishes and counts, another does not see.
//
// PROTOCOL 5.13, 5.35.
func TestAppsAreApart(t *testing.T) {
	t.Parallel()
	engine := memory.New(memory.Options{})
	f := start(t, func(o *Options) {
		o.Hub = hubOf(engine, o.Apps, o.Counters)
		if err := engine.Start(o.Hub); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { engine.Close() })
	})
	occupy(t, engine, "a", 2)
	f.expect(f.post("events", `{"name":"e","data":"d","channel":"cache-a"}`), 200, "{}")
	for c, want := range map[credentials][2]string{
		app3:                                    {`{"channels":{"a":{"subscription_count":2}}}`, `{"occupied":false,"cache":{"data":"d","ttl":1800}}`},
		{"other-key", "other-secret", testTime}: {`{"channels":{}}`, `{"occupied":false,"cache":null}`},
	} {
		id := map[bool]string{true: "3", false: "4"}[c == app3]
		f.expect(f.send(c.request("GET", "/apps/"+id+"/channels", "", "info=subscription_count")), 200, want[0])
		f.expect(f.send(c.request("GET", "/apps/"+id+"/channels/cache-a", "", "info=cache")), 200, want[1])
	}
}
