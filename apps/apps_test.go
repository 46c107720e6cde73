package apps

import (
	"testing"

	"dunlin/protocol"
)

// While a secret is being changed, the old one and the new one are both good.
func TestVerifyTakesAnySecret(t *testing.T) {
	t.Parallel()
	before, after, other := protocol.NewSecret("before"), protocol.NewSecret("after"), protocol.NewSecret("other")
	a := &App{Secrets: []*protocol.Secret{after, before}}
	text := []byte("1.2:private-c")
	for s, want := range map[*protocol.Secret]bool{before: true, after: true, other: false} {
		if got := a.Verify([]byte(s.Sign(text)), text); got != want {
			t.Errorf("signed with %q: %v, want %v", s.Reveal(), got, want)
		}
	}
}

func TestRegistryReplacesAllAtOnce(t *testing.T) {
	t.Parallel()
	one, two := &App{ID: "1", Key: "k1"}, &App{ID: "2", Key: "k2"}
	r := NewRegistry(one)
	if r.ByID("1") != one || r.ByKey("k1") != one || r.ByID("k1") != nil || r.ByKey("") != nil {
		t.Error("one app is not found by its own id and key alone")
	}
	r.Replace([]*App{two})
	if r.ByID("1") != nil || r.ByKey("k1") != nil || r.ByID("2") != two || len(r.All()) != 1 {
		t.Error("after Replace the list is not the new one")
	}
}
