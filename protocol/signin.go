package protocol

import (
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// maxSignedInID bounds the id of a signed-in user; SDKs stop before it (PROTOCOL
// 4.4).
const maxSignedInID = 200

// MaxWatchlist is how many users a connection may watch (PROTOCOL 4.27).
const MaxWatchlist = 100

// Signin is the data of pusher:signin, as it was sent.
type Signin struct{ Auth, UserData string }

// DecodeSignin reads the data of pusher:signin.
func DecodeSignin(m ClientMessage) (Signin, *Error) {
	d, ok := m.object()
	if !ok {
		return Signin{}, m.badData()
	}
	auth, data := d.Get("auth"), d.Get("user_data")
	if auth.Type != gjson.String || data.Type != gjson.String {
		return Signin{}, &Error{0, "Invalid signin: auth and user_data must be strings"}
	}
	return Signin{auth.Str, data.Str}, nil
}

// UserData is who signed in (PROTOCOL 4.3).
type UserData struct {
	ID        string
	Info      gjson.Result // user_info; the zero Result when absent
	Watchlist []string     // distinct, possibly more than MaxWatchlist
}

// DecodeUserData reads user_data once its signature is known to be good.
func DecodeUserData(text string) (UserData, *Error) {
	if TooDeep(text) || !gjson.Valid(text) {
		return UserData{}, &Error{0, "Invalid user_data: not valid JSON"}
	}
	root := gjson.Parse(text)
	if !root.IsObject() {
		return UserData{}, &Error{0, "Invalid user_data: expected an object with an id"}
	}
	id, list := root.Get("id"), root.Get("watchlist")
	u := UserData{ID: id.Str, Info: root.Get("user_info")}
	switch {
	case id.Type != gjson.String || u.ID == "":
		return UserData{}, &Error{0, "Invalid user_data: id must be a non-empty string"}
	case len(u.ID) > maxSignedInID:
		return UserData{}, tooLong("user id", maxSignedInID, "characters")
	case !plainName(u.ID):
		return UserData{}, &Error{0, "Invalid user_data: id has characters other than A-Z a-z 0-9 _ - = @ , . ;"}
	case list.Exists() && list.Type != gjson.Null && !list.IsArray():
		return UserData{}, errWatchlist
	}
	seen := make(map[string]bool)
	for _, w := range list.Array() {
		if w.Type != gjson.String {
			return UserData{}, errWatchlist
		}
		if !seen[w.Str] {
			seen[w.Str] = true
			u.Watchlist = append(u.Watchlist, w.Str)
		}
	}
	return u, nil
}

var errWatchlist = &Error{0, "Invalid user_data: watchlist must be an array of strings"}

// Member is the user as a member of a presence channel that was joined without
// channel_data (PROTOCOL 2.32), under the limits of DecodeMember.
func (u UserData) Member(maxID, maxInfo int) (Member, *Error) {
	switch {
	case maxID > 0 && utf8.RuneCountInString(u.ID) > maxID:
		return Member{}, tooLong("user_id", maxID, "characters")
	case maxInfo > 0 && len(u.Info.Raw) > maxInfo:
		return Member{}, tooLong("user_info", maxInfo, "bytes")
	}
	return Member{ID: u.ID, Data: memberData(string(AppendString(nil, u.ID)), u.Info)}, nil
}
