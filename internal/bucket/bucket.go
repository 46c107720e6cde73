// Package bucket has the token bucket of what is limited per second.
package bucket

import "time"

// Bucket is a token bucket: as many tokens as a second brings, full at first. It is
// kept as the time at which it will be full, in ns since 1970, which is small. The
// zero value is full.
type Bucket int64

// Take takes one token, if there is one at now.
func (b *Bucket) Take(now time.Time, perSecond int) bool {
	at := now.UnixNano()
	empty := at + int64(time.Second) // when it will be full if it is empty now; no clock that was set back makes it later
	full := min(max(int64(*b), at), empty)
	next := full + int64(time.Second)/int64(perSecond)
	if next > empty {
		*b = Bucket(full)
		return false
	}
	*b = Bucket(next)
	return true
}
