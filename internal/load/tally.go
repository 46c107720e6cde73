package load

import (
	"cmp"
	"slices"
	"sync"
)

// tally counts what went wrong, by kind. The zero value is ready.
type tally struct {
	mu    sync.Mutex
	kinds map[string]*Failure // guarded by mu
}

// Failure is one kind of thing that went wrong.
type Failure struct {
	Kind  string `json:"kind"` // "http 413", "close 4100", "error 4301", "connect failed", …
	Count int64  `json:"count"`
	Text  string `json:"text,omitempty"` // what the first of them said
}

const maxText = 200

func (t *tally) add(kind, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.kinds[kind]
	if f == nil {
		if t.kinds == nil {
			t.kinds = map[string]*Failure{}
		}
		f = &Failure{Kind: kind, Text: text[:min(len(text), maxText)]}
		t.kinds[kind] = f
	}
	f.Count++
}

// list returns all kinds, the most frequent first.
func (t *tally) list() []Failure {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []Failure
	for _, f := range t.kinds {
		all = append(all, *f)
	}
	slices.SortFunc(all, func(a, b Failure) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Kind, b.Kind))
	})
	return all
}

// worst is the most frequent failure as text, "" when all went well.
func (t *tally) worst() string {
	all := t.list()
	switch {
	case len(all) == 0:
		return ""
	case all[0].Text == "":
		return all[0].Kind
	}
	return all[0].Kind + ": " + all[0].Text
}
