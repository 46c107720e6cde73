package e2e

import (
	"bytes"
	"io"
	"syscall"
	"testing"
	"unicode/utf8"

	"dunlin/internal/testkit"
	"dunlin/transport/wire"
)

// A key that is not UTF-8 must be refused like any other: a browser fails a close
// frame with such a reason, and would come back for ever (PROTOCOL 1.3).
func TestHostileKeys(t *testing.T) {
	t.Parallel()
	eachTransport(t, attackConfig, func(t *testing.T, s *testkit.Server) {
		for _, key := range []string{"%ff%fe", "\xff\xfe", "%00%0d%0a", "%", "%zz", ""} {
			nc := dialRaw(t, s)
			nc.Write(wire.AppendUpgrade(nil, "x", "/app/"+key+"?protocol=7")) // a failure shows in the read
			all, err := io.ReadAll(nc)
			if err != nil {
				t.Fatalf("key %q: %v", key, err)
			}
			_, frames, _ := bytes.Cut(all, []byte("\r\n\r\n"))
			_, reason, _ := bytes.Cut(frames, []byte("\x0f\xa1")) // 4001, the payload of the close frame
			if code := drained(bytes.NewReader(frames)); code != 4001 || !utf8.Valid(reason) {
				t.Errorf("key %q: %d, %q", key, code, reason)
			}
		}
	})
}

// A request that never ends must not make a stop late or a failure.
func TestStopWithHalfARequest(t *testing.T) {
	t.Parallel()
	eachTransport(t, attackConfig, func(t *testing.T, s *testkit.Server) {
		nc := dialRaw(t, s)
		io.WriteString(nc, "POST /apps/app-id/events HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n{")
		if _, err := nc.Read(make([]byte, 1)); err != nil { // the server asks for the body: the request is under way
			t.Fatal(err)
		}
		s.Signal(syscall.SIGTERM)
		if err := s.Wait(); err != nil {
			t.Errorf("exit: %v", err)
		}
	})
}
