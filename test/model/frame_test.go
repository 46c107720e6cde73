package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// frame is a message from the server with its form taken away: two frames that say
// the same are equal.
type frame struct {
	event, channel, userID string
	code                   string // of errors: "null", a number, or "TYPE STATUS"
	data                   string // the text inside; the server's own JSON in one canonical form
}

const (
	evPong      = "pusher:pong"
	evError     = "pusher:error"
	evRefused   = "pusher:subscription_error"
	evMiss      = "pusher:cache_miss"
	evSignedIn  = "pusher:signin_success"
	evSucceeded = "pusher_internal:subscription_succeeded"
	evAdded     = "pusher_internal:member_added"
	evRemoved   = "pusher_internal:member_removed"
	evCount     = "pusher_internal:subscription_count"
	evWatchlist = "pusher_internal:watchlist_events"
)

// stream names the frames of a connection that come in one order among themselves:
// those of one channel, those of the watchlist, and the others.
func (f frame) stream() string {
	if f.event == evWatchlist {
		return evWatchlist
	}
	return f.channel
}

// own reports that the event is the server's and not a publisher's.
func (f frame) own() bool {
	return strings.HasPrefix(f.event, "pusher:") || strings.HasPrefix(f.event, "pusher_internal:")
}

// is compares a frame with what was expected, where "*" is any data.
func (f frame) is(want frame) bool {
	if want.data == "*" && f.data != "" {
		f.data = "*"
	}
	return f == want
}

func (f frame) String() string {
	s := f.event
	for _, part := range []string{f.channel, f.code, f.data} {
		if part != "" {
			s += " " + part
		}
	}
	if f.userID != "" {
		s += " from " + f.userID
	}
	return s
}

// parseFrame reads a message and checks its form: every key it may have, and data a
// string everywhere but in errors (PROTOCOL 1.28, 1.30, 2.9).
func parseFrame(raw string) (f frame, err error) {
	var m struct {
		Event   *string         `json:"event"`
		Channel *string         `json:"channel"`
		UserID  *string         `json:"user_id"`
		Data    json.RawMessage `json:"data"`
	}
	if err := strictly(raw, &m); err != nil {
		return f, err
	}
	if m.Event == nil || m.Data == nil || m.Channel != nil && *m.Channel == "" || m.UserID != nil && *m.UserID == "" {
		return f, fmt.Errorf("event and data must be there, channel and user_id not be empty")
	}
	f.event = *m.Event
	if m.Channel != nil {
		f.channel = *m.Channel
	}
	if m.UserID != nil {
		f.userID = *m.UserID
	}
	return f, f.parseData(m.Data)
}

func strictly(text string, v any) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if d.More() {
		return fmt.Errorf("more than one value")
	}
	return nil
}

func (f *frame) parseData(data json.RawMessage) error {
	switch f.event {
	case evError:
		var e struct {
			Code    json.RawMessage `json:"code"`
			Message string          `json:"message"`
		}
		err := strictly(string(data), &e)
		f.code, f.data = string(e.Code), e.Message
		return err
	case evRefused:
		var e struct {
			Type   string `json:"type"`
			Error  string `json:"error"`
			Status int    `json:"status"`
		}
		err := strictly(string(data), &e)
		f.code, f.data = fmt.Sprintf("%s %d", e.Type, e.Status), e.Error
		return err
	}
	if err := json.Unmarshal(data, &f.data); err != nil || data[0] != '"' {
		return fmt.Errorf("data is not a string")
	}
	if f.own() {
		return f.canonize()
	}
	return nil
}

// canonize brings the server's own data into one form, where sets are sorted.
func (f *frame) canonize() (err error) {
	switch {
	case f.event == evSucceeded && f.data != "{}":
		f.data, err = canonicalSnapshot(f.data)
	case f.event == evWatchlist:
		f.data, err = canonicalWatch(f.data)
	default:
		f.data, err = canonical(f.data)
	}
	return err
}

// canonical is JSON with sorted keys and no spaces.
func canonical(text string) (string, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return "", err
	}
	return plainJSON(v), nil
}

// plainJSON encodes without HTML's escapes.
func plainJSON(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err.Error() // values decoded from JSON, and strings, always encode
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// canonicalSnapshot is a snapshot's hash, once its ids and its count agree with it
// (PROTOCOL 2.34).
func canonicalSnapshot(text string) (string, error) {
	var s struct {
		Presence struct {
			Count int                        `json:"count"`
			IDs   []string                   `json:"ids"`
			Hash  map[string]json.RawMessage `json:"hash"`
		} `json:"presence"`
	}
	if err := strictly(text, &s); err != nil {
		return "", err
	}
	p := s.Presence
	slices.Sort(p.IDs)
	if p.Count != len(p.IDs) || !slices.Equal(p.IDs, slices.Sorted(maps.Keys(p.Hash))) {
		return "", fmt.Errorf("count, ids and hash disagree")
	}
	return plainJSON(p.Hash), nil
}

// watchEvent is one part of a message about a watchlist (PROTOCOL 4.25).
type watchEvent struct {
	Name    string   `json:"name"`
	UserIDs []string `json:"user_ids"`
}

func canonicalWatch(text string) (string, error) {
	online, offline, err := parseWatch(text)
	return watchText(online, offline), err
}

func parseWatch(text string) (online, offline []string, err error) {
	var w struct {
		Events []watchEvent `json:"events"`
	}
	if err := strictly(text, &w); err != nil {
		return nil, nil, err
	}
	for i, e := range w.Events {
		switch {
		case len(e.UserIDs) == 0:
			return nil, nil, fmt.Errorf("nobody is %s", e.Name)
		case e.Name == "online" && i == 0:
			online = e.UserIDs
		case e.Name == "offline" && offline == nil:
			offline = e.UserIDs
		default:
			return nil, nil, fmt.Errorf("event %d is %q", i, e.Name)
		}
	}
	if len(w.Events) == 0 {
		return nil, nil, fmt.Errorf("no events")
	}
	return online, offline, nil
}

func watchText(online, offline []string) string {
	w := map[string][]watchEvent{"events": {}}
	for _, e := range []watchEvent{{"online", online}, {"offline", offline}} {
		if len(e.UserIDs) > 0 {
			slices.Sort(e.UserIDs)
			w["events"] = append(w["events"], e)
		}
	}
	return plainJSON(w)
}

// The frames that a model may expect.

func errorFrame(text string) frame { return frame{event: evError, code: "null", data: text} }

func succeededFrame(ch, data string) frame { return frame{event: evSucceeded, channel: ch, data: data} }

func countFrame(ch string, n int) frame {
	return frame{event: evCount, channel: ch, data: fmt.Sprintf(`{"subscription_count":%d}`, n)}
}

func removedFrame(ch, user string) frame {
	return frame{event: evRemoved, channel: ch, data: `{"user_id":` + quoted(user) + `}`}
}

func watchFrame(online, offline []string) frame {
	return frame{event: evWatchlist, data: watchText(online, offline)}
}

var pongFrame = frame{event: evPong, data: "{}"}
