package protocol

import (
	"slices"
	"strings"
	"testing"
)

// PROTOCOL 4.3, 4.4
func TestDecodeUserData(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]UserData{
		`{"id":"ann"}`:                                           {ID: "ann"},
		`{"id":"AZaz09_-=@,.;"}`:                                 {ID: "AZaz09_-=@,.;"},
		`{"id":"` + strings.Repeat("x", 200) + `"}`:              {ID: strings.Repeat("x", 200)},
		`{"x":{"id":"no"},"id":"ann","watchlist":null}`:          {ID: "ann"},
		`{"id":"ann","watchlist":[]}`:                            {ID: "ann"},
		`{"id":"ann","watchlist":["b","a","b","any name ü"]}`:    {ID: "ann", Watchlist: []string{"b", "a", "any name ü"}},
		`{"id":"ann","user_info":[1, 2],"more":true} `:           {ID: "ann"},
		`{"id":"ann","user_info":{"name":"Ann"},"watchlist":[]}`: {ID: "ann"},
	} {
		got, bad := DecodeUserData(text)
		if bad != nil || got.ID != want.ID || !slices.Equal(got.Watchlist, want.Watchlist) {
			t.Errorf("DecodeUserData(%s) = %+v, %v", text, got, bad)
		}
	}
	for text, want := range map[string]string{
		``:                             "Invalid user_data: not valid JSON",
		`{"id":"ann"`:                  "Invalid user_data: not valid JSON",
		strings.Repeat(`[`, 5000):      "Invalid user_data: not valid JSON",
		`"ann"`:                        "Invalid user_data: expected an object with an id",
		`[{"id":"ann"}]`:               "Invalid user_data: expected an object with an id",
		`{}`:                           "Invalid user_data: id must be a non-empty string",
		`{"id":""}`:                    "Invalid user_data: id must be a non-empty string",
		`{"id":7}`:                     "Invalid user_data: id must be a non-empty string",
		`{"id":null}`:                  "Invalid user_data: id must be a non-empty string",
		`{"id":"a b"}`:                 "Invalid user_data: id has characters other than A-Z a-z 0-9 _ - = @ , . ;",
		`{"id":"ü"}`:                   "Invalid user_data: id has characters other than A-Z a-z 0-9 _ - = @ , . ;",
		`{"id":"ann","watchlist":"b"}`: "Invalid user_data: watchlist must be an array of strings",
		`{"id":"ann","watchlist":[1]}`: "Invalid user_data: watchlist must be an array of strings",
		`{"id":"` + strings.Repeat("x", 201) + `"}`: "The user id exceeds the allowed maximum (200 characters)",
	} {
		if u, bad := DecodeUserData(text); bad == nil || bad.Message != want || bad.Code != 0 {
			t.Errorf("DecodeUserData(%.60s) = %+v, %v, want %q", text, u, bad, want)
		}
	}
}

// What a signed-in user is in a presence channel (PROTOCOL 2.32, 2.34, 2.39a).
func TestUserAsMember(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"id":"ann"}`:                           `{"user_id":"ann","user_info":{}}`,
		`{"id":"ann","user_info":null}`:          `{"user_id":"ann","user_info":{}}`,
		`{"id":"7","user_info":{"n": "Ü"}}`:      `{"user_id":"7","user_info":{"n": "Ü"}}`,
		`{"id":"12345678901","user_info":{}}`:    "The user_id exceeds the allowed maximum (10 characters)",
		`{"id":"ann","user_info":"12345678901"}`: "The user_info exceeds the allowed maximum (12 bytes)",
	} {
		u, bad := DecodeUserData(text)
		if bad != nil {
			t.Fatal(bad)
		}
		got := ""
		if m, bad := u.Member(10, 12); bad != nil {
			got = bad.Message
		} else if got = m.Data; m.ID != u.ID {
			t.Errorf("%s is member %q", text, m.ID)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
