package protocol

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// PROTOCOL 1.17
func TestSocketID(t *testing.T) {
	t.Parallel()
	for range 1000 {
		id := NewSocketID()
		back, ok := ParseSocketID(id.String())
		if !ok || back != id {
			t.Fatalf("%v came back as %v, %v", id, back, ok)
		}
	}
	for s, ok := range map[string]bool{
		"1234.1234": true, "0.1": true, "9999999999.9999999999": true, "208836.27464492": true,
		"": false, ".": false, "1.": false, ".1": false, "1": false, "1.2.3": false, "a.1": false, "1.a": false,
		" 1.2": false, "1.2 ": false, "-1.2": false, "10000000000.1": false, "1.99999999999999999999": false, "1234.1234:x": false,
	} {
		if _, got := ParseSocketID(s); got != ok {
			t.Errorf("ParseSocketID(%q) ok = %v, want %v", s, got, ok)
		}
	}
}

// PROTOCOL 2.4; PITFALLS 5
func TestKindOf(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]Kind{
		"room":                      0,
		"my-private-x":              0,
		"Private-x":                 0,
		"private":                   0,
		"private-":                  Private,
		"private-x":                 Private,
		"private-cache-x":           Private | Cache,
		"private-encrypted-x":       Private | Encrypted,
		"private-encrypted-cache-x": Private | Encrypted | Cache,
		"presence-x":                Private | Presence,
		"presence-cache-x":          Private | Presence | Cache,
		"presence-encrypted-x":      Private | Presence,
		"cache-x":                   Cache,
		"cache-private-x":           Cache,
		"#server-to-user-1":         User,
		"private-cachex":            Private,
		"private-encrypted-cachex":  Private | Encrypted,
	} {
		if got := KindOf(name); got != want {
			t.Errorf("KindOf(%q) = %b, want %b", name, got, want)
		}
	}
}

// PROTOCOL 2.1–2.3
func TestValidChannelName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"a": true, "AZaz09_-=@,.;": true, strings.Repeat("x", 164): true,
		"": false, strings.Repeat("x", 165): false, "a b": false, "a#": false, "#a": false, "a:b": false, "ä": false, "a\n": false, "a/b": false,
	} {
		if got := ValidChannelName(name, 164); got != want {
			t.Errorf("ValidChannelName(%q) = %v", name, got)
		}
	}
	if !ValidChannelName(strings.Repeat("x", 1000), 0) || ValidChannelName("", 0) {
		t.Error("0 is no limit, and no licence for nothing")
	}
	if u, ok := ServerToUser("#server-to-user-12345"); !ok || u != "12345" {
		t.Errorf("ServerToUser: %q %v", u, ok)
	}
	for _, name := range []string{"#server-to-user-", "#server-to-user-a b", "server-to-user-1", "#other"} {
		if _, ok := ServerToUser(name); ok {
			t.Errorf("ServerToUser(%q) is ok", name)
		}
	}
}

// PROTOCOL 2.13, 2.16, 2.18
func TestSignatureVectors(t *testing.T) {
	t.Parallel()
	s := NewSecret("7ad3773142a6692b25b8")
	for _, tt := range []struct{ text, want string }{
		{`1234.1234:private-foobar`, "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4"},
		{`1234.1234:private-foobar:{"user_id":10}`, "496d367857f5416a7f929c50af102f208f65bf5a00dfe4c146ef113eb5f6a5c7"},
		{`1234.1234:presence-foobar:{"user_id":10,"user_info":{"name":"Mr. Channels"}}`, "31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80"},
		{`1234.1234:presence-foobar:{"user_id":10,"user_info":{"name":"Mr. Pusher"}}`, "afaed3695da2ffd16931f457e338e6c9f2921fa133ce7dac49f529792be6304c"},
		{`1234.1234::user::{"id":"12345"}`, "4708d583dada6a56435fb8bc611c77c359a31eebde13337c16ab43aa6de336ba"},
	} {
		if got := s.Sign([]byte(tt.text)); got != tt.want {
			t.Errorf("Sign(%s) = %s, want %s", tt.text, got, tt.want)
		}
		head, tail := tt.text[:7], tt.text[7:]
		if !s.Verify([]byte(tt.want), []byte(head), []byte(tail)) || !s.Verify([]byte(strings.ToUpper(tt.want)), []byte(tt.text)) {
			t.Errorf("Verify refuses %s", tt.text)
		}
		for _, bad := range []string{"", tt.want[1:], tt.want + "0", "0" + tt.want[1:]} {
			if bad != tt.want && s.Verify([]byte(bad), []byte(tt.text)) {
				t.Errorf("Verify accepts %q", bad)
			}
		}
	}
}

// PITFALLS 24
func TestSecretHidesItself(t *testing.T) {
	t.Parallel()
	s := NewSecret("hunter2")
	for _, f := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if out := fmt.Sprintf(f, s); strings.Contains(out, "hunter2") {
			t.Errorf("%s prints %s", f, out)
		}
	}
	if b, err := json.Marshal(struct{ S *Secret }{s}); err != nil || strings.Contains(string(b), "hunter2") {
		t.Errorf("json: %s %v", b, err)
	}
}

// PROTOCOL 1.9–1.12
func TestCheckVersion(t *testing.T) {
	t.Parallel()
	for value, code := range map[string]int{
		"4": 0, "5": 0, "6": 0, "7": 0, "1": 4007, "3": 4007, "8": 4007, "-1": 4007, "0": 4007,
		"abc": 4006, "7.0": 4006, "99999999999999999999": 4006, "": 4008,
	} {
		got := 0
		if e := CheckVersion(value, true); e != nil {
			got = e.Code
		}
		if got != code {
			t.Errorf("CheckVersion(%q) = %d, want %d", value, got, code)
		}
	}
	if e := CheckVersion("", false); e == nil || e.Code != 4008 {
		t.Errorf("no protocol: %v", e)
	}
}

// PROTOCOL 1.33
func TestReasonFitsACloseFrame(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"short", strings.Repeat("x", 123), strings.Repeat("x", 200), strings.Repeat("ü", 100), "x" + strings.Repeat("€", 60)} {
		r := (&Error{Message: s}).Reason()
		if len(r) > 123 || !utf8.ValidString(r) || !strings.HasPrefix(s, r) || len(s) <= 123 && r != s {
			t.Errorf("Reason(%q) = %q", s, r)
		}
	}
	// a key from a path: %FF is not UTF-8, and a browser takes no such reason
	for _, s := range []string{"App key \xff\xfe", strings.Repeat("\xff", 123)} {
		if r := (&Error{Message: s}).Reason(); len(r) > 123 || !utf8.ValidString(r) {
			t.Errorf("Reason(%q) = %q", s, r)
		}
	}
}

func TestFrameForms(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536, 100000} {
		p := []byte(strings.Repeat("x", n))
		f := NewFrame(p)
		ws := f.WebSocket()
		var header int
		switch {
		case n < 126:
			header = 2
			if int(ws[1]) != n {
				t.Errorf("%d: length byte %d", n, ws[1])
			}
		case n < 65536:
			header = 4
			if ws[1] != 126 || int(ws[2])<<8|int(ws[3]) != n {
				t.Errorf("%d: header % x", n, ws[:4])
			}
		default:
			header = 10
			if ws[1] != 127 || int(ws[6])<<24|int(ws[7])<<16|int(ws[8])<<8|int(ws[9]) != n {
				t.Errorf("%d: header % x", n, ws[:10])
			}
		}
		if ws[0] != 0x81 || len(ws) != header+n || string(f.Payload()) != string(p) || f.Size() != len(ws) {
			t.Errorf("%d: frame of %d bytes, payload of %d", n, len(ws), len(f.Payload()))
		}
	}
}

// Exact texts of server messages (PROTOCOL 1.16, 1.21, 1.28, 2.9, 2.21, 2.30, 2.33, 2.34, 2.36, 2.37, 3.9).
func TestServerMessages(t *testing.T) {
	t.Parallel()
	max, _ := DecodeMember(`{"user_id":"71dd6a","user_info":{"name":"Max"}}`, 0, 0)
	phil, _ := DecodeMember(`{"user_id":"11814b","user_info":{"name":"Phil"}}`, 0, 0)
	for _, tt := range []struct {
		f    *Frame
		want string
	}{
		{ConnectionEstablished(SocketID{208836, 27464492}, 120), `{"event":"pusher:connection_established","data":"{\"socket_id\":\"208836.27464492\",\"activity_timeout\":120}"}`},
		{Pong, `{"event":"pusher:pong","data":"{}"}`},
		{ErrorMessage(ErrUnknownKey("xyz")), `{"event":"pusher:error","data":{"code":4001,"message":"App key xyz not in this cluster. Did you forget to specify the cluster?"}}`},
		{ErrorMessage(ErrAlreadySubscribed("my-channel")), `{"event":"pusher:error","data":{"code":null,"message":"Existing subscription to channel my-channel"}}`},
		{SubscriptionSucceeded("my-channel"), `{"event":"pusher_internal:subscription_succeeded","data":"{}","channel":"my-channel"}`},
		{PresenceSucceeded("presence-example", []Listed{phil.Listed(), max.Listed()}), `{"event":"pusher_internal:subscription_succeeded","data":"{\"presence\":{\"count\":2,\"ids\":[\"11814b\",\"71dd6a\"],\"hash\":{\"11814b\":{\"name\":\"Phil\"},\"71dd6a\":{\"name\":\"Max\"}}}}","channel":"presence-example"}`},
		{MemberAdded("presence-example", phil), `{"event":"pusher_internal:member_added","data":"{\"user_id\":\"11814b\",\"user_info\":{\"name\":\"Phil\"}}","channel":"presence-example"}`},
		{MemberRemoved("presence-example", "11814b"), `{"event":"pusher_internal:member_removed","data":"{\"user_id\":\"11814b\"}","channel":"presence-example"}`},
		{SubscriptionError("private-y", "AuthError", "The connection is unauthorized.", 401), `{"event":"pusher:subscription_error","data":{"type":"AuthError","error":"The connection is unauthorized.","status":401},"channel":"private-y"}`},
		{ChannelEvent("my-event", `"{\"hello\":\"world\"}"`, "my-channel", ""), `{"event":"my-event","data":"{\"hello\":\"world\"}","channel":"my-channel"}`},
		{ChannelEvent(`App\Events\X`, `"\u00fc"`, "c", ""), `{"event":"App\\Events\\X","data":"\u00fc","channel":"c"}`},
		{ChannelEvent("client-msg", `"{\"a\":1}"`, "presence-room", "11814b"), `{"event":"client-msg","data":"{\"a\":1}","channel":"presence-room","user_id":"11814b"}`},
	} {
		if got := string(tt.f.Payload()); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

func decode(t *testing.T, text string) ClientMessage {
	t.Helper()
	m, bad := DecodeClient([]byte(text))
	if bad != nil {
		t.Fatalf("DecodeClient(%s): %v", text, bad)
	}
	return m
}

// PROTOCOL 1.41–1.43; PITFALLS 1, 3
func TestDecodeRefusals(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		``:                          "Received invalid JSON",
		`{`:                         "Received invalid JSON",
		`{"event":"a"`:              "Received invalid JSON",
		"{\"event\":\"\n\"}":        "Received invalid JSON",
		strings.Repeat("[", 100000): "Received invalid JSON",
		`null`:                      "Invalid message: expected a JSON object",
		`[5]`:                       "Invalid message: expected a JSON object",
		`{}`:                        "Invalid message: expected event to be a string",
		`{"event":5}`:               "Invalid message: expected event to be a string",
		`{"event":""}`:              "Invalid message: expected event to be a string",
	} {
		if _, bad := DecodeClient([]byte(text)); bad == nil || bad.Message != want || bad.Code != 0 {
			t.Errorf("DecodeClient(%.40q) = %v, want %q", text, bad, want)
		}
	}
	for text, want := range map[string]string{
		`{"event":"s"}`:                                          "Invalid message: expected data of s to be an object",
		`{"event":"s","data":"…"}`:                               "Invalid message: expected data of s to be an object",
		`{"event":"s","data":[]}`:                                "Invalid message: expected data of s to be an object",
		`{"event":"s","data":{}}`:                                "Invalid channel name: ",
		`{"event":"s","data":{"channel":5}}`:                     "Invalid channel name: 5",
		`{"event":"s","data":{"channel":null}}`:                  "Invalid channel name: null",
		`{"event":"s","data":{"channel":"c","channel_data":{}}}`: "Invalid channel_data: expected a string of JSON",
	} {
		if _, bad := DecodeSubscribe(decode(t, text)); bad == nil || bad.Message != want {
			t.Errorf("DecodeSubscribe(%s) = %v, want %q", text, bad, want)
		}
	}
}

func TestDecodeSubscribe(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Subscribe{
		`{"event":"s","data":{"channel":"c"}}`:                                               {Channel: "c"},
		`{"event":"s","data":{"auth":"","channel":"c"}}`:                                     {Channel: "c"},
		`{"event":"s","data":{"auth":null,"channel_data":null,"channel":"c"}}`:               {Channel: "c"},
		`{"event":"s","data":"{\"channel\":\"c\",\"auth\":\"k:s\"}"}`:                        {Channel: "c", Auth: "k:s"},
		`{"event":"s","data":{"channel":"a","channel":"b"}}`:                                 {Channel: "b"},
		`{"event":"s","data":{"channel":"c","auth":"k:s","channel_data":"{\"user_id\":1}"}}`: {Channel: "c", Auth: "k:s", ChannelData: `{"user_id":1}`, ChannelDataGiven: true},
		`{"event":"s","data":{"channel":"c","channel_data":""}}`:                             {Channel: "c", ChannelDataGiven: true},
	} {
		if got, bad := DecodeSubscribe(decode(t, text)); bad != nil || got != want {
			t.Errorf("DecodeSubscribe(%s) = %+v, %v", text, got, bad)
		}
	}
}

// PROTOCOL 2.31, 2.34, 2.35, 2.39a
func TestDecodeMember(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]Member{
		`{"user_id":"a"}`:                      {"a", `{"user_id":"a","user_info":{}}`},
		`{"user_id":10}`:                       {"10", `{"user_id":10,"user_info":{}}`},
		`{"user_id":"a","user_info":null}`:     {"a", `{"user_id":"a","user_info":{}}`},
		`{"user_info":[1, 2],"user_id":"ü\n"}`: {"ü\n", `{"user_id":"ü\n","user_info":[1, 2]}`},
		`{"user_id":"12345678901234567890"}`:   {"12345678901234567890", `{"user_id":"12345678901234567890","user_info":{}}`},
	} {
		if got, bad := DecodeMember(data, 20, 20); bad != nil || got != want {
			t.Errorf("DecodeMember(%s) = %+v, %v", data, got, bad)
		}
	}
	for _, data := range []string{``, `x`, `null`, `[]`, `{}`, `{"user_id":""}`, `{"user_id":null}`, `{"user_id":true}`, `{"user_id":{}}`,
		`{"user_id":"123456789012345678901"}`, `{"user_id":1,"user_info":"` + strings.Repeat("x", 20) + `"}`, strings.Repeat(`{"a":`, 5000)} {
		if m, bad := DecodeMember(data, 20, 20); bad == nil || bad.Code != 0 {
			t.Errorf("DecodeMember(%.40s) = %+v, %v", data, m, bad)
		}
	}
}

// PROTOCOL 3.5, 3.7, 3.8, 3.13, 3.14
func TestDecodeClientEvent(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]StringLiteral{
		`{"event":"client-a","channel":"c","data":{"a":1}}`:          `"{\"a\":1}"`,
		`{"event":"client-a","channel":"c","data":"{\"a\":1}"}`:      `"{\"a\":1}"`,
		`{"event":"client-a","channel":"c","data":"plain"}`:          `"plain"`,
		`{"event":"client-a","channel":"c","data":5}`:                `"5"`,
		`{"event":"client-a","channel":"c","data":null}`:             `"null"`,
		`{"event":"client-a","channel":"c","data":[],"userId":null}`: `"[]"`,
	} {
		if got, bad := DecodeClientEvent(decode(t, text), 200, 10240); bad != nil || got.Data != want || got.Channel != "c" {
			t.Errorf("DecodeClientEvent(%s) = %+v, %v", text, got, bad)
		}
	}
	long := func(n int) string {
		return `{"event":"client-a","channel":"c","data":"` + strings.Repeat(`\n`, n) + `"}`
	}
	if _, bad := DecodeClientEvent(decode(t, long(10240)), 200, 10240); bad != nil {
		t.Errorf("10240 bytes once decoded: %v", bad)
	}
	for text, want := range map[string]string{
		long(10241):                                  "The data content of this event exceeds the allowed maximum (10240 bytes). See https://pusher.com/docs/channels/server_api/http-api#publishing-events for more info",
		`{"event":"client-a","channel":"c"}`:         "Invalid client event (must contain channel and data)",
		`{"event":"client-a","data":{}}`:             "Invalid client event (must contain channel and data)",
		`{"event":"client-a","channel":5,"data":{}}`: "Invalid client event (must contain channel and data)",
		`{"event":"client-` + strings.Repeat("x", 194) + `","channel":"c","data":{}}`: "The event name exceeds the allowed maximum (200 characters)",
	} {
		if _, bad := DecodeClientEvent(decode(t, text), 200, 10240); bad == nil || bad.Message != want {
			t.Errorf("DecodeClientEvent(%.60s) = %v, want %q", text, bad, want)
		}
	}
}

func TestStringLiteralLen(t *testing.T) {
	t.Parallel()
	for l, want := range map[StringLiteral]int{`""`: 0, `"abc"`: 3, `"ü"`: 2, `"\u00fc"`: 2, `"\n"`: 1, `"a\"b"`: 3} {
		if got := l.Len(); got != want {
			t.Errorf("%s has length %d, want %d", l, got, want)
		}
	}
}

// What AppendString writes is JSON, and reads back as what went in.
func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "abc", `a"b\c`, "\x00\x1f\u2028", "ü€😀", "\xff\xfe", "a\xc3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var back string
		b := AppendString(nil, s)
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatalf("%q became %s: %v", s, b, err)
		}
		if want := strings.ToValidUTF8(s, "\uFFFD"); utf8.ValidString(s) && back != want {
			t.Fatalf("%q came back as %q", s, back)
		}
	})
}

// Whatever a client sends, decoding ends with a message or an error that can be
// sent, and a delivered event is valid JSON.
func FuzzDecodeClient(f *testing.F) {
	for _, s := range []string{
		`{"event":"pusher:subscribe"}`, `{"event":"pusher:subscribe","data":{"channel":5}}`, `{"event":"pusher:signin"}`,
		`{"event":"pusher:subscribe","data":"{\"channel\":\"c\",\"channel_data\":\"{\\\"user_id\\\":1}\"}"}`,
		`{"event":"client-a","channel":"private-c","data":"\ud800"}`, `{"event":"client-a","channel":"private-c","data":{"a":[1,2,{}]}}`,
		`[[[[`, `null`, `{"event":"\u0000"}`, "\xff", `{"event":"client-a","channel":"c","data":1e999}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		m, bad := DecodeClient(payload)
		if bad == nil {
			DecodeUnsubscribe(m)
			if s, bad := DecodeSubscribe(m); bad == nil {
				if member, bad := DecodeMember(s.ChannelData, 128, 1024); bad == nil {
					checkJSON(t, PresenceSucceeded("presence-x", []Listed{member.Listed()}))
					checkJSON(t, MemberAdded("presence-x", member))
				}
			} else {
				checkJSON(t, ErrorMessage(bad))
			}
			if e, bad := DecodeClientEvent(m, 200, 10240); bad == nil && utf8.Valid(payload) {
				checkJSON(t, ChannelEvent(e.Name, e.Data, e.Channel, ""))
			}
			return
		}
		checkJSON(t, ErrorMessage(bad))
	})
}

func checkJSON(t *testing.T, f *Frame) {
	t.Helper()
	var v struct {
		Event string `json:"event"`
	}
	if err := json.Unmarshal(f.Payload(), &v); err != nil || v.Event == "" {
		t.Fatalf("not a message: %s (%v)", f.Payload(), err)
	}
}

// A decoded message costs at most two allocations.
func TestDecodeAllocations(t *testing.T) {
	payload := []byte(`{"event":"client-typing","channel":"private-room","data":{"x":1,"y":2}}`)
	if n := testing.AllocsPerRun(100, func() { DecodeClient(payload) }); n > 2 {
		t.Errorf("DecodeClient allocates %v times", n)
	}
	payload = []byte(`{"event":"pusher:subscribe","data":{"auth":"app-key:0123456789abcdef","channel":"private-room"}}`)
	if n := testing.AllocsPerRun(100, func() {
		m, _ := DecodeClient(payload)
		DecodeSubscribe(m)
	}); n > 2 {
		t.Errorf("DecodeClient and DecodeSubscribe allocate %v times", n)
	}
}

func BenchmarkDecodeClient(b *testing.B) {
	payload := []byte(`{"event":"client-typing","channel":"private-room","data":{"x":1,"y":2}}`)
	b.ReportAllocs()
	for b.Loop() {
		DecodeClient(payload)
	}
}

func BenchmarkDecodeSubscribe(b *testing.B) {
	payload := []byte(`{"event":"pusher:subscribe","data":{"auth":"app-key:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","channel":"private-room"}}`)
	b.ReportAllocs()
	for b.Loop() {
		m, bad := DecodeClient(payload)
		if bad == nil {
			_, bad = DecodeSubscribe(m)
		}
		if bad != nil {
			b.Fatal(bad)
		}
	}
}

// BenchmarkChannelEvent builds the frame of an event.
func BenchmarkChannelEvent(b *testing.B) {
	for _, size := range []int{50, 1000, 10_000} {
		data := StringLiteral(`"` + strings.Repeat("x", size) + `"`)
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ChannelEvent("my-event", data, "my-channel", "")
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	s := NewSecret("7ad3773142a6692b25b8")
	text := []byte("1234.1234:private-foobar")
	sig := []byte(s.Sign(text))
	b.ReportAllocs()
	for b.Loop() {
		s.Verify(sig, text)
	}
}
