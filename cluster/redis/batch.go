package redis

import (
	"context"
	"errors"
	"time"

	"dunlin/cluster"
)

// Bounds of one batch, so that Redis is not held up for more than some
// milliseconds: plain channels cost about 2 µs, others 8 to 13.
const (
	batchWeight   = 512
	plainWeight   = 1
	trackedWeight = 4
	batchBytes    = 128 << 10
)

// Counts above fewCounts are told at most once an interval.
const (
	fewCounts     = 32
	countInterval = 250 * time.Millisecond
)

// Flags of the scripts.
const (
	flagOccupancy = 1 << iota
	flagPresence
	flagMembers
	flagUser
	flagCounts
	flagQuiet
)

func scriptFlags(f cluster.Flags, quiet bool) (n int) {
	for bit, flag := range map[cluster.Flags]int{
		cluster.TrackOccupancy: flagOccupancy,
		cluster.HasMembers:     flagPresence,
		cluster.TrackMembers:   flagMembers,
		cluster.IsUser:         flagUser,
		cluster.CountEvents:    flagCounts,
	} {
		if f&bit != 0 {
			n |= flag
		}
	}
	if quiet {
		n |= flagQuiet
	}
	return n
}

// batch is what is under way: the same bytes until there is an answer.
type batch struct {
	reg    registration
	number uint64
	keys   []string
	args   []any
	ops    []operation
	weight int
	bytes  int
}

// operation is one of a batch, with what to do when it was answered.
type operation struct {
	state   *state
	member  *member // nil: the count
	count   int
	again   bool // it is to be told here even if it is what was told last
	join    bool
	waiting []func(outcome)
}

func (b *batch) full() bool { return b.weight >= batchWeight || b.bytes >= batchBytes }

func (b *batch) add(op operation, weight int, args ...any) {
	b.ops = append(b.ops, op)
	b.args = append(b.args, args...)
	b.weight += weight
	for _, a := range args {
		if s, ok := a.(string); ok {
			b.bytes += len(s)
		}
	}
}

// run tells until the engine stops.
func (l *lane) run() {
	for l.slice.engine.life.Err() == nil {
		reg, changed := l.slice.state()
		var b *batch
		var wait time.Duration
		if reg.gen > 0 {
			b, wait = l.build(reg)
			l.callDue()
		}
		if b != nil {
			l.send(b)
			continue
		}
		if l.caughtUp(reg) {
			l.slice.caughtUp(reg.gen)
		}
		l.rest(wait, changed)
	}
}

// rest waits until there may be something to tell.
func (l *lane) rest(wait time.Duration, changed <-chan struct{}) {
	var due <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		due = t.C
	}
	select {
	case <-l.slice.engine.life.Done():
	case <-l.wake:
	case <-changed:
	case <-due:
	}
}

// caughtUp reports, once after each registration, that all is told.
func (l *lane) caughtUp(reg registration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.fresh && l.gen == reg.gen
	l.fresh = l.fresh && !was
	return was
}

// build makes the next batch; nil when there is nothing to tell, or nothing before
// a wait.
func (l *lane) build(reg registration) (*batch, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gen != reg.gen {
		l.restart(reg)
	}
	now := time.Now()
	l.dirty, l.later = append(l.dirty, l.later...), nil
	b := &batch{reg: reg, number: l.told + 1}
	s, o := l.slice, &l.slice.engine.opts
	b.keys = []string{s.pre + "e", s.pre + "l:" + reg.inc, s.pre + "nc:" + reg.inc, s.pre + "nb:" + reg.inc}
	b.args = []any{s.pre, reg.inc, reg.epoch, l.index, l.told, b.number,
		s.client.PublishCommand(), o.Debounce.Milliseconds(), o.Outbox}
	n := 0
	for n < len(l.dirty) && l.encode(l.dirty[n], b, now) {
		n++
	}
	rest := copy(l.dirty, l.dirty[n:])
	clear(l.dirty[rest:])
	l.dirty = l.dirty[:rest]
	if len(b.ops) == 0 {
		if len(l.later) > 0 {
			return nil, countInterval
		}
		return nil, 0
	}
	l.busy = true
	return b, 0
}

// encode adds to a batch what there is to tell of a channel: that there are
// subscriptions before its users, that there are none after them. It reports false
// when the batch is full before that is done. mu is held.
func (l *lane) encode(st *state, b *batch, now time.Time) (done bool) {
	if b.full() {
		return false
	}
	if l.held(st, now) {
		l.later = append(l.later, st)
		return true
	}
	if st.count > 0 && (st.count != st.told || st.again) && !st.next.After(now) {
		l.encodeCount(st, b, now)
	}
	if !l.encodeUsers(st, b, now) {
		return false
	}
	if st.count == 0 && st.told != 0 {
		l.encodeCount(st, b, now)
	}
	if len(st.touched) > 0 || st.count > 0 && st.next.After(now) {
		l.later = append(l.later, st)
		return true
	}
	st.queued = false
	if !st.sending {
		l.due = append(l.due, st.after...)
		st.after = nil
	}
	l.forget(st)
	return true
}

// callDue calls what is due, with no lock held.
func (l *lane) callDue() {
	l.mu.Lock()
	due := l.due
	l.due = nil
	l.mu.Unlock()
	for _, f := range due {
		f()
	}
}

// encodeUsers adds what there is to tell of a channel's users. It reports false when
// the batch is full before that is done; who is held back stays in touched. mu is
// held.
func (l *lane) encodeUsers(st *state, b *batch, now time.Time) (done bool) {
	hold := now.Before(l.loudAt) && st.flags&cluster.TrackMembers != 0
	var held []*member
	for i, u := range st.touched {
		if b.full() {
			st.touched = append(held, st.touched[i:]...)
			return false
		}
		if hold && u.want && !u.quiet && !u.told {
			held = append(held, u)
			continue
		}
		u.queued = false
		encodeUser(st, u, b)
	}
	st.touched = held
	return true
}

// held reports whether a channel is to wait, because backends hear of it and others
// tell first what was known before data was lost. mu is held.
func (l *lane) held(st *state, now time.Time) bool {
	if !now.Before(l.loudAt) || st.flags&(cluster.TrackOccupancy|cluster.TrackMembers) == 0 {
		return false
	}
	return !st.quiet && st.told == 0
}

// encodeCount adds a channel's count. mu is held.
func (l *lane) encodeCount(st *state, b *batch, now time.Time) {
	op := operation{state: st, count: st.count, again: st.again}
	st.again, st.sending = false, true
	if f := scriptFlags(st.flags, st.quiet); f == 0 || f == flagQuiet {
		b.add(op, plainWeight, "a", st.cid, st.count)
	} else {
		b.add(op, trackedWeight, "c", st.cid, f, st.count)
	}
	if st.count > fewCounts && st.told > 0 {
		st.next = now.Add(countInterval)
	}
}

// encodeUser adds what there is to tell of a user. mu is held.
func encodeUser(st *state, u *member, b *batch) {
	f := scriptFlags(st.flags|cluster.HasMembers, u.quiet)
	if u.told && (!u.want || u.again) {
		b.add(operation{state: st, member: u}, trackedWeight, "l", st.cid, f, u.id)
	}
	u.again = false
	if u.want {
		b.add(operation{state: st, member: u, join: true, waiting: u.waiting}, trackedWeight, "j", st.cid, f, u.id, u.data, u.limit)
		u.waiting = nil
	} else if !u.told {
		delete(st.users, u.id)
	}
}

// forget drops a state of which there is nothing to tell. mu is held.
func (l *lane) forget(st *state) {
	if !st.queued && st.count == 0 && st.told == 0 && len(st.users) == 0 && l.states[st.key] == st {
		delete(l.states, st.key)
	}
}

var errShort = errors.New("a batch was answered with too few values")

// send sends a batch until it is answered, or the node is registered anew.
func (l *lane) send(b *batch) {
	s := l.slice
	for i := range b.ops {
		if b.ops[i].again {
			s.listener.forgetCount(b.ops[i].state.key)
		}
	}
	for failures := 1; ; failures++ {
		ctx, cancel := context.WithTimeout(s.engine.life, commandTime)
		list, err := s.run(ctx, applyScript, b.keys, b.args...)
		cancel()
		if err == nil && len(list) > 0 {
			switch text(list[0]) {
			case "OK":
				if len(list) == 1+len(b.ops) {
					l.commit(b, list[1:])
					return
				}
				err = errShort
			case "EPOCH":
				s.distrust(b.reg.gen, dataLost)
			case "FENCED":
				s.distrust(b.reg.gen, fenced)
			case "LOST":
				s.distrust(b.reg.gen, writesLost)
			}
		}
		if err != nil && failures == 3 {
			s.engine.opts.Log.Warn("Redis does not take state", "slice", s.index, "error", err)
		}
		if !l.retry(b, failures) {
			l.abandon(b)
			return
		}
	}
}

// retry waits before a batch is sent again. It reports false when that has no sense
// any more.
func (l *lane) retry(b *batch, failures int) bool {
	reg, changed := l.slice.state()
	if reg.gen == b.reg.gen {
		t := time.NewTimer(retryWait(failures))
		select {
		case <-l.slice.engine.life.Done():
		case <-changed:
		case <-t.C:
		}
		t.Stop()
		reg, _ = l.slice.state()
	}
	return reg.gen == b.reg.gen && l.slice.engine.life.Err() == nil
}

// commit notes that Redis has what a batch said.
func (l *lane) commit(b *batch, answers []any) {
	now := time.Now()
	var after []func()
	l.mu.Lock()
	l.told, l.busy = b.number, false
	for i := range b.ops {
		op := &b.ops[i]
		switch st := op.state; {
		case op.member == nil:
			st.told, st.toldAt, st.quiet, st.sending = op.count, now, false, false
			after, st.after = append(after, st.after...), nil
		default:
			op.member.answered(op.join, number(answers[i]) == isFull, now)
			if u := op.member; !u.told && !u.want && !u.queued && st.users[u.id] == u {
				delete(st.users, u.id)
			}
		}
		l.forget(op.state)
	}
	l.mu.Unlock()
	for _, f := range after {
		f()
	}
	l.slice.engine.stats.Batches.Add(1)
	l.slice.engine.stats.Operations.Add(uint64(len(b.ops)))
	for i := range b.ops {
		o := outcome{full: number(answers[i]) == isFull}
		if !o.full {
			o.version = uint64(number(answers[i]))
		}
		for _, told := range b.ops[i].waiting {
			told(o)
		}
	}
}

// isFull is apply.lua's answer to a join that it refused.
const isFull = -1

// answered notes that Redis knows a user now, does no more, or refused to. Who is
// a member is one for ever: limits are for those who come. The lane's mu is held.
func (u *member) answered(join, full bool, now time.Time) {
	u.told, u.toldAt, u.quiet = join && !full, now, false
	if u.told {
		u.limit = 0
	}
	if full && !u.queued { // else there is a later word
		u.want = false
	}
}

// abandon takes back a batch that will not be sent again: all is told anew.
func (l *lane) abandon(b *batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy = false
	for i := range b.ops {
		op := &b.ops[i]
		if op.member == nil {
			op.state.sending = false
		}
		if op.join {
			op.member.waiting = append(op.waiting, op.member.waiting...)
		}
	}
}
