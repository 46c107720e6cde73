package protocol

import "testing"

// A webhook's signature is that of its body, byte for byte.
//
// PROTOCOL 6.2, 6.3
func TestWebhookSignatureVectors(t *testing.T) {
	t.Parallel()
	for _, v := range []struct{ secret, body, want string }{
		{"thisisasecret", `{"hello":"world"}`, "40e0ad3b9aa49529322879e84de1aaaf18bde1efe839ca263d540cc865510d25"},
		{"7ad3773142a6692b25b8", `{"time_ms":1327078148132,"events":[{"name":"channel_occupied","channel":"my-channel"}]}`,
			"c19001ae3963ccb13bf618e5b16ba9848e7e74df0993aa0689168e341c6833cf"},
	} {
		s := NewSecret(v.secret)
		if got := s.Sign([]byte(v.body)); got != v.want {
			t.Errorf("%s: %s, want %s", v.body, got, v.want)
		}
		if !s.Verify([]byte(v.want), []byte(v.body)) || s.Verify([]byte(v.want), []byte(v.body+" ")) {
			t.Errorf("%s: Verify is wrong", v.body)
		}
	}
}
