package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// clientFrame builds a frame as a client sends it, without the code under test.
func clientFrame(b0 byte, payload string) []byte {
	mask := [4]byte{0x12, 0xA5, 0x00, 0xFF}
	b := []byte{b0}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	b = append(b, mask[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i%4])
	}
	return b
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

const testMax = 70_000

// readAll feeds stream in pieces of the sizes that cut returns and writes down
// what comes out. deflate says that compression was negotiated.
func readAll(stream []byte, deflate bool, cut func(left int) int) string {
	var r Reader
	defer r.Release()
	var out strings.Builder
	for len(stream) > 0 {
		n := cut(len(stream))
		chunk := bytes.Clone(stream[:n])
		stream = stream[n:]
		for {
			e, rest, bad := r.Next(chunk, testMax, deflate)
			if bad != nil {
				fmt.Fprintf(&out, "!%d %s", bad.Code, bad.Message)
				return out.String()
			}
			if e.Kind == None {
				break
			}
			fmt.Fprintf(&out, "%d/%d %q\n", e.Kind, e.Code, clipped(e.Payload))
			if e.Kind == Close {
				return out.String()
			}
			chunk = rest
		}
	}
	if r.held != nil {
		out.WriteString("…")
	}
	return out.String()
}

func clipped(b []byte) string {
	if len(b) > 40 {
		return fmt.Sprintf("%s… %d bytes, sum %d", b[:20], len(b), sum(b))
	}
	return string(b)
}

func sum(b []byte) (s uint32) {
	for _, c := range b {
		s = s*31 + uint32(c)
	}
	return s
}

func whole(left int) int { return left }

type readerCase struct {
	name   string
	stream []byte
	want   string
}

var readerCases = []readerCase{
	{"text", clientFrame(0x81, "hello"), "1/0 \"hello\"\n"},
	{"empty", clientFrame(0x81, ""), "1/0 \"\"\n"},
	{"two", join(clientFrame(0x81, "a"), clientFrame(0x82, "b")), "1/0 \"a\"\n2/0 \"b\"\n"},
	{"126", clientFrame(0x81, strings.Repeat("x", 126)), fmt.Sprintf("1/0 %q\n", clipped([]byte(strings.Repeat("x", 126))))},
	{"65536", clientFrame(0x81, strings.Repeat("y", 65536)), fmt.Sprintf("1/0 %q\n", clipped([]byte(strings.Repeat("y", 65536))))},
	{"fragments", join(clientFrame(0x01, "a"), clientFrame(0x00, ""), clientFrame(0x00, "b"), clientFrame(0x80, "c")), "1/0 \"abc\"\n"},
	{"control between", join(clientFrame(0x01, "a"), clientFrame(0x89, "p"), clientFrame(0x8A, ""), clientFrame(0x80, "b"), clientFrame(0x81, "n")),
		"3/0 \"p\"\n4/0 \"\"\n1/0 \"ab\"\n1/0 \"n\"\n"},
	{"rune across fragments", join(clientFrame(0x01, "\xc3"), clientFrame(0x80, "\xa4")), "1/0 \"ä\"\n"},
	{"binary fragments", join(clientFrame(0x02, "\xff"), clientFrame(0x80, "\xfe")), "2/0 \"\\xff\\xfe\"\n"},
	{"bad utf8", join(clientFrame(0x81, "ok"), clientFrame(0x81, "\xff")), "1/0 \"ok\"\n!1007 Invalid UTF-8"},
	{"bad utf8 at the end", join(clientFrame(0x01, "a"), clientFrame(0x80, "\xc3")), "!1007 Invalid UTF-8"},
	{"too big", clientFrame(0x81, strings.Repeat("x", testMax+1)), "!1009 Message too big"},
	{"just not too big", clientFrame(0x81, strings.Repeat("x", testMax))[:20], "…"},
	{"fragments too big", join(clientFrame(0x01, strings.Repeat("x", testMax)), clientFrame(0x80, "x")), "!1009 Message too big"},
	{"2^63 long", []byte{0x81, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, "!1009 Message too big"},
	{"unmasked", []byte{0x81, 0x01, 'a'}, "!4200 Invalid frame: unmasked frame"},
	{"reserved", clientFrame(0xC1, "a"), "!4200 Invalid frame: reserved bits set"},
	{"opcode", clientFrame(0x83, "a"), "!4200 Invalid frame: unknown opcode"},
	{"control opcode", clientFrame(0x8B, "a"), "!4200 Invalid frame: unknown opcode"},
	{"long ping", clientFrame(0x89, strings.Repeat("x", 126)), "!4200 Invalid frame: control frame fragmented or longer than 125 bytes"},
	{"longest ping", clientFrame(0x89, strings.Repeat("x", 125)), fmt.Sprintf("3/0 %q\n", clipped([]byte(strings.Repeat("x", 125))))},
	{"fragmented ping", clientFrame(0x09, "x"), "!4200 Invalid frame: control frame fragmented or longer than 125 bytes"},
	{"continuation of nothing", clientFrame(0x80, "a"), "!4200 Invalid frame: continuation of nothing"},
	{"continuation after the end", join(clientFrame(0x01, "a"), clientFrame(0x80, "b"), clientFrame(0x80, "c")), "1/0 \"ab\"\n!4200 Invalid frame: continuation of nothing"},
	{"message inside", join(clientFrame(0x01, "a"), clientFrame(0x81, "b")), "!4200 Invalid frame: message inside a message"},
	{"close", join(clientFrame(0x88, "\x03\xe8bye"), clientFrame(0x81, "late")), "5/1000 \"bye\"\n"},
	{"close without code", clientFrame(0x88, ""), "5/1005 \"\"\n"},
	{"close 4200", clientFrame(0x88, "\x10\x68"), "5/4200 \"\"\n"},
	{"close of one byte", clientFrame(0x88, "x"), "!4200 Invalid frame: malformed close frame"},
	{"close 1005", clientFrame(0x88, "\x03\xed"), "!4200 Invalid frame: malformed close frame"},
	{"close bad reason", clientFrame(0x88, "\x03\xe8\xff"), "!1007 Invalid UTF-8"},
	{"half a header", clientFrame(0x81, "hello")[:1], "…"},
	{"half a payload", clientFrame(0x81, "hello")[:8], "…"},
	{"half a message", clientFrame(0x01, "hello"), "…"},
}

func TestReader(t *testing.T) {
	t.Parallel()
	testReader(t, readerCases, false)
}

func testReader(t *testing.T, cases []readerCase, deflate bool) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := readAll(c.stream, deflate, whole); got != c.want {
				t.Errorf("whole: %s, want %s", got, c.want)
			}
			if got := readAll(c.stream, deflate, func(int) int { return 1 }); got != c.want {
				t.Errorf("byte by byte: %s, want %s", got, c.want)
			}
			for seed := range uint64(50) {
				if got := readAll(c.stream, deflate, randomCut(seed)); got != c.want {
					t.Fatalf("cut with seed %d: %s, want %s", seed, got, c.want)
				}
			}
		})
	}
}

// randomCut mixes very small and large pieces.
func randomCut(seed uint64) func(int) int {
	rnd := rand.New(rand.NewPCG(seed, 1))
	return func(left int) int {
		most := 1 << rnd.IntN(17)
		return min(1+rnd.IntN(most), left)
	}
}

func FuzzReader(f *testing.F) {
	for i, c := range readerCases {
		f.Add(c.stream, uint64(i), false)
	}
	for i, c := range deflateCases {
		f.Add(c.stream, uint64(i), true)
	}
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64, deflate bool) {
		want := readAll(stream, deflate, whole)
		if got := readAll(stream, deflate, randomCut(seed)); got != want {
			t.Fatalf("cut: %s\nwhole: %s", got, want)
		}
		if got := readAll(stream, deflate, func(int) int { return 1 }); got != want {
			t.Fatalf("byte by byte: %s\nwhole: %s", got, want)
		}
	})
}

func TestReaderHoldsNothingBetweenFrames(t *testing.T) {
	t.Parallel()
	var r Reader
	stream := join(clientFrame(0x01, "a"), clientFrame(0x80, "b"), clientFrame(0x81, strings.Repeat("z", 3000)))
	for i := 0; i < len(stream); i += 7 {
		drain(t, &r, bytes.Clone(stream[i:min(i+7, len(stream))]))
	}
	if r.held != nil {
		t.Error("memory is still held")
	}
}

func drain(t testing.TB, r *Reader, chunk []byte) {
	for {
		e, rest, bad := r.Next(chunk, testMax, false)
		if bad != nil {
			t.Fatal(bad)
		}
		if e.Kind == None {
			return
		}
		chunk = rest
	}
}

func TestReaderAllocatesNothing(t *testing.T) {
	message := clientFrame(0x81, `{"event":"client-typing","channel":"private-a","data":{"x":1}}`)
	three := join(message, message, message)
	buf := make([]byte, len(three))
	var r Reader
	if n := testing.AllocsPerRun(1000, func() {
		copy(buf, three)
		drain(t, &r, buf)
	}); n != 0 {
		t.Errorf("%v allocations for whole frames, want 0", n)
	}
	if n := testing.AllocsPerRun(1000, func() {
		copy(buf, three)
		drain(t, &r, buf[:20])
		drain(t, &r, buf[20:])
	}); n != 0 {
		t.Errorf("%v allocations for frames in pieces, want 0", n)
	}
}

func BenchmarkReader(b *testing.B) {
	for _, size := range []int{60, 1000, 16_000} {
		message := clientFrame(0x81, strings.Repeat("x", size))
		b.Run(fmt.Sprintf("whole/%d", size), func(b *testing.B) { benchReader(b, message, len(message)) })
		b.Run(fmt.Sprintf("halves/%d", size), func(b *testing.B) { benchReader(b, message, len(message)/2+1) })
	}
}

func benchReader(b *testing.B, message []byte, cut int) {
	var r Reader
	buf := make([]byte, len(message))
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	for b.Loop() {
		copy(buf, message)
		drain(b, &r, buf[:cut])
		if cut < len(buf) {
			drain(b, &r, buf[cut:])
		}
	}
}

func TestControlFrames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", 100)
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"ping", AppendPing(nil, nil), "\x89\x00"},
		{"pong", AppendPong([]byte("x"), []byte("ab")), "x\x8a\x02ab"},
		{"close", AppendClose(nil, 4201, "Pong reply not received"), "\x88\x19\x10\x69Pong reply not received"},
		{"close without status", AppendClose(nil, NoStatus, ""), "\x88\x00"},
		{"long reason", AppendClose(nil, 4001, long), "\x88\x7c\x0f\xa1" + long[:122]},
	} {
		if string(c.got) != c.want {
			t.Errorf("%s: % x, want % x", c.name, c.got, c.want)
		}
	}
}
