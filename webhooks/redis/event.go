package redis

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"dunlin/protocol"
	"dunlin/webhooks"
)

// Fields of an entry. The engine's scripts write n, c, u and t.
const (
	fieldName     = "n"
	fieldChannel  = "c" // "<app>:<channel>"
	fieldUser     = "u"
	fieldTime     = "t"  // ms
	fieldID       = "id" // only where it is not that of the entry
	fieldEvent    = "e"
	fieldData     = "d"
	fieldSocket   = "s"
	fieldCount    = "k"
	fieldOnly     = "o" // JSON
	fieldTrace    = "tp"
	fieldReason   = "why"
	fieldDiedTime = "x" // ms
)

// fieldsOf is an event as an entry.
func fieldsOf(e *webhooks.Event) (list []any) {
	list = []any{fieldName, e.Name.String(), fieldChannel, e.App + ":" + e.Channel, fieldTime, e.At.UnixMilli()}
	for _, f := range []struct{ name, value string }{
		{fieldID, e.ID}, {fieldUser, e.User}, {fieldEvent, e.ClientEvent}, {fieldData, string(e.Data)}, {fieldSocket, e.SocketID}, {fieldTrace, e.Trace},
	} {
		if f.value != "" {
			list = append(list, f.name, f.value)
		}
	}
	if e.Count != 0 {
		list = append(list, fieldCount, e.Count)
	}
	if len(e.Only) > 0 {
		list = append(list, fieldOnly, jsonList(e.Only))
	}
	return list
}

func jsonList(list []string) string {
	if len(list) == 0 {
		return ""
	}
	text, _ := json.Marshal(list) // a list of texts always can be
	return string(text)
}

// eventOf reads an entry. Its id is that of the slice and the entry unless it has
// one of its own.
func eventOf(slice int, m *goredis.XMessage) (webhooks.Event, error) {
	get := func(name string) string {
		s, _ := m.Values[name].(string)
		return s
	}
	e := webhooks.Event{
		ID: get(fieldID), User: get(fieldUser), ClientEvent: get(fieldEvent),
		Data: protocol.StringLiteral(get(fieldData)), SocketID: get(fieldSocket), Trace: get(fieldTrace),
	}
	if e.ID == "" {
		e.ID = strconv.Itoa(slice) + "-" + m.ID
	}
	var ok bool
	if e.Name, ok = protocol.HookTypeOf(get(fieldName)); !ok {
		return e, fmt.Errorf("%q is no webhook event", get(fieldName))
	}
	e.App, e.Channel, ok = strings.Cut(get(fieldChannel), ":")
	ms, err := strconv.ParseInt(get(fieldTime), 10, 64)
	if !ok || err != nil {
		return e, fmt.Errorf("entry %s is malformed", m.ID)
	}
	e.At = time.UnixMilli(ms)
	if k := get(fieldCount); k != "" {
		e.Count, err = strconv.Atoi(k)
	}
	if o := get(fieldOnly); o != "" && err == nil {
		err = json.Unmarshal([]byte(o), &e.Only)
	}
	return e, err
}
