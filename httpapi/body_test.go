package httpapi

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

var jsonSeeds = []string{
	`{}`, `[]`, ` { "a" : 1 , "b":[ ] } `, `{"a":{"b":"}\"]"},"c":[[],{}],"d":null,"e":true,"f":-1.5e3}`,
	`["\\","\\\\\"",""]`, `{"\u0061\\\"":"x","":""}`, `[1,2 ,3]`, `{"a":"é\ud83d\ude00"}`, `{"a":1,"a":2}`,
	"[\t\"x\"\r\n,\n{\"k\" :false}]",
}

// TestValues takes the seeds apart as encoding/json does.
func TestValues(t *testing.T) {
	t.Parallel()
	for _, s := range jsonSeeds {
		compareValues(t, s)
	}
}

// FuzzValues: on valid JSON, each gives the values that encoding/json does.
func FuzzValues(f *testing.F) {
	for _, s := range jsonSeeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		switch v := value(strings.TrimSpace(s)); {
		case !gjson.Valid(s):
		case json.Valid([]byte(s)):
			compareValues(t, s)
		case v.isArray() || v.isObject():
			v.each(func(string, value) bool { return true }) // no panic on what only gjson takes
		}
	})
}

func compareValues(t *testing.T, s string) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader([]byte(s)))
	open, err := d.Token()
	if _, ok := open.(json.Delim); !ok || err != nil {
		return
	}
	trimmed := value(bytes.TrimSpace([]byte(s)))
	trimmed.each(func(key string, item value) bool {
		if trimmed.isObject() {
			want, _ := d.Token()
			var got string
			if raw, err := json.Marshal(key); err != nil || json.Unmarshal(raw, &got) != nil || got != want {
				t.Errorf("%q: key %q, want %q", s, key, want)
			}
		}
		var want json.RawMessage
		if err := d.Decode(&want); err != nil || string(item) != string(want) {
			t.Errorf("%q: value %q, want %q (%v)", s, item, want, err)
		}
		return true
	})
	if _, err := d.Token(); err != nil || d.More() {
		t.Errorf("%q: each stopped early (%v)", s, err)
	}
}
