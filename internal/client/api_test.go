package client

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"dunlin/protocol"
)

// The example app of Pusher's documentation; the vectors are PROTOCOL 5.3, 2.18.
const (
	docKey    = "278d425bdf160c739803"
	docSecret = "7ad3773142a6692b25b8"
)

func docAPI(base string) *API {
	a := NewAPI(base, "3", docKey, protocol.NewSecret(docSecret))
	a.Now = func() time.Time { return time.Unix(1353088179, 0) }
	return a
}

func TestSignedRequests(t *testing.T) {
	for _, tc := range []struct {
		name, method, path, signature string
		params                        url.Values
		body                          string
	}{
		{
			name: "post", method: "POST", path: "/apps/3/events",
			body:      `{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}`,
			signature: "da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c",
		}, {
			name: "get", method: "GET", path: "/apps/3/channels",
			params:    url.Values{"filter_by_prefix": {"presence-"}, "info": {"user_count"}},
			signature: "16819168891cb5dfd72b5c7a5d3d602605b26c6ba1930033b5e2eeeb65010291",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			q := docAPI("").signed(tc.method, tc.path, tc.params, []byte(tc.body))
			if got := q.Get("auth_signature"); got != tc.signature {
				t.Errorf("signature %s, want %s", got, tc.signature)
			}
		})
	}
}

func TestToSign(t *testing.T) {
	got := toSign("GET", "/p", url.Values{"B": {"2 +%"}, "a[]": {"y", "x"}, "C": {""}})
	if want := "GET\n/p\na[]=y&a[]=x&b=2 +%&c="; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAuthorize(t *testing.T) {
	a := docAPI("")
	for _, tc := range []struct{ channel, data, signature string }{
		{"private-foobar", "", "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4"},
		{
			"presence-foobar", `{"user_id":10,"user_info":{"name":"Mr. Channels"}}`,
			"31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80",
		},
	} {
		got := a.Authorize("1234.1234", tc.channel, tc.data)
		if want := (Authorization{docKey + ":" + tc.signature, tc.data}); got != want {
			t.Errorf("%s: %+v, want %+v", tc.channel, got, want)
		}
	}
}

// recorder is an HTTP API that answers every request alike.
type recorder struct {
	status int
	header http.Header
	answer string

	uri, body, contentType string
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	b, _ := io.ReadAll(req.Body)
	r.uri, r.body, r.contentType = req.RequestURI, string(b), req.Header.Get("Content-Type")
	for k, v := range r.header {
		w.Header()[k] = v
	}
	w.WriteHeader(r.status)
	io.WriteString(w, r.answer)
}

func start(t *testing.T, r *recorder) *API {
	t.Helper()
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	return docAPI(s.URL + "/soup/")
}

func TestTrigger(t *testing.T) {
	r := &recorder{status: 200, answer: `{"channels":{"a":{"subscription_count":2},"b":{}}}`}
	got, err := start(t, r).Trigger(deadline(t), Publication{
		Name: "foo", Data: "x", Channels: []string{"a", "b"}, SocketID: "1.2", Info: "subscription_count",
	})
	if err != nil {
		t.Fatal(err)
	}
	two := 2
	if want := (map[string]ChannelInfo{"a": {SubscriptionCount: &two}, "b": {}}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if want := `{"name":"foo","data":"x","channels":["a","b"],"socket_id":"1.2","info":"subscription_count"}`; r.body != want {
		t.Errorf("body %s, want %s", r.body, want)
	}
	u, err := url.Parse(r.uri)
	if err != nil || u.Path != "/soup/apps/3/events" || r.contentType != "application/json" {
		t.Errorf("uri %s, content type %q", r.uri, r.contentType)
	}
}

func TestBatch(t *testing.T) {
	r := &recorder{status: 200, answer: `{"batch":[{"user_count":0},{}]}`}
	got, err := start(t, r).Batch(deadline(t), Publication{Name: "a", Channel: "c"}, Publication{Name: "b", Channel: "c"})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].UserCount == nil || *got[0].UserCount != 0 || got[1].UserCount != nil {
		t.Errorf("got %v", got)
	}
	if want := `{"batch":[{"name":"a","data":"","channel":"c"},{"name":"b","data":"","channel":"c"}]}`; r.body != want {
		t.Errorf("body %s, want %s", r.body, want)
	}
}

func TestGet(t *testing.T) {
	r := &recorder{status: 200, answer: `{"occupied":true}`}
	a := start(t, r)
	var got struct{ Occupied bool }
	if err := a.Get(deadline(t), "/channels/a=b@c,d;e", url.Values{"info": {"a,b"}}, &got); err != nil {
		t.Fatal(err)
	}
	u, err := url.ParseRequestURI(r.uri)
	if err != nil || !got.Occupied {
		t.Fatalf("uri %s, got %+v", r.uri, got)
	}
	// What was signed is the path as it was sent, and the decoded query.
	q := u.Query()
	signature := q.Get("auth_signature")
	q.Del("auth_signature")
	if want := a.secret.Sign([]byte(toSign("GET", u.EscapedPath(), q))); signature != want {
		t.Errorf("%s is signed %s, want %s", r.uri, signature, want)
	}
}

func TestRefusal(t *testing.T) {
	r := &recorder{status: 403, answer: "Slow down\n", header: http.Header{"Retry-After": {"2"}}}
	_, err := start(t, r).Trigger(deadline(t), Publication{Name: "foo", Channel: "c"})
	var refusal *StatusError
	if !errors.As(err, &refusal) || *refusal != (StatusError{403, "Slow down", 2 * time.Second}) {
		t.Errorf("error %#v", err)
	}
	if err.Error() != "403 Slow down" {
		t.Errorf("text %q", err)
	}
}

func TestNoServerErrorHidesTheSignature(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	a := docAPI(s.URL)
	s.Close()
	_, err := a.Trigger(deadline(t), Publication{Name: "foo", Channel: "c"})
	if err == nil {
		t.Fatal("no error without a server")
	}
	if got := err.Error(); strings.Contains(got, "auth_signature") || !strings.Contains(got, "/events") {
		t.Errorf("text %q", got)
	}
}
