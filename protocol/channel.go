package protocol

import "strings"

// ChannelKey names a channel. Names are only unique inside one app.
type ChannelKey struct{ App, Name string }

// Kind is what a channel's prefix makes of it, as a set of bits (PROTOCOL 2.4).
// The zero value is a public channel.
type Kind uint8

const (
	Private   Kind = 1 << iota // subscribing needs a signature; presence channels have it too
	Presence                   // has members
	Encrypted                  // carries ciphertext that only clients can read
	Cache                      // keeps its last event
	User                       // #server-to-user-ID
)

// ServerToUserPrefix begins the one kind of reserved name (PROTOCOL 2.3).
const ServerToUserPrefix = "#server-to-user-"

// kinds lists the prefixes, longest first where one begins another.
var kinds = [...]struct {
	prefix string
	kind   Kind
}{
	{"private-encrypted-cache-", Private | Encrypted | Cache},
	{"private-encrypted-", Private | Encrypted},
	{"private-cache-", Private | Cache},
	{"private-", Private},
	{"presence-cache-", Private | Presence | Cache},
	{"presence-", Private | Presence},
	{"cache-", Cache},
	{ServerToUserPrefix, User},
}

// KindOf returns the kind of a channel name. Prefixes are anchored and
// case-sensitive.
func KindOf(name string) Kind {
	for _, k := range kinds {
		if strings.HasPrefix(name, k.prefix) {
			return k.kind
		}
	}
	return 0
}

// Is reports whether k has every bit of bits.
func (k Kind) Is(bits Kind) bool { return k&bits == bits }

// ValidChannelName reports whether name consists of 1..max characters, max 0
// being no limit, of A-Z a-z 0-9 _ - = @ , . ; (PROTOCOL 2.1, 2.2). Names with '#' are not valid
// here: see ServerToUser.
func ValidChannelName(name string, max int) bool {
	return len(name) > 0 && (max == 0 || len(name) <= max) && plainName(name)
}

// ServerToUser returns the user id in a "#server-to-user-ID" name. User ids are
// of the characters of channel names (PROTOCOL 4.4).
func ServerToUser(name string) (user string, ok bool) {
	user, ok = strings.CutPrefix(name, ServerToUserPrefix)
	return user, ok && user != "" && plainName(user)
}

func plainName(s string) bool {
	for i := range len(s) {
		if !nameByte[s[i]] {
			return false
		}
	}
	return true
}

var nameByte = func() (t [256]bool) {
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-=@,.;" {
		t[c] = true
	}
	return t
}()
