package protocol

import (
	"fmt"
	"strings"
)

// HookType is one type of webhook event (PROTOCOL 6.9–6.15), or several joined
// with |. The zero value is none.
type HookType uint8

const (
	HookOccupied HookType = 1 << iota
	HookVacated
	HookMemberAdded
	HookMemberRemoved
	HookCacheMiss
	HookClientEvent
	HookCount
	hookEnd

	AllHooks = hookEnd - 1
)

// hookNames stand in the order of the bits.
var hookNames = [...]string{
	"channel_occupied", "channel_vacated", "member_added", "member_removed", "cache_miss", "client_event", "subscription_count",
}

// HookNames lists the types' names.
func HookNames() []string { return hookNames[:] }

// HookTypeOf returns the type of that name.
func HookTypeOf(name string) (t HookType, ok bool) {
	for i, n := range hookNames {
		if n == name {
			return 1 << i, true
		}
	}
	return 0, false
}

// String is the type's name on the wire; several are joined with commas.
func (t HookType) String() string {
	var list []string
	for i, n := range hookNames {
		if t&(1<<i) != 0 {
			list = append(list, n)
		}
	}
	return strings.Join(list, ",")
}

// MarshalText is the name.
func (t HookType) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads the name of one type.
func (t *HookType) UnmarshalText(text []byte) error {
	one, ok := HookTypeOf(string(text))
	if !ok {
		return fmt.Errorf("%q is no type of webhook event", text)
	}
	*t = one
	return nil
}
