package load

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"dunlin/protocol"
)

// What fills an event's data up to its size.
const (
	FillX    = "x"    // one letter, again and again
	FillJSON = "json" // orders of a shop, which compress about as much as the JSON of others
)

// padding returns what stands behind the mark in an event's data of this size, as it
// is written in a JSON string.
func padding(fill string, size int) string {
	size = max(size-markSize, 0)
	if fill == FillX {
		return strings.Repeat("x", size)
	}
	quoted := protocol.AppendString(nil, orders(size)[:size])
	return string(quoted[1 : len(quoted)-1])
}

// orders is at least size bytes of JSON, always the same.
func orders(size int) string {
	rnd := rand.New(rand.NewPCG(1, 2))
	states := []string{"pending", "shipped", "delivered", "cancelled"}
	var b strings.Builder
	for b.Len() < size {
		fmt.Fprintf(&b, `{"id":%d,"customer":"%x","status":"%s","total":%.2f,"updated_at":"2026-03-%02dT%02d:%02d:%02dZ"},`,
			rnd.IntN(1e6), rnd.Uint32(), states[rnd.IntN(len(states))], rnd.Float64()*1000,
			1+rnd.IntN(28), rnd.IntN(24), rnd.IntN(60), rnd.IntN(60))
	}
	return b.String()
}
