package e2e

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"dunlin/internal/testkit"
)

var compressedConfig = strings.Replace(attackConfig, "port: 0,", "port: 0, compression: {enabled: true},", 1)

// deflating returns a connection that has negotiated permessage-deflate.
func deflating(t *testing.T, s *testkit.Server) (net.Conn, *bufio.Reader) {
	t.Helper()
	nc, r, header := upgradedBy(t, s, strings.Replace(upgradeRequest, "Host:", "Sec-WebSocket-Extensions: permessage-deflate\r\nHost:", 1))
	if got := header.Get("Sec-WebSocket-Extensions"); !strings.HasPrefix(got, "permessage-deflate;") {
		t.Fatalf("extensions %q", got)
	}
	return nc, r
}

// deflated compresses text, so many times in a row.
func deflated(text string, times int) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, 9)
	w.Write([]byte(text))
	w.Flush()
	return strings.TrimSuffix(strings.Repeat(b.String(), times), "\x00\x00\xff\xff")
}

// deflatedFrame is a compressed text frame of a client.
func deflatedFrame(data string) string {
	head := binary.BigEndian.AppendUint64([]byte{0xC1, 0xFF}, uint64(len(data)))
	return string(head) + "\x00\x00\x00\x00" + data
}

// peakMemory is the most that a process has had resident, in bytes; 0 where the
// system does not say.
func peakMemory(pid int) (bytes int) {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	fmt.Sscan(rest, &bytes)
	return bytes << 10
}

// Compressed messages that are bombs or broken end their own connection, with the
// right code and a count, and cost neither memory nor anybody else (PROTOCOL 1.36).
func TestHostileCompression(t *testing.T) {
	t.Parallel()
	bomb := deflatedFrame(deflated(strings.Repeat("0", 1_000_000), 100))
	if len(bomb) > 100<<10 {
		t.Fatalf("the bomb has %d bytes: its length alone is too much", len(bomb))
	}
	eachTransport(t, compressedConfig, func(t *testing.T, s *testkit.Server) {
		h := newHealthy(t, s)
		for _, tt := range []struct {
			name, bytes, reason string
			code                int
		}{
			{"100 MB", bomb, "too_big", 1009},
			{"just too big", deflatedFrame(deflated(strings.Repeat("0", 100<<10+1), 1)), "too_big", 1009},
			{"no deflate data", deflatedFrame("hello, server"), "framing", 4200},
			{"cut off", deflatedFrame(deflated("hello, server", 1)[:8]), "framing", 4200},
			{"bad UTF-8", deflatedFrame(deflated("\xff\xfe", 1)), "invalid_utf8", 1007},
			{"compressed ping", "\xc9\x80\x00\x00\x00\x00", "framing", 4200},
		} {
			metric := `dunlin_drops_total{reason="` + tt.reason + `"}`
			before := s.Metric(metric)
			nc, r := deflating(t, s)
			nc.Write([]byte(tt.bytes))
			if code := drained(r); code != tt.code {
				t.Errorf("%s: closed with %d, want %d", tt.name, code, tt.code)
			}
			if s.Metric(metric) != before+1 {
				t.Errorf("%s: not counted as %s", tt.name, tt.reason)
			}
			h.check()
		}
		before := peakMemory(s.Pid())
		const many = 30
		var bombers []*bufio.Reader
		for range many {
			nc, r := deflating(t, s)
			bombers = append(bombers, r)
			go nc.Write([]byte(bomb)) // the test's cleanup closes nc
		}
		for _, r := range bombers {
			h.check()
			if code := drained(r); code != 1009 {
				t.Errorf("closed with %d, want 1009", code)
			}
		}
		if grown := peakMemory(s.Pid()) - before; grown > 100<<20 {
			t.Errorf("%d bombs of 100 MB took %d MiB", many, grown>>20)
		}
	})
}

// A kilobyte that inflates to just what a message may have is no fault, but a stream
// of such must not hold up anybody.
func TestFloodOfInflated(t *testing.T) {
	t.Parallel()
	flood := strings.Repeat(deflatedFrame(deflated(`{"event":"pusher:ping","data":"`+strings.Repeat(" ", 100_000)+`"}`, 1)), 200)
	eachTransport(t, compressedConfig, func(t *testing.T, s *testkit.Server) {
		h := newHealthy(t, s)
		nc, r := deflating(t, s)
		go nc.Write([]byte(flood))
		for range 20 {
			h.check()
		}
		for pongs := 0; pongs < 200; {
			line, err := r.ReadString('}')
			if err != nil {
				t.Fatal(err)
			}
			pongs += strings.Count(line, "pusher:pong")
		}
	})
}
