package wire

import (
	"bytes"
	"strings"
	"testing"

	"dunlin/protocol"
)

// TestMaskedFramesAreRead sends what a load maker does through the server's reader.
func TestMaskedFramesAreRead(t *testing.T) {
	t.Parallel()
	for _, kind := range []Kind{Text, Binary, Ping, Pong} {
		for _, n := range []int{0, 1, 125, 126, 65535, 65536} {
			if n > maxControl && (kind == Ping || kind == Pong) {
				continue
			}
			payload := bytes.Repeat([]byte("x"), n)
			var r Reader
			e, rest, bad := r.Next(AppendMasked(nil, kind, payload), 1<<20, false)
			if bad != nil || e.Kind != kind || !bytes.Equal(e.Payload, payload) || len(rest) != 0 {
				t.Errorf("kind %d, %d bytes: kind %d, %d bytes, %v", kind, n, e.Kind, len(e.Payload), bad)
			}
		}
	}
}

// TestServerFrame takes a stream of server frames, cut after every byte.
func TestServerFrame(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("y", 70_000)
	var stream []byte
	for _, text := range []string{"", "short", long[:200], long} {
		stream = append(stream, protocol.NewFrame([]byte(text)).WebSocket()...)
	}
	stream = append(stream, protocol.NewDeflatedFrame([]byte(hello)).WebSocket()...)
	stream = AppendClose(AppendPing(stream, []byte("p")), 4200, "bye")
	var got []Event
	held := []byte(nil)
	for i := range stream {
		held = append(held, stream[i])
		e, rest, bad := ServerFrame(held)
		if bad != nil {
			t.Fatal(bad)
		}
		if e.Kind != None {
			e.Payload = bytes.Clone(e.Payload)
			got = append(got, e)
			held = append([]byte(nil), rest...)
		}
	}
	want := []Event{{Kind: Text}, {Kind: Text, Payload: []byte("short")}, {Kind: Text, Payload: []byte(long[:200])}, {Kind: Text, Payload: []byte(long)},
		{Kind: Text, Deflate: true, Payload: []byte(hello)}, {Kind: Ping, Payload: []byte("p")}, {Kind: Close, Code: 4200, Payload: []byte("bye")}}
	if len(got) != len(want) || len(held) != 0 {
		t.Fatalf("%d events, %d bytes left", len(got), len(held))
	}
	for i, w := range want {
		if g := got[i]; g.Kind != w.Kind || g.Deflate != w.Deflate || g.Code != w.Code || !bytes.Equal(g.Payload, w.Payload) {
			t.Errorf("event %d: kind %d, code %d, %d bytes", i, g.Kind, g.Code, len(g.Payload))
		}
	}
}

func TestServerFrameRefuses(t *testing.T) {
	t.Parallel()
	for frame, want := range map[string]*protocol.Error{
		"\x81\x80\x00\x00\x00\x00": errMasked,
		"\xA1\x00":                 errReserved,
		"\xC2\x00":                 errReserved,
		"\xC9\x00":                 errReserved,
		"\x41\x00":                 errReserved,
		"\x01\x00":                 errFragmented,
		"\x80\x00":                 errFragmented,
		"\x83\x00":                 errOpcode,
		"\x88\x01x":                errCloseFrame,
	} {
		if _, _, bad := ServerFrame([]byte(frame)); bad != want {
			t.Errorf("%q: got %v, want %v", frame, bad, want)
		}
	}
	if e, rest, bad := ServerFrame([]byte("\x81\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF")); e.Kind != None || len(rest) != 10 || bad != nil {
		t.Errorf("an impossible length: kind %d, %v", e.Kind, bad)
	}
}

// TestAppendUpgrade asks the server's own upgrader.
func TestAppendUpgrade(t *testing.T) {
	t.Parallel()
	u := NewUpgrader("/ws", true)
	for _, offers := range [][]string{nil, {OfferDeflate}, {"x-other", OfferDeflate}} {
		h, response, err := u.Upgrade(AppendUpgrade(nil, "h:1", "/ws/app/key?protocol=7", offers...))
		if err != nil || h.Key != "key" || h.Deflate != (offers != nil) || !strings.Contains(string(response), SampleAccept) {
			t.Errorf("%q: %s %+v %v", offers, response, h, err)
		}
	}
}
