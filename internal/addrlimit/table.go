package addrlimit

import (
	"hash/maphash"
	"net/netip"

	"dunlin/internal/bucket"
)

// The table has so many sets of so many places.
const (
	sets   = 1 << 14
	places = 4
)

// table has the buckets of addresses that came lately, 1 MiB of them. Where it is
// full the bucket that is nearest to being full makes room: a flood from very many
// addresses then has more than its share, but takes no memory, and nothing from others.
type table struct {
	seed maphash.Seed // or somebody could choose addresses that meet in one set
	sets [sets][places]place
}

type place struct {
	address uint64 // hash
	bucket  bucket.Bucket
}

func newTable() *table { return &table{seed: maphash.MakeSeed()} }

// of returns the bucket of an address, until the next call.
func (t *table) of(a netip.Addr) *bucket.Bucket {
	h := maphash.Comparable(t.seed, a)
	set := &t.sets[h%sets]
	oldest := &set[0]
	for i := range set {
		p := &set[i]
		if p.address == h {
			return &p.bucket
		}
		if p.bucket < oldest.bucket {
			oldest = p
		}
	}
	*oldest = place{address: h}
	return &oldest.bucket
}
