package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"dunlin/internal/client"
	"dunlin/internal/testkit"
)

var floodAddresses = flag.Int("flood.addresses", 40, "addresses that each wave of TestFlood comes from")

// Connections that each address of a wave tries to open.
const floodEach = 30

const floodConfig = `
server: {port: 0, drain: 1s, protection: {connections_per_address: 3, new_per_address_per_second: 10}}
ops: {port: 0}
apps: [{id: app-id, key: app-key, secret: app-secret}]
`

// TestFlood: waves of connections, each from other addresses. Of each address a few
// are let in, the others are told to back off, or closed where too many come to the
// door at once, and counted; what the server needs of memory does not grow with the
// addresses that came.
//
// PITFALLS 29, 30.
func TestFlood(t *testing.T) {
	t.Parallel()
	eachTransport(t, floodConfig, func(t *testing.T, s *testkit.Server) {
		rss, refused, closed := []int{resident(t, s)}, 0, 0
		for wave := range 3 {
			admitted, r, c := flood(t, s, wave)
			refused, closed = refused+r, closed+c
			rss = append(rss, resident(t, s))
			if want := 3 * *floodAddresses; len(admitted) != want {
				t.Errorf("%d connections were admitted, want %d", len(admitted), want)
			}
			for _, c := range admitted {
				c.Drop()
			}
			testkit.Until(t, "all are gone", func() bool { return s.Metric("dunlin_connections") == 0 })
			rss = append(rss, resident(t, s))
		}
		told := s.Metric(`dunlin_drops_total{reason="address_connections"}`) + s.Metric(`dunlin_drops_total{reason="address_rate"}`)
		if door := s.Metric(`dunlin_drops_total{reason="door"}`); told != float64(refused) || door != float64(closed) {
			t.Errorf("%v were refused and %v closed, by the figures; %d and %d in truth", told, door, refused, closed)
		}
		if all := 3 * (floodEach - 3) * *floodAddresses; refused+closed != all || refused == 0 {
			t.Errorf("%d were refused and %d closed, of %d", refused, closed, all)
		}
		t.Logf("resident MiB before, and during and after each wave: %d", rss)
		if before, after := rss[2], rss[len(rss)-1]; after > before+before/4+16 {
			t.Errorf("memory grows from wave to wave: %d MiB", rss)
		}
	})
}

// flood opens connections from addresses that no other wave has.
func flood(t *testing.T, s *testkit.Server, wave int) (admitted []*client.Conn, refused, closed int) {
	t.Helper()
	var mu sync.Mutex
	var all sync.WaitGroup
	rooms := make(chan struct{}, 16)
	for n := range *floodAddresses {
		local := &net.TCPAddr{IP: net.IPv4(127, byte(1+wave), byte(n/250), byte(1+n%250))}
		dial := (&net.Dialer{LocalAddr: local, Timeout: testkit.Patience}).DialContext
		for range floodEach {
			rooms <- struct{}{}
			all.Go(func() {
				defer func() { <-rooms }()
				c, err := dialFrom(s, dial)
				mu.Lock()
				defer mu.Unlock()
				var end *client.CloseError
				switch {
				case err == nil:
					admitted = append(admitted, c)
				case errors.As(err, &end) && end.Code == 4100:
					refused++
				case errors.As(err, &end) || errors.Is(err, context.DeadlineExceeded):
					t.Errorf("from %v: %v", local, err)
				default: // before the upgrade
					closed++
				}
			})
		}
	}
	all.Wait()
	return admitted, refused, closed
}

func dialFrom(s *testkit.Server, dial func(context.Context, string, string) (net.Conn, error)) (*client.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	way := &http.Transport{DialContext: dial, DisableKeepAlives: true}
	return client.Dial(ctx, "http://"+s.Addr, testkit.Key, client.Options{HTTPClient: &http.Client{Transport: way}})
}

// resident is the server's resident memory in MiB.
func resident(t *testing.T, s *testkit.Server) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib >> 10
}

// A client that sends without pause is slowed down, and served in the end.
func TestMessageFlood(t *testing.T) {
	t.Parallel()
	config := strings.Replace(floodConfig, "new_per_address_per_second: 10", "messages_per_second: 100", 1)
	eachTransport(t, config, func(t *testing.T, s *testkit.Server) {
		const sent = 300
		ctx, c := testkit.Context(t), s.Dial()
		began := time.Now()
		for range sent {
			if err := c.Ping(ctx); err != nil {
				t.Fatal(err)
			}
		}
		for range sent {
			if _, err := c.Await(ctx, "pusher:pong", ""); err != nil {
				t.Fatal(err)
			}
		}
		// They may all have been read at once; then the next one has to wait for them.
		if err := c.Ping(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Await(ctx, "pusher:pong", ""); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 3*time.Second/2 { // 100 at once, then 100 a second
			t.Errorf("%d messages took %v", sent+1, took)
		}
		if n := s.Metric(`dunlin_drops_total{reason="message_rate"}`); n < 1 {
			t.Errorf("held back %v times", n)
		}
	})
}
