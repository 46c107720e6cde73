package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"dunlin/internal/client"
	"dunlin/internal/testkit"
)

// books is a backend that knows who is where by webhooks alone, each event once by
// its id. Now and then it fails, before it has noted a request or after.
type books struct {
	*httptest.Server

	mu sync.Mutex
	// Guarded by mu
	random *rand.Rand
	faults int
	seen   map[string]bool // ids
	there  map[string]bool // "channel user"
	wrong  []string
}

func newBooks(t *testing.T) *books {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	b := &books{seen: map[string]bool{}, there: map[string]bool{}, random: rand.New(rand.NewPCG(1, seed))}
	b.Server = httptest.NewServer(http.HandlerFunc(b.serve))
	t.Cleanup(b.Close)
	return b
}

func (b *books) serve(w http.ResponseWriter, r *http.Request) {
	var hook struct {
		Events []struct {
			Name, Channel string
			User          string `json:"user_id"`
		}
	}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &hook)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	luck := b.random.IntN(6)
	if luck == 0 || err != nil {
		b.faults++
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	for i, id := range strings.Split(r.Header.Get("X-Dunlin-Event-Ids"), ",") {
		if e := hook.Events[i]; !b.seen[id] {
			b.seen[id] = true
			b.note(e.Name, e.Channel, e.User)
		}
	}
	if luck == 1 {
		b.faults++
		w.WriteHeader(http.StatusBadGateway)
	}
}

// note is called with mu held.
func (b *books) note(name, channel, user string) {
	key, came := channel+" "+user, name == "channel_occupied" || name == "member_added"
	if b.there[key] == came || user != "" && !b.there[channel+" "] {
		b.wrong = append(b.wrong, name+" "+key)
	}
	if b.there[key] = came; !came {
		delete(b.there, key)
	}
}

// noted says how many events there were, and how many are there by them.
func (b *books) noted() (events, there int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.seen), len(b.there)
}

// wander comes and goes in the round's presence channels until the server is gone.
func wander(ctx context.Context, s *testkit.Server, round int, user string) {
	for {
		c, err := client.Dial(ctx, "http://"+s.Addr, testkit.Key, client.Options{})
		if err != nil {
			return
		}
		for range 1 + rand.IntN(10) {
			channel := fmt.Sprint("presence-", rand.IntN(20), "-", round)
			if err = c.Subscribe(ctx, channel, s.API.Authorize(c.SocketID(), channel, fmt.Sprintf(`{"user_id":%q}`, user))); err != nil {
				break
			}
			if rand.IntN(3) == 0 {
				err = c.Unsubscribe(ctx, channel)
			}
		}
		c.Drop()
		if err != nil {
			return
		}
	}
}

// A server with a spool is killed at random moments, while clients come and go and
// the backend fails: what the backend knows by webhooks is right at each of them,
// and nobody is there in the end (PROTOCOL 6.7, 6.21, PITFALLS 20, 21).
func TestBooksBalance(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	config := hookConfig(b.URL, "queue: spool, path: "+filepath.Join(t.TempDir(), "hooks.db"))
	config = strings.Replace(config, `/hook"`, `/hook", event_types: [channel_occupied, channel_vacated, member_added, member_removed]`, 1)
	for round := range 3 {
		s := testkit.Start(t, testkit.Options{Config: config})
		var clients sync.WaitGroup
		for _, user := range []string{"ann", "ann", "bob"} {
			clients.Go(func() { wander(testkit.Context(t), s, round, user) })
		}
		before, _ := b.noted()
		enough := before + 1 + rand.IntN(40)
		testkit.Until(t, "events", func() bool { n, _ := b.noted(); return n >= enough })
		s.Signal(syscall.SIGKILL)
		if err := s.Wait(); err == nil {
			t.Error("it ended in order")
		}
		clients.Wait()
	}
	testkit.Start(t, testkit.Options{Config: config})
	testkit.Until(t, "everybody's end", func() bool { _, there := b.noted(); return there == 0 })
	b.mu.Lock()
	defer b.mu.Unlock()
	t.Logf("%d events, %d failures of the backend", len(b.seen), b.faults)
	if len(b.wrong) > 0 {
		t.Errorf("told in spite of what was told before: %q", b.wrong)
	}
}
