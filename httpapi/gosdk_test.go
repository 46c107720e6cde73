package httpapi

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"dunlin/apps"
	"dunlin/cluster"
	"dunlin/protocol"

	"github.com/pusher/pusher-http-go/v5"
)

// goSDK is the official Go SDK, as an application uses it, and a server of today.
func goSDK(t *testing.T) (*fixture, *pusher.Client) {
	f := start(t, func(o *Options) { o.Now = time.Now })
	return f, &pusher.Client{
		AppID: "3", Key: testKey, Secret: testSecret, Host: f.addr,
		EncryptionMasterKeyBase64: base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32))),
	}
}

func pointer(s string) *string { return &s }

// TestGoSDKPublishes: the stock SDK's triggers arrive, and it can read the answers.
//
// PROTOCOL 4.15, 5.16, 5.20, 5.22, 5.23, 5.24, 5.33, 8.21.
func TestGoSDKPublishes(t *testing.T) {
	t.Parallel()
	f, client := goSDK(t)
	f.engine.counts["3/a=@,;.b"] = cluster.ChannelInfo{Subscriptions: 7}
	f.engine.counts["3/presence-b"] = cluster.ChannelInfo{Subscriptions: 3, Users: 2}
	both := pointer("user_count,subscription_count")
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	ok(client.Trigger("a=@,;.b", "e1", map[string]string{"x": "<é/'=&>"}))
	ok(client.TriggerMulti([]string{"b", "c"}, "e2", "text"))
	ok(client.SendToUser("12345", "e3", []byte("bytes")))
	list, err := client.TriggerMultiWithParams([]string{"a=@,;.b", "presence-b"}, "e4", "d",
		pusher.TriggerParams{SocketID: pointer("123.456"), Info: both})
	ok(err)
	if a, b := list.Channels["a=@,;.b"], list.Channels["presence-b"]; len(list.Channels) != 2 ||
		a.UserCount != nil || *a.SubscriptionCount != 7 || *b.UserCount != 2 || *b.SubscriptionCount != 3 {
		t.Errorf("counts %+v", list.Channels)
	}
	batch, err := client.TriggerBatch([]pusher.Event{
		{Channel: "b", Name: "e5", Data: "1", Info: both}, {Channel: "b", Name: "e6", Data: "2", SocketID: pointer("1.2")},
	})
	ok(err)
	if len(batch.Batch) != 2 || *batch.Batch[0].SubscriptionCount != 0 || batch.Batch[1].SubscriptionCount != nil {
		t.Errorf("batch %+v", batch.Batch)
	}
	want := []string{
		`{"event":"e1","data":"{\"x\":\"\\u003cé/'=\\u0026\\u003e\"}","channel":"a=@,;.b"}`,
		`{"event":"e2","data":"text","channel":"b"}`, `{"event":"e2","data":"text","channel":"c"}`,
		`{"event":"e3","data":"bytes","channel":"#server-to-user-12345"}`,
		`{"event":"e4","data":"d","channel":"a=@,;.b"}`, `{"event":"e4","data":"d","channel":"presence-b"}`,
		`{"event":"e5","data":"1","channel":"b"}`, `{"event":"e6","data":"2","channel":"b"}`,
	}
	if got := f.engine.events(); !slices.Equal(got, want) {
		t.Errorf("published\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if p := f.engine.publications(); p[4].Except != (protocol.SocketID{Hi: 123, Lo: 456}) || p[7].Except != (protocol.SocketID{Hi: 1, Lo: 2}) {
		t.Errorf("excluded %v, %v", p[4].Except, p[7].Except)
	}
}

// TestGoSDKEncrypts: an encrypted trigger passes through with nothing but nonce and
// ciphertext, alone and in a batch; the SDK itself refuses several channels.
//
// PROTOCOL 2.54, 2.55.
func TestGoSDKEncrypts(t *testing.T) {
	t.Parallel()
	f, client := goSDK(t)
	if err := client.Trigger("private-encrypted-a", "e", "the secret"); err != nil {
		t.Fatal(err)
	}
	if _, err := client.TriggerBatch([]pusher.Event{{Channel: "private-encrypted-cache-a", Name: "e", Data: "the secret"}}); err != nil {
		t.Fatal(err)
	}
	if err := client.TriggerMulti([]string{"private-encrypted-a", "b"}, "e", "the secret"); err == nil {
		t.Error("the SDK sends to several channels")
	}
	events := f.engine.events()
	if len(events) != 2 {
		t.Fatalf("published %q", events)
	}
	for _, e := range events {
		var m struct{ Event, Data, Channel string }
		var sealed map[string]string
		if json.Unmarshal([]byte(e), &m) != nil || json.Unmarshal([]byte(m.Data), &sealed) != nil || strings.Contains(e, "secret") ||
			!slices.Equal(slices.Sorted(maps.Keys(sealed)), []string{"ciphertext", "nonce"}) {
			t.Errorf("published %s", e)
		}
	}
}

// TestGoSDKQueries: names unescaped in the path, a query that is not escaped at all,
// and answers that its decoder takes.
//
// PROTOCOL 5.4, 5.11, 5.35, 5.38, 5.40, 5.44, 5.45, 8.21.
func TestGoSDKQueries(t *testing.T) {
	t.Parallel()
	f, client := goSDK(t)
	const name = "presence-a=@,;.b"
	both := pointer("user_count,subscription_count")
	empty, err := client.Channels(pusher.ChannelsParams{})
	if err != nil || empty.Channels == nil || len(empty.Channels) != 0 {
		t.Errorf("no channels: %+v %v", empty, err)
	}
	f.engine.counts["3/"+name] = occupied(3, 2)
	f.engine.members["3/"+name] = []protocol.Member{{ID: "10"}, {ID: "x@y"}}
	list, err := client.Channels(pusher.ChannelsParams{FilterByPrefix: pointer("presence-a=@,;"), Info: pointer("user_count")})
	if err != nil || len(list.Channels) != 1 || list.Channels[name].UserCount != 2 {
		t.Errorf("channels: %+v %v", list, err)
	}
	one, err := client.Channel(name, pusher.ChannelParams{Info: both})
	if want := (pusher.Channel{Name: name, Occupied: true, UserCount: 2, SubscriptionCount: 3}); err != nil || *one != want {
		t.Errorf("channel: %+v %v", one, err)
	}
	none, err := client.Channel("never-seen", pusher.ChannelParams{})
	if err != nil || none.Occupied {
		t.Errorf("unoccupied channel: %+v %v", none, err)
	}
	users, err := client.GetChannelUsers(name)
	if err != nil || !slices.Equal(users.List, []pusher.User{{ID: "10"}, {ID: "x@y"}}) {
		t.Errorf("users: %+v %v", users, err)
	}
}

// TestGoSDKErrors: every status that is not success becomes an error with the
// status and the text in it.
//
// PROTOCOL 5.12, 5.13, 5.18, 5.36, 5.46, 5.60, 5.62.
func TestGoSDKErrors(t *testing.T) {
	t.Parallel()
	f, client := goSDK(t)
	client.OverrideMaxMessagePayloadKB = 100
	limited := *f.apps.ByID("3")
	limited.Limits.BackendEventsPerSec = 1
	wrongSecret, wrongKey, unknown, off := *client, *client, *client, *client
	wrongSecret.Secret, wrongKey.Key, unknown.AppID = "other", "xyz", "5"
	off.AppID, off.Key, off.Secret = "off", "off-key", "off-secret"
	for _, v := range []struct {
		name string
		do   func() error
		want string
	}{
		{"400", func() error { _, err := client.GetChannelUsers("a"); return err },
			"Status Code: 400 - Users can only be retrieved for presence channels\n"},
		{"400", func() error {
			_, err := client.Channels(pusher.ChannelsParams{Info: pointer("user_count")})
			return err
		},
			"Status Code: 400 - user_count may only be requested for presence channels - please supply filter_by_prefix begining with presence-\n"},
		{"400", func() error { return client.Trigger("a", "pusher:e", "d") },
			"Status Code: 400 - The 'pusher' namespace is reserved for internal usage\n"},
		{"401", func() error { return wrongSecret.Trigger("a", "e", "d") }, "Status Code: 401 - Invalid signature: you should have sent HmacSHA256Hex("},
		{"401", func() error { return wrongKey.Trigger("a", "e", "d") }, "Status Code: 401 - App key xyz not in this cluster."},
		{"403", func() error { return off.Trigger("a", "e", "d") }, "Status Code: 403 - App is disabled\n"},
		{"403", func() error {
			f.apps.Replace([]*apps.App{&limited})
			return client.TriggerMulti([]string{"a", "b"}, "e", "d")
		}, "Status Code: 403 - The request publishes 2 events, but the app may publish 1 per second\n"},
		{"404", func() error { return unknown.Trigger("a", "e", "d") }, "Status Code: 404 - Unknown app_id\n"},
		{"413", func() error { return client.Trigger("a", "e", strings.Repeat("x", 10241)) }, "Status Code: 413 - " + dataTooLarge + "\n"},
		{"503", func() error {
			f.engine.err = cluster.ErrUnavailable
			return client.Trigger("a", "e", "d")
		}, "Status Code: 503 - Service unavailable, please retry\n"},
	} {
		if err := v.do(); err == nil || !strings.HasPrefix(err.Error(), v.want) {
			t.Errorf("%s: %v, want %q", v.name, err, v.want)
		}
	}
	if events := f.engine.events(); len(events) > 0 {
		t.Errorf("published %q", events)
	}
}
