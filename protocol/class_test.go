package protocol

import "testing"

// TestClass: a frame and its deflated form are of one class, which another node
// reads off the payload alone.
func TestClass(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		frame *Frame
		want  Class
	}{
		{Pong, ClassProtocol},
		{SubscriptionSucceeded("c"), ClassProtocol},
		{MemberAdded("presence-c", Member{ID: "a"}), ClassPresence},
		{MemberRemoved("presence-c", "a"), ClassPresence},
		{ChannelEvent("client-x", `"1"`, "private-c", ""), ClassClientEvent},
		{ChannelEvent("x", `"1"`, "c", ""), ClassEvent},
		{ChannelEvent("x-client-", `"1"`, "c", ""), ClassEvent},
		{NewFrame([]byte("no event")), ClassProtocol},
	} {
		again := NewFrame(c.frame.Payload())
		small := again.Deflated(func(*Frame) *Frame { return NewDeflatedFrame([]byte("x")) })
		if c.frame.Class() != c.want || again.Class() != c.want || small.Class() != c.want {
			t.Errorf("%s: class %d, again %d, deflated %d; want %d", c.frame.Payload(), c.frame.Class(), again.Class(), small.Class(), c.want)
		}
	}
}
