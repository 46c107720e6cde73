package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dunlin/internal/testkit"
	"dunlin/protocol"
	"dunlin/webhooks"
	"dunlin/webhooks/spool"
)

// BenchmarkRecovery starts a server on a spool with 100,000 events, as kill -9
// leaves it: the time until it listens, until the first webhook comes, and until
// the last one does.
func BenchmarkRecovery(b *testing.B) {
	const many = 100_000
	if _, err := testkit.Binary(); err != nil { // it is built
		b.Fatal(err)
	}
	for b.Loop() {
		b.StopTimer()
		path := filepath.Join(b.TempDir(), "hooks.db")
		fill(b, path, many)
		var mu sync.Mutex
		var first time.Time
		seen, all := map[string]bool{}, make(chan time.Time, 1)
		s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			if first.IsZero() {
				first = time.Now()
			}
			for id := range strings.SplitSeq(r.Header.Get("X-Dunlin-Event-Ids"), ",") {
				seen[id] = true
			}
			if len(seen) == many {
				all <- time.Now()
			}
		}))
		b.StartTimer()
		start := time.Now()
		testkit.Start(b, testkit.Options{Config: hookConfig(s.URL, "queue: spool, path: "+path)})
		b.ReportMetric(time.Since(start).Seconds(), "s-listening")
		last := <-all
		mu.Lock()
		b.ReportMetric(first.Sub(start).Seconds(), "s-first")
		b.ReportMetric(last.Sub(start).Seconds(), "s-all")
		mu.Unlock()
		b.Cleanup(s.Close)
	}
}

func fill(b *testing.B, path string, many int) {
	q, err := spool.Open(path, spool.Options{})
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; i < many; i += 1000 {
		var list []webhooks.Event
		for j := range 1000 {
			list = append(list, webhooks.Event{App: testkit.AppID, Name: protocol.HookMemberAdded, Channel: fmt.Sprint("presence-", i/1000),
				User: fmt.Sprint("user-", j), At: time.Now()})
		}
		if err := q.Append(context.Background(), list...); err != nil {
			b.Fatal(err)
		}
	}
	if err := q.Close(); err != nil {
		b.Fatal(err)
	}
}
