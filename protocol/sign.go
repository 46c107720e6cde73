package protocol

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"strings"
	"sync"
)

// SignatureLen is the length of a signature: HMAC-SHA256 in hex.
const SignatureLen = 2 * sha256.Size

// Secret signs with an app's secret. It never prints itself, and may be used by
// any number of goroutines. Make one with NewSecret.
type Secret struct {
	text string
	macs sync.Pool // of *mac: a keyed state costs two SHA-256 blocks to make
}

type mac struct {
	hash.Hash
	sum [sha256.Size]byte
	hex [SignatureLen]byte
}

// NewSecret returns a signer for an app's secret.
func NewSecret(text string) *Secret {
	s := &Secret{text: text}
	s.macs.New = func() any { return &mac{Hash: hmac.New(sha256.New, []byte(s.text))} }
	return s
}

// Sign returns the lower-case hex HMAC-SHA256 of the parts, joined.
func (s *Secret) Sign(parts ...[]byte) string {
	m := s.mac(parts)
	defer s.macs.Put(m)
	return string(m.hex[:])
}

// Verify reports, in constant time, whether signature is that of the parts
// joined. Upper-case hex is accepted (PROTOCOL 2.16).
func (s *Secret) Verify(signature []byte, parts ...[]byte) bool {
	if len(signature) != SignatureLen {
		return false
	}
	var given [SignatureLen]byte
	for i, c := range signature {
		if c >= 'A' && c <= 'F' {
			c |= 0x20
		}
		given[i] = c
	}
	m := s.mac(parts)
	defer s.macs.Put(m)
	return hmac.Equal(m.hex[:], given[:])
}

func (s *Secret) mac(parts [][]byte) *mac {
	m := s.macs.Get().(*mac)
	m.Reset()
	for _, p := range parts {
		m.Write(p)
	}
	hex.Encode(m.hex[:], m.Sum(m.sum[:0]))
	return m
}

// Reveal returns the secret itself, for the few places that must compare or sign
// by other means.
func (s *Secret) Reveal() string { return s.text }

// String keeps secrets out of logs and error texts.
func (*Secret) String() string { return "[secret]" }

// GoString keeps secrets out of %#v.
func (s *Secret) GoString() string { return s.String() }

// SplitAuth parts "key:signature" at the last colon, since signatures have none.
func SplitAuth(auth string) (key, signature string, ok bool) {
	i := strings.LastIndexByte(auth, ':')
	if i < 0 {
		return "", "", false
	}
	return auth[:i], auth[i+1:], true
}
