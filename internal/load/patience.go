package load

// patience ends when something is awaited and nothing has moved for too long.
type patience struct {
	limit int64 // ns
	moved int64 // what moved was, at the last change
	at    int64 // when that was
}

// lasts takes a number that changes with any progress and reports whether to wait
// on. awaited says that something is still to come.
func (p *patience) lasts(now, moved int64, awaited bool) bool {
	if moved != p.moved {
		p.moved, p.at = moved, now
	}
	return !awaited || now-p.at <= p.limit
}
