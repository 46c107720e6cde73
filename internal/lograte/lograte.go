// Package lograte keeps what anybody may cause as often as he likes from flooding
// the log: of a flood some lines are written, and how many were not.
package lograte

import (
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// burst lines may come at once, and one a second then.
const burst = 10

// Limiter says which lines are written. Its methods may be called from any
// goroutine. Make one with New.
type Limiter struct {
	now    func() time.Time
	tokens *rate.Limiter
	left   atomic.Uint64 // lines left out since one was written
}

// New returns a limiter that has seen nothing. A nil now is time.Now.
func New(now func() time.Time) *Limiter {
	if now == nil {
		now = time.Now
	}
	return &Limiter{now: now, tokens: rate.NewLimiter(1, burst)}
}

// Allow reports whether a line may be written now, and how many were left out
// since the last one.
func (l *Limiter) Allow() (leftOut uint64, ok bool) {
	if !l.tokens.AllowN(l.now(), 1) {
		l.left.Add(1)
		return 0, false
	}
	return l.left.Swap(0), true
}

// Clip keeps what a client sent from growing a line.
func Clip(s string) string {
	const most = 2000
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// Signature is what is shown of a signature that a client sent. What does not look
// like one may be a secret that stands in the wrong place.
func Signature(s string) string {
	const digits = "0123456789abcdefABCDEF"
	if len(s) == signatureLen && strings.Trim(s, digits) == "" {
		return s
	}
	return "not a signature, but " + strconv.Itoa(len(s)) + " characters"
}

// signatureLen is the length of a signature, HMAC-SHA256 in hex (PROTOCOL 2.16).
const signatureLen = 64
