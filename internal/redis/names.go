package redis

import (
	"crypto/rand"
	"encoding/binary"
	"strconv"
)

// RandomNumber draws 64 bits. The system's source does not fail.
func RandomNumber() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:])
}

// NodeName names a process: 8 characters of 0-9 a-z, which never stand in a list
// of nodes as separators.
func NodeName() string {
	s := strconv.FormatUint(RandomNumber()|1<<63, 36)
	return s[len(s)-8:]
}
