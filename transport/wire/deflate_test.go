package wire

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"dunlin/protocol"
)

// deflated compresses a message as a client does, with another implementation
// than the code under test.
func deflated(t testing.TB, text string, level int) string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, text)
	w.Flush()
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

// inflated is the inverse of it.
func inflated(t testing.TB, data []byte) string {
	t.Helper()
	r := flate.NewReader(io.MultiReader(bytes.NewReader(data), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff")))
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("inflating % x: %v", data, err)
	}
	return string(text)
}

const hello = "\xf2\x48\xcd\xc9\xc9\x07\x00" // RFC 7692 §7.2.3.1

// deflateCases are what a connection that negotiated permessage-deflate reads.
var deflateCases = []readerCase{
	{"one block", clientFrame(0xC1, hello), "1/0 \"Hello\"\n"},
	{"fragments", join(clientFrame(0x41, hello[:3]), clientFrame(0x80, hello[3:])), "1/0 \"Hello\"\n"},
	{"no takeover", join(clientFrame(0xC1, hello), clientFrame(0xC1, hello)), "1/0 \"Hello\"\n1/0 \"Hello\"\n"},
	{"takeover all the same", join(clientFrame(0xC1, hello), clientFrame(0xC1, "\xf2\x00\x11\x00\x00")), "1/0 \"Hello\"\n!4200 Invalid frame: malformed deflate data"},
	{"stored", clientFrame(0xC1, "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), "1/0 \"Hello\"\n"},
	{"final block", clientFrame(0xC1, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), "1/0 \"Hello\"\n"},
	{"final block alone", clientFrame(0xC1, "\xf3\x48\xcd\xc9\xc9\x07\x00"), "1/0 \"Hello\"\n"},
	{"two blocks", clientFrame(0xC1, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), "1/0 \"Hello\"\n"},
	{"empty", clientFrame(0xC1, "\x00"), "1/0 \"\"\n"},
	{"plain between", join(clientFrame(0x81, "a"), clientFrame(0xC1, hello), clientFrame(0x81, "b")), "1/0 \"a\"\n1/0 \"Hello\"\n1/0 \"b\"\n"},
	{"plain fragments after", join(clientFrame(0xC1, hello), clientFrame(0x01, "a"), clientFrame(0x80, "b")), "1/0 \"Hello\"\n1/0 \"ab\"\n"},
	{"control between", join(clientFrame(0x41, hello[:3]), clientFrame(0x89, "p"), clientFrame(0x00, ""), clientFrame(0x80, hello[3:])), "3/0 \"p\"\n1/0 \"Hello\"\n"},
	{"binary", clientFrame(0xC2, hello), "2/0 \"Hello\"\n"},
	{"bad utf8", clientFrame(0xC1, "\x00\x01\x00\xfe\xff\xff\x00"), "!1007 Invalid UTF-8"},

	{"bit on a continuation", join(clientFrame(0x41, hello[:3]), clientFrame(0xC0, hello[3:])), "!4200 Invalid frame: reserved bits set"},
	{"bit on a later frame only", join(clientFrame(0x01, "a"), clientFrame(0xC0, hello)), "!4200 Invalid frame: reserved bits set"},
	{"bit on a ping", clientFrame(0xC9, ""), "!4200 Invalid frame: reserved bits set"},
	{"bit on a close", clientFrame(0xC8, ""), "!4200 Invalid frame: reserved bits set"},
	{"second bit", clientFrame(0xA1, "a"), "!4200 Invalid frame: reserved bits set"},
	{"all bits", clientFrame(0xF1, hello), "!4200 Invalid frame: reserved bits set"},
	{"message inside", join(clientFrame(0x41, hello[:3]), clientFrame(0xC1, hello)), "!4200 Invalid frame: message inside a message"},
	{"nothing", clientFrame(0xC1, ""), "!4200 Invalid frame: malformed deflate data"},
	{"no block type", clientFrame(0xC1, "\xff\xff\xff"), "!4200 Invalid frame: malformed deflate data"},
	{"cut off", clientFrame(0xC1, hello[:4]), "!4200 Invalid frame: malformed deflate data"},
	{"stored too short", clientFrame(0xC1, "\x00\x05\x00\xfa\xff\x48\x65"), "!4200 Invalid frame: malformed deflate data"},
	{"more behind the final block", clientFrame(0xC1, "\xf3\x48\xcd\xc9\xc9\x07\x00"+hello), "!4200 Invalid frame: malformed deflate data"},
	{"a byte behind the final block", clientFrame(0xC1, "\xf3\x48\xcd\xc9\xc9\x07\x00\x01"), "!4200 Invalid frame: malformed deflate data"},
	{"reaches back before the message", clientFrame(0xC1, "\x02\x13\x00\x00"), "!4200 Invalid frame: malformed deflate data"},
	{"longer than any message", clientFrame(0xC1, strings.Repeat("x", maxDeflated(testMax)+1)), "!1009 Message too big"},
	{"fragments longer than any message", join(clientFrame(0x41, strings.Repeat("x", maxDeflated(testMax))), clientFrame(0x80, "x")), "!1009 Message too big"},
	{"half a message", clientFrame(0x41, hello), "…"},
}

// PROTOCOL 1.6, 1.8
func TestReaderDeflate(t *testing.T) {
	t.Parallel()
	testReader(t, deflateCases, true)
}

// TestReaderInflates reads what another implementation has compressed, up to the
// limit and beyond.
func TestReaderInflates(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	letters := make([]byte, testMax)
	for i := range letters {
		letters[i] = byte(' ' + rnd.IntN(95))
	}
	for _, size := range []int{0, 1, 125, 126, 5000, testMax - 1, testMax, testMax + 1, 2 * testMax} {
		for _, level := range []int{flate.NoCompression, flate.HuffmanOnly, 1, 6, 9} {
			for what, text := range map[string]string{
				"zeros": strings.Repeat("0", size), "letters": strings.Repeat(string(letters), size/testMax+1)[:size],
			} {
				want := "!1009 Message too big"
				if size <= testMax {
					want = fmt.Sprintf("1/0 %q\n", clipped([]byte(text)))
				}
				stream := clientFrame(0xC1, deflated(t, text, level))
				if got := readAll(stream, true, randomCut(uint64(size))); got != want {
					t.Errorf("%d %s at level %d: %s, want %s", size, what, level, got, want)
				}
			}
		}
	}
}

// TestReaderStopsInflating holds that a bomb costs no more than the longest
// message does.
func TestReaderStopsInflating(t *testing.T) {
	t.Parallel()
	bomb := strings.Repeat(deflated(t, strings.Repeat("0", 1<<20), 9)+syncTail, 60)
	if len(bomb) > testMax {
		t.Fatalf("the bomb has %d bytes: too many to be let in", len(bomb))
	}
	if got := readAll(clientFrame(0xC1, bomb), true, whole); got != "!1009 Message too big" {
		t.Error(got)
	}
	z := inflaters.New().(*inflater)
	z.in.Reset([]byte(bomb))
	text := getBytes(1)
	if bad := z.read(&text, testMax); bad != ErrTooBig || cap(*text) > 4*testMax {
		t.Errorf("%v, %d bytes of memory", bad, cap(*text))
	}
	if left := z.in.Len(); left < len(bomb)*9/10 {
		t.Errorf("of %d bytes only %d were left alone", len(bomb), left)
	}
}

func TestInflate(t *testing.T) {
	t.Parallel()
	if text, bad := Inflate([]byte(hello), 5); bad != nil || string(text) != "Hello" {
		t.Errorf("%q, %v", text, bad)
	}
	if _, bad := Inflate([]byte(hello), 4); bad != ErrTooBig {
		t.Errorf("%v, want %v", bad, ErrTooBig)
	}
}

func TestDeflater(t *testing.T) {
	t.Parallel()
	d := NewDeflater(100)
	noise := make([]byte, 5000)
	rand.NewChaCha8([32]byte{1}).Read(noise)
	for _, c := range []struct {
		name, payload string
		smaller       bool
	}{
		{"too short", strings.Repeat("a", 99), false},
		{"just long enough", strings.Repeat("a", 100), true},
		{"noise", string(noise), false},
		{"json", strings.Repeat(`{"id":1,"name":"ä"},`, 50), true},
		{"longer than the window", strings.Repeat("abc", 50_000), true},
	} {
		f := protocol.NewFrame([]byte(c.payload))
		plain := bytes.Clone(f.WebSocket())
		got := d.Frame(f)
		if again := d.Frame(f); again != got {
			t.Errorf("%s: a second call made another frame", c.name)
		}
		if !bytes.Equal(f.WebSocket(), plain) {
			t.Errorf("%s: the plain form has changed", c.name)
		}
		switch b := got.WebSocket(); {
		case !c.smaller && got != f:
			t.Errorf("%s: %d bytes became %d", c.name, f.Size(), got.Size())
		case c.smaller && (got.Size() >= f.Size() || b[0] != 0xC1 || inflated(t, got.Payload()) != c.payload):
			t.Errorf("%s: %d bytes became %d: % x", c.name, f.Size(), got.Size(), b[:20])
		}
	}
}

// TestDeflaterOnce has many ask for the same form at once.
func TestDeflaterOnce(t *testing.T) {
	t.Parallel()
	d := NewDeflater(1)
	f := protocol.NewFrame(bytes.Repeat([]byte("once "), 1000))
	got := make([]*protocol.Frame, 16)
	var all sync.WaitGroup
	for i := range got {
		all.Go(func() { got[i] = d.Frame(f) })
	}
	all.Wait()
	for _, g := range got {
		if g == nil || g != got[0] {
			t.Fatal("not all got the same frame")
		}
	}
}

// PROTOCOL 1.6: offers are taken or declined, and none is the end of a request
// (RFC 7692 §5.1, §7.1).
func TestUpgradeDeflate(t *testing.T) {
	t.Parallel()
	const answer = "permessage-deflate;server_no_context_takeover;client_no_context_takeover"
	for _, c := range []struct {
		offers string // header lines are parted by |
		want   string
	}{
		{"permessage-deflate", answer},
		{"permessage-deflate; client_max_window_bits", answer}, // Chromium, and ws of Node
		{"permessage-deflate;client_max_window_bits=8", answer},
		{`permessage-deflate; client_max_window_bits="15"`, answer},
		{"permessage-deflate; server_max_window_bits=15", answer},
		{`permessage-deflate; server_max_window_bits="15"; server_no_context_takeover`, answer},
		{"permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits", answer},
		{"x-webkit-deflate-frame, permessage-deflate", answer},
		{"permessage-deflate; server_max_window_bits=10, permessage-deflate", answer},
		{"permessage-deflate; server_max_window_bits=10|permessage-deflate; client_max_window_bits", answer},
		{"permessage-deflate, permessage-deflate; client_max_window_bits", answer},
		{"permessage-bzip2|foo; bar=1", ""},
		{"permessage-deflate; server_max_window_bits=10", ""},
		{"permessage-deflate; server_max_window_bits", ""},
		{"permessage-deflate; server_max_window_bits=16", ""},
		{"permessage-deflate; client_max_window_bits=7", ""},
		{"permessage-deflate; client_max_window_bits=16", ""},
		{"permessage-deflate; client_max_window_bits=08", ""},
		{"permessage-deflate; client_max_window_bits=ten", ""},
		{"permessage-deflate; server_no_context_takeover=1", ""},
		{"permessage-deflate; client_no_context_takeover=true", ""},
		{"permessage-deflate; mem_level=8", ""},
		{"permessage-deflate; client_max_window_bits; client_max_window_bits", ""},
		{"permessage-deflate; server_no_context_takeover; server_no_context_takeover", ""},
		{"Permessage-Deflate", ""},
	} {
		more := ""
		for line := range strings.SplitSeq(c.offers, "|") {
			more += "Sec-WebSocket-Extensions: " + line + "\r\n"
		}
		for _, on := range []bool{true, false} {
			h, response, err := NewUpgrader("", on).Upgrade(request("/app/k", more))
			if err != nil {
				t.Errorf("%s: %v", c.offers, err)
				continue
			}
			want := c.want
			if !on {
				want = ""
			}
			got := strings.Join(parseResponse(t, response).Header["Sec-Websocket-Extensions"], "|")
			if got != want || h.Deflate != (want != "") {
				t.Errorf("%s, on is %v: %q, %v; want %q", c.offers, on, got, h.Deflate, want)
			}
		}
	}
}

func TestDeflaterAllocatesNothing(t *testing.T) {
	d := NewDeflater(1)
	f := protocol.NewFrame(bytes.Repeat([]byte("once "), 1000))
	if n := testing.AllocsPerRun(100, func() { d.Frame(f) }); n != 0 {
		t.Errorf("%v allocations for a form that exists, want 0", n)
	}
}

func BenchmarkDeflate(b *testing.B) {
	for _, size := range []int{300, 1000, 10_000} {
		text := strings.Repeat(`{"id":123456,"name":"item 1","price":99.5,"status":"pending"},`, size/62+1)[:size]
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				deflate(protocol.NewFrame([]byte(text)))
			}
		})
		b.Run(fmt.Sprint("inflate/", size), func(b *testing.B) {
			data := []byte(deflated(b, text, 6))
			b.ReportAllocs()
			for b.Loop() {
				text, bad := inflate(appendBytes(nil, data), 1<<20)
				if bad != nil {
					b.Fatal(bad)
				}
				putBytes(text)
			}
		})
	}
}

// FuzzInflate holds inflating against another implementation, and what is deflated
// against what was there before.
func FuzzInflate(f *testing.F) {
	for _, c := range deflateCases {
		f.Add(c.stream)
	}
	f.Add([]byte{})
	f.Add([]byte(hello))
	f.Add([]byte(deflated(f, strings.Repeat("0", 100_000), 9)))
	f.Add([]byte(deflated(f, strings.Repeat(`{"id":1,"name":"ä"},`, 50), 6)))
	f.Fuzz(func(t *testing.T, data []byte) {
		const most = 1 << 16
		in := bytes.NewReader(append(bytes.Clone(data), inflateTail...))
		want, err := io.ReadAll(io.LimitReader(flate.NewReader(in), most+1))
		got, bad := Inflate(data, most)
		end, _ := io.ReadAll(in)
		whole := len(end) == 0 || string(end) == inflateTail || string(end) == "\x00"+inflateTail
		switch {
		case len(want) > most:
			if bad != ErrTooBig {
				t.Fatalf("%d bytes: %v, want %v", len(want), bad, ErrTooBig)
			}
		case err != nil || !whole:
			if bad != errDeflate {
				t.Fatalf("%v, %d bytes left: %v, want %v", err, len(end), bad, errDeflate)
			}
		case bad != nil || !bytes.Equal(got, want):
			t.Fatalf("%q, %v; want %q", got, bad, want)
		}
		plain := protocol.NewFrame(data)
		if z := NewDeflater(0).Frame(plain); z != plain && inflated(t, z.Payload()) != string(data) {
			t.Fatalf("deflated to % x", z.Payload())
		}
	})
}
