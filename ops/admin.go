package ops

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"strconv"
	"strings"
	"time"

	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/webhooks"
)

// guard lets requests through that carry the token. Without a token there is
// nothing to get through to.
type guard struct {
	token    *protocol.Secret
	counters *metrics.Set
}

func (g guard) only(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if g.token == nil {
			answer(w, http.StatusNotFound, "the admin interface is off; ops.admin_token turns it on")
			return
		}
		given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		// The sums have one length, so that the time tells nothing about the token's.
		a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(g.token.Reveal()))
		if !ok || subtle.ConstantTimeCompare(a[:], b[:]) != 1 {
			g.counters.Shared().Refuse(metrics.RefusedAdmin)
			w.Header().Set("WWW-Authenticate", "Bearer")
			answer(w, http.StatusUnauthorized, "the admin token is missing or wrong")
			return
		}
		next(w, r)
	}
}

// profile answers GET /admin/pprof/NAME as net/http/pprof does: "profile", of the
// CPU for ?seconds=, "trace", "heap", "goroutine" and so on, for go tool pprof.
func profile(w http.ResponseWriter, r *http.Request) {
	switch name := r.PathValue("name"); name {
	case "profile":
		pprof.Profile(w, r)
	case "trace":
		pprof.Trace(w, r)
	default:
		pprof.Handler(name).ServeHTTP(w, r)
	}
}

// hookAdmin answers what operators ask about webhooks.
type hookAdmin struct {
	queue webhooks.Queue
	log   *slog.Logger
}

// Bounds of a request.
const (
	maxLetters    = 10_000
	usualLetters  = 100
	maxAdminBytes = 1 << 20
	adminTimeout  = 20 * time.Second
)

// DeadLetters answers GET /admin/webhooks/dead: the letters, the latest first.
type DeadLetters struct {
	Dead []webhooks.DeadLetter `json:"dead"`
}

// Selection is the body of POST /admin/webhooks/replay: the dead letters with
// these ids, or all when none are given; of one app, or all.
type Selection struct {
	App string   `json:"app,omitempty"`
	IDs []string `json:"ids,omitempty"`
}

// Replayed answers it.
type Replayed struct {
	Replayed int `json:"replayed"`
}

func (a *hookAdmin) dead(w http.ResponseWriter, r *http.Request) {
	most := usualLetters
	if text := r.URL.Query().Get("max"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxLetters {
			answer(w, http.StatusBadRequest, "max must be a number from 1 to "+strconv.Itoa(maxLetters))
			return
		}
		most = n
	}
	ctx, cancel := context.WithTimeout(r.Context(), adminTimeout)
	defer cancel()
	list, err := a.queue.Dead(ctx, r.URL.Query().Get("app"), most)
	if err != nil {
		a.failed(w, "listing dead letters", err)
		return
	}
	if list == nil {
		list = []webhooks.DeadLetter{}
	}
	answerJSON(w, http.StatusOK, DeadLetters{list})
}

func (a *hookAdmin) replay(w http.ResponseWriter, r *http.Request) {
	var s *Selection
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAdminBytes))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil || s == nil {
		answer(w, http.StatusBadRequest, `the body must be {"app":"…","ids":["…"]}; both may be left out`)
		return
	}
	if s.IDs != nil && len(s.IDs) == 0 { // a script that found nothing does not mean all
		answerJSON(w, http.StatusOK, Replayed{})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), adminTimeout)
	defer cancel()
	n, err := a.queue.Replay(ctx, s.App, s.IDs...)
	if err != nil {
		a.failed(w, "replaying dead letters", err)
		return
	}
	a.log.Info("dead letters replayed", "app", s.App, "events", n)
	answerJSON(w, http.StatusOK, Replayed{n})
}

func (a *hookAdmin) failed(w http.ResponseWriter, doing string, err error) {
	a.log.Error(doing+" failed", "error", err)
	answer(w, http.StatusServiceUnavailable, doing+" failed; see the log")
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		answer(w, http.StatusInternalServerError, "the answer can not be encoded")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // the client is gone otherwise
}
