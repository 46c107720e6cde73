package spool

import (
	"bytes"

	"go.etcd.io/bbolt"

	"dunlin/protocol"
	"dunlin/webhooks"
)

// note keeps who is there up to date with an event.
func note(b *bbolt.Bucket, e *webhooks.Event) error {
	k := []byte(e.App + "\x00" + e.Channel + "\x00" + e.User)
	if len(k) > bbolt.MaxKeySize {
		return nil // names of this length are not worth a refusal of the event
	}
	switch e.Name {
	case protocol.HookOccupied, protocol.HookMemberAdded:
		return b.Put(k, nil)
	case protocol.HookVacated, protocol.HookMemberRemoved:
		return b.Delete(k)
	}
	return nil
}

// There lists who the file has as there: those were connected to a process that
// ended without a word. They are listed as the events that say that they are gone,
// members before their channels (PROTOCOL 6.21).
func (q *Queue) There() ([]webhooks.Event, error) {
	var members, vacated []webhooks.Event
	err := q.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(buckets.there).ForEach(func(k, _ []byte) error {
			app, rest, _ := bytes.Cut(k, []byte{0})
			channel, user, _ := bytes.Cut(rest, []byte{0})
			e := webhooks.Event{App: string(app), Name: protocol.HookVacated, Channel: string(channel)}
			if len(user) == 0 {
				vacated = append(vacated, e)
				return nil
			}
			e.Name, e.User = protocol.HookMemberRemoved, string(user)
			members = append(members, e)
			return nil
		})
	})
	return append(members, vacated...), err
}
