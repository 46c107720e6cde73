//go:build redis

package scale

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"dunlin/internal/client"
)

// receiver is a backend that takes webhooks.
type receiver struct {
	url string

	mu sync.Mutex
	// Guarded by mu
	events []string // "name channel user", but for the guest's
	guests []string
}

const guestRoom = "guest"

func startReceiver(t *testing.T) *receiver {
	r := &receiver{}
	s := httptest.NewServer(http.HandlerFunc(r.take))
	t.Cleanup(s.Close)
	r.url = s.URL
	return r
}

func (r *receiver) take(w http.ResponseWriter, req *http.Request) {
	var body struct {
		Events []struct {
			Name, Channel string
			User          string `json:"user_id"`
		}
	}
	if err := json.NewDecoder(req.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range body.Events {
		if e.Channel == guestRoom {
			r.guests = append(r.guests, e.Name)
		} else {
			r.events = append(r.events, strings.TrimSpace(e.Name+" "+e.Channel+" "+e.User))
		}
	}
}

func (r *receiver) count() int { return len(r.since(0)) }

func (r *receiver) since(n int) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events[n:])
}

// guest has somebody come and leave. When that was told, so was all that left before.
func (r *receiver) guest(t *testing.T, f *fleet) {
	t.Helper()
	c := f.next().Dial()
	if err := c.Subscribe(t.Context(), guestRoom, client.Authorization{}); err != nil {
		t.Fatal(err)
	}
	told := func(name string) func() bool {
		return func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return slices.Contains(r.guests, name)
		}
	}
	f.await("the guest is told of", told("channel_occupied"))
	c.Drop()
	f.await("the guest's departure is told of", told("channel_vacated"))
}
