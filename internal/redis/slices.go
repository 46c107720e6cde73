package redis

import (
	"fmt"
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// Most slices of a deployment.
const MaxSlices = 256

// clusterSlots is how many hash slots a Redis Cluster has.
const clusterSlots = 16384

// Layout says where in Redis a channel's keys are. All keys of a slice have one
// hash tag, so that a script may touch any of them.
type Layout struct {
	prefixes []string
}

// NewLayout returns the layout of a deployment: prefix begins every key, slices is
// how many parts there are, 1 to MaxSlices. Both are the same on all nodes for
// ever.
func NewLayout(prefix string, slices int) (Layout, error) {
	if slices < 1 || slices > MaxSlices {
		return Layout{}, fmt.Errorf("%d slices: must be 1 to %d", slices, MaxSlices)
	}
	l := Layout{}
	for i := range slices {
		l.prefixes = append(l.prefixes, prefix+":{"+tag(i, slices)+"}:")
	}
	return l, nil
}

// Slices is how many slices there are.
func (l Layout) Slices() int { return len(l.prefixes) }

// Prefix begins every key and every topic of a slice.
func (l Layout) Prefix(slice int) string { return l.prefixes[slice] }

// Slice is the slice of a channel.
func (l Layout) Slice(app, channel string) int {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(app) // never fails
	_, _ = d.WriteString("\x00")
	_, _ = d.WriteString(channel)
	return jump(d.Sum64(), len(l.prefixes))
}

// tag is the hash tag of slice i of n: the smallest number, in base 16, whose slot
// is in the middle half of the slice's part of all slots, so that equal parts of
// the slots hold equal numbers of slices. With bare slice numbers as tags half of
// a cluster's masters may get none. One slice of every layout has the tag "0", so that
// a node with another number of slices meets its epoch, and is refused.
func tag(i, n int) string {
	width := clusterSlots / n
	if int(crc16("0"))%clusterSlots/width == i {
		return "0"
	}
	from, to := i*width+width/4, i*width+width-width/4
	for x := 0; ; x++ {
		t := strconv.FormatInt(int64(x), 16)
		if slot := int(crc16(t)) % clusterSlots; slot >= from && slot < to {
			return t
		}
	}
}

// crc16 is CRC-16/XMODEM, which Redis Cluster hashes keys with.
func crc16(s string) (sum uint16) {
	for i := range len(s) {
		sum ^= uint16(s[i]) << 8
		for range 8 {
			if sum&0x8000 != 0 {
				sum = sum<<1 ^ 0x1021
			} else {
				sum <<= 1
			}
		}
	}
	return sum
}

// jump is the jump consistent hash of Lamping and Veach.
func jump(key uint64, buckets int) int {
	b, j := int64(-1), int64(0)
	for j < int64(buckets) {
		b = j
		key = key*2862933555777941757 + 1
		j = int64(float64(b+1) * (float64(int64(1)<<31) / float64(key>>33+1)))
	}
	return int(b)
}
