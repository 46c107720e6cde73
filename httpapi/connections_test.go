package httpapi

import "testing"

// How many connections the node has is told to who has signed.
func TestConnections(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.expect(f.get("connections"), 200, `{"connections":0}`)
	if got := f.send("GET /apps/3/connections HTTP/1.1\r\nHost: x\r\n\r\n"); got.status != 401 {
		t.Errorf("unsigned: %d %s", got.status, got.body)
	}
}
