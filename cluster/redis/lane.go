package redis

import (
	"sync"
	"time"

	"dunlin/cluster"
	"dunlin/protocol"
)

// lane tells Redis the desired state of some channels of a slice, in batches of
// which one is under way at a time. While it is, changes gather; the next batch has
// the state as it is then, so that what was undone meanwhile costs nothing, and a
// backlog is never larger than what there is to know.
type lane struct {
	// Static after construction
	slice *slice
	index int
	wake  chan struct{}

	mu sync.Mutex
	// Guarded by mu
	states map[protocol.ChannelKey]*state
	dirty  []*state // with something to tell, each once
	later  []*state // with something to tell, but not before a time
	gen    int      // of the registration under which states were told
	told   uint64   // number of the last batch that was answered
	busy   bool     // a batch is under way
	fresh  bool     // since gen changed not everything was told
	loudAt time.Time
	due    []func() // to be called: what they waited for needs no telling any more
}

// state is what this node wants to be true of one channel. The lane's mu guards it.
type state struct {
	// Static after construction
	key protocol.ChannelKey
	cid string

	flags   cluster.Flags
	count   int
	told    int // as Redis has it under this registration
	toldAt  time.Time
	quiet   bool // its occupancy was known to Redis before data was lost
	next    time.Time
	queued  bool     // in dirty or later
	again   bool     // count is told even if Redis has it: who is new here was not told
	sending bool     // in the batch that is under way
	after   []func() // to be done when count was told

	users   map[string]*member // told, or to be told
	touched []*member          // of users, those with something to tell, each once
}

// member is one user of a presence channel on this node. The lane's mu guards it.
type member struct {
	id, data string
	join     uint64 // of the latest Join
	limit    int    // of members, 0: none; only for who was never one
	want     bool
	told     bool
	toldAt   time.Time
	quiet    bool
	again    bool // left and joined before the leave was told, as somebody else
	queued   bool // in touched
	waiting  []func(outcome)
}

// outcome is what became of a join.
type outcome struct {
	version uint64 // at which Redis knew the user; 0: the user left before that, or
	full    bool   // there are as many members as there may be
}

func newLane(s *slice, index int) *lane {
	return &lane{slice: s, index: index, wake: make(chan struct{}, 1), states: make(map[protocol.ChannelKey]*state)}
}

// state returns the state of a channel, made when it is missing. mu is held.
func (l *lane) state(ch protocol.ChannelKey, f cluster.Flags) *state {
	st := l.states[ch]
	if st == nil {
		st = &state{key: ch, cid: cidOf(ch), flags: f}
		l.states[ch] = st
	}
	if st.count == 0 && st.told == 0 && len(st.users) == 0 {
		st.flags = f // fixed from the first subscription to the last
	}
	return st
}

// touch queues a state. mu is held.
func (l *lane) touch(st *state) {
	if !st.queued {
		st.queued = true
		l.dirty = append(l.dirty, st)
	}
}

func (l *lane) occupy(ch protocol.ChannelKey, f cluster.Flags, count int) {
	l.mu.Lock()
	st := l.state(ch, f)
	st.again = st.again || count > st.count && f&cluster.CountEvents != 0
	st.count = count
	l.touch(st)
	l.mu.Unlock()
	poke(l.wake)
}

// counted calls f once Redis has the count of a channel whose counts are
// published; not at all when it is none, or nobody subscribes here any more.
func (l *lane) counted(ch protocol.ChannelKey, f func()) {
	l.mu.Lock()
	st := l.states[ch]
	if st == nil || st.flags&cluster.CountEvents == 0 || st.count == 0 {
		l.mu.Unlock()
		return
	}
	l.mu.Unlock()
	l.settled(ch, f)
}

// knows reports whether there is, or was a moment ago, something of a channel here.
func (l *lane) knows(ch protocol.ChannelKey) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.states[ch] != nil
}

// settled calls f once Redis has the count of a channel as it is here now.
func (l *lane) settled(ch protocol.ChannelKey, f func()) {
	l.mu.Lock()
	st := l.states[ch]
	wait := st != nil && (st.queued || st.sending)
	if wait {
		st.after = append(st.after, f)
	}
	l.mu.Unlock()
	if !wait {
		f()
	}
}

// join notes a user. told is called once Redis knows it, or will not.
func (l *lane) join(ch protocol.ChannelKey, f cluster.Flags, m protocol.Member, limit int, id uint64, told func(outcome)) {
	l.mu.Lock()
	st := l.state(ch, f)
	u := st.users[m.ID]
	if u == nil {
		u = &member{id: m.ID, limit: limit}
		if st.users == nil {
			st.users = make(map[string]*member)
		}
		st.users[m.ID] = u
	}
	// Redis keeps what a user said first. One who left and came back saying
	// something else is another member to everybody.
	u.again = u.again || !u.want && u.told && u.data != m.Data
	u.data, u.want, u.join = m.Data, true, id
	u.waiting = append(u.waiting, told)
	l.touchUser(st, u)
	l.mu.Unlock()
	poke(l.wake)
}

// leave notes that a user has no connection any more; when join is not 0, only if
// no other Join came since.
func (l *lane) leave(ch protocol.ChannelKey, f cluster.Flags, user string, join uint64) {
	l.mu.Lock()
	var waiting []func(outcome)
	if st := l.states[ch]; st != nil {
		if u := st.users[user]; u != nil && (join == 0 || u.join == join) {
			waiting, u.waiting = u.waiting, nil
			u.want = false
			l.touchUser(st, u)
		}
	}
	l.mu.Unlock()
	for _, told := range waiting {
		told(outcome{})
	}
	poke(l.wake)
}

// touchUser queues a user of a state. mu is held.
func (l *lane) touchUser(st *state, u *member) {
	if !u.queued {
		u.queued = true
		st.touched = append(st.touched, u)
	}
	l.touch(st)
}

// restart makes the lane tell everything again, under a new registration. mu is
// held.
func (l *lane) restart(reg registration) {
	now := time.Now()
	l.gen, l.told, l.fresh = reg.gen, 0, true
	if reg.why == dataLost {
		l.loudAt = now.Add(quietFirst)
	}
	l.dirty, l.later = l.dirty[:0], nil
	for key, st := range l.states {
		st.queued = false
		st.quiet = known(reg.why, st.told > 0, st.toldAt, now)
		st.told, st.next, st.again = 0, time.Time{}, st.count > 0
		st.touched = st.touched[:0]
		for id, u := range st.users {
			u.quiet = known(reg.why, u.told, u.toldAt, now)
			u.queued, u.told, u.again = false, false, false
			if !u.want { // the old incarnation takes it away
				delete(st.users, id)
				continue
			}
			l.touchUser(st, u)
		}
		if st.count == 0 && len(st.users) == 0 {
			l.due = append(l.due, st.after...)
			delete(l.states, key)
			continue
		}
		l.touch(st)
	}
}

// After Redis lost its data, what it had been told before is told first, so that
// what is new does not look like the first of its kind.
const quietFirst = 2 * time.Second

// longAgo is more than any replica is behind.
const longAgo = 10 * time.Second

// known reports whether backends have heard of something that is told again, so
// that they must not hear of it twice.
func known(why reason, told bool, at, now time.Time) bool {
	switch why {
	case dataLost:
		return told
	case writesLost:
		return told && now.Sub(at) > longAgo
	}
	return false
}

// answered is the number of the last batch that was answered under a registration.
func (l *lane) answered(gen int) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gen != gen {
		return 0
	}
	return l.told
}

// idle reports whether everything was told.
func (l *lane) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.busy && len(l.dirty) == 0 && len(l.later) == 0
}
