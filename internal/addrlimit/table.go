package addrlimit

import (
	"hash/maphash"
	"net/netip"
	"time"
)

// meter lets so many through in a second, and at once. It is the time, in ns since
// 1970, at which it will be as good as new.
type meter int64

// take reports whether one may pass at now.
func (m *meter) take(now int64, perSecond int) bool {
	latest := now + int64(time.Second) // no clock that was set back makes it later
	at := min(max(int64(*m), now), latest)
	next := at + int64(time.Second)/int64(perSecond)
	if next > latest {
		*m = meter(at)
		return false
	}
	*m = meter(next)
	return true
}

// The table has so many sets of so many places.
const (
	sets   = 1 << 14
	places = 4
)

// table has the meters of addresses that came lately, 1 MiB of them. Where it is
// full the meter that is nearest to being as good as new makes room: a flood from
// very many addresses then has more than its share, but takes no memory, and takes
// nothing from others.
type table struct {
	seed maphash.Seed // or somebody could choose addresses that meet in one set
	sets [sets][places]place
}

type place struct {
	address uint64 // hash
	meter   meter
}

func newTable() *table { return &table{seed: maphash.MakeSeed()} }

// of returns the meter of an address, until the next call.
func (t *table) of(a netip.Addr) *meter {
	h := maphash.Comparable(t.seed, a)
	set := &t.sets[h%sets]
	oldest := &set[0]
	for i := range set {
		p := &set[i]
		if p.address == h {
			return &p.meter
		}
		if p.meter < oldest.meter {
			oldest = p
		}
	}
	*oldest = place{address: h}
	return &oldest.meter
}
