package memory

import (
	"slices"
	"sync"

	"dunlin/webhooks"
)

// letters keeps dead letters, the oldest first.
type letters struct {
	mu sync.Mutex
	// Guarded by mu
	kept  []webhooks.DeadLetter
	bytes int
}

func size(l *webhooks.DeadLetter) int { return l.Size() + len(l.Reason) }

// add keeps letters and returns those that had to go for them.
func (l *letters) add(most, mostBytes int, list ...webhooks.DeadLetter) (gone []webhooks.DeadLetter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range list {
		l.bytes += size(&list[i])
	}
	l.kept = append(l.kept, list...)
	n := 0
	for ; len(l.kept)-n > most || l.bytes > mostBytes && n < len(l.kept); n++ {
		l.bytes -= size(&l.kept[n])
	}
	gone = slices.Clone(l.kept[:n])
	l.kept = slices.Delete(l.kept, 0, n)
	return gone
}

// take removes and returns the letters of an app, "" being all, with these ids,
// none being all.
func (l *letters) take(app string, ids []string) (taken []webhooks.DeadLetter) {
	wanted := make(map[string]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = slices.DeleteFunc(l.kept, func(d webhooks.DeadLetter) bool {
		if app != "" && d.App != app || len(ids) > 0 && !wanted[d.ID] {
			return false
		}
		taken = append(taken, d)
		l.bytes -= size(&d)
		return true
	})
	return taken
}

// list returns up to max letters of an app, the latest first.
func (l *letters) list(app string, max int) (list []webhooks.DeadLetter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range slices.Backward(l.kept) {
		if len(list) == max {
			break
		}
		if app == "" || d.App == app {
			list = append(list, d)
		}
	}
	return list
}

func (l *letters) all() []webhooks.DeadLetter {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.kept)
}

// count returns how many letters each app has.
func (l *letters) count() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := map[string]int{}
	for i := range l.kept {
		n[l.kept[i].App]++
	}
	return n
}
