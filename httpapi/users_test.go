package httpapi

import (
	"slices"
	"strings"
	"testing"

	"dunlin/cluster"
)

// TestTerminate: the user's id as SDKs write it in the path, decoded once; whatever
// the body is, nobody needs it; 200 {} whether or not the user is there.
//
// PROTOCOL 4.20, 4.22, 5.48.
func TestTerminate(t *testing.T) {
	t.Parallel()
	f := start(t)
	for _, v := range []struct{ name, segment, body string }{
		{"4.20 as Node sends it", "12345", "{}"},
		{"4.20 no body", "12345", ""},
		{"4.20 any body", "12345", "[not JSON"},
		{"4.22 raw", "a@b.c_-=,;1", "{}"},
		{"4.22 escaped", "a%40b.c_-%3D%2C%3b1", "{}"},
		{"4.4 longest", strings.Repeat("x", 200), "{}"},
	} {
		got := f.post("users/"+v.segment+"/terminate_connections", v.body)
		f.expect(got, 200, "{}")
		if ct := got.header.Get("Content-Type"); ct != "application/json" {
			t.Errorf("%s: content type %q", v.name, ct)
		}
	}
	want := []string{"3/12345", "3/12345", "3/12345", "3/a@b.c_-=,;1", "3/a@b.c_-=,;1", "3/" + strings.Repeat("x", 200)}
	if !slices.Equal(f.engine.ended, want) {
		t.Errorf("terminated %q, want %q", f.engine.ended, want)
	}
}

// TestTerminateWithoutApp: the Python SDK leaves the app out of the path, and its
// key says which one it is.
//
// PROTOCOL 5.12, 5.49.
func TestTerminateWithoutApp(t *testing.T) {
	t.Parallel()
	f := start(t)
	const path = "/users/a@b/terminate_connections"
	f.expect(f.send(app3.request("POST", path, "{}")), 200, "{}")
	other := credentials{"other-key", "other-secret", testTime}
	f.expect(f.send(other.request("POST", "/users/a%40b/terminate_connections", "{}")), 200, "{}")
	if want := []string{"3/a@b", "4/a@b"}; !slices.Equal(f.engine.ended, want) {
		t.Errorf("terminated %q, want %q", f.engine.ended, want)
	}
	f.refused(f.send(request("POST", path, "{}")), 401, "Missing parameter: auth_key")
	f.refused(f.send(request("POST", path+"?auth_key=xyz", "{}")), 401,
		"App key xyz not in this cluster. Did you forget to specify the cluster?")
	f.refused(f.send(request("POST", path+"?auth_key="+testKey, "{}")), 401, "Version required")
	off := credentials{"off-key", "off-secret", testTime}
	f.refused(f.send(off.request("POST", path, "{}")), 403, "App is disabled")
	mixed := credentials{testKey, "other-secret", testTime}
	if got := f.send(mixed.request("POST", path, "{}")); got.status != 401 {
		t.Errorf("another app's secret: %d", got.status)
	}
	if n := len(f.engine.ended); n != 2 {
		t.Errorf("%d users terminated", n)
	}
}

// TestTerminateRejections: ids that nobody can have are mistakes of the sender, who
// would otherwise take 200 for success.
//
// PROTOCOL 4.4, 4.22, 5.48, 5.60.
func TestTerminateRejections(t *testing.T) {
	t.Parallel()
	f := start(t)
	for segment, id := range map[string]string{
		"a%20b": "a b", "a%2540b": "a%40b", "a%2Fb": "a/b", "%23": "#", "a+b": "a+b", "%ff": "\uFFFD",
		strings.Repeat("x", 201): strings.Repeat("x", 200) + "…",
	} {
		f.refused(f.post("users/"+segment+"/terminate_connections", "{}"), 400, "Invalid user id: "+id)
	}
	f.engine.err = cluster.ErrUnavailable
	f.refused(f.post("users/a/terminate_connections", "{}"), 503, "Service unavailable, please retry")
	f.refused(f.post("users//terminate_connections", "{}"), 404, "Not found")
	f.refused(f.send(request("GET", "/apps/3/users/a/terminate_connections", "")), 405, "Method not allowed")
	if len(f.engine.ended) > 0 {
		t.Errorf("terminated %q", f.engine.ended)
	}
}
