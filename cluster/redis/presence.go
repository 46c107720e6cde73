package redis

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"dunlin/cluster"
	"dunlin/protocol"
)

// presence is how far a node has followed a presence channel's members. The members
// themselves the Handler keeps: here are only versions, which grow by one with each
// change, so that what is missing is noticed. A teller owns it.
type presence struct {
	state   followState
	version uint64   // of the last change or roster that was told
	attach  int      // numbers the Attach
	told    bool     // a roster with members was, since then
	resync  bool     // what is being read is for Resync as well
	again   bool     // what is being read may be too old already
	held    []change // that came while a roster was being read
	reading int      // numbers the readings, so that late ones are known
	joins   []*pendingJoin
}

type followState uint8

const (
	notFollowed followState = iota
	reading                 // a roster is on its way
	followed
)

// pendingJoin is a Join that was not answered.
type pendingJoin struct {
	// Static after construction
	id    uint64
	flags cluster.Flags
	user  string
	done  func(cluster.Roster, error)
	until time.Time

	// Owned by the teller's goroutine
	attach  int       // that it came after
	version uint64    // at which Redis knew the user; 0: it does not yet
	told    time.Time // when it did
}

// changeTime is how long the change of a join may take on its way through pub/sub
// before the roster is read instead.
const changeTime = time.Second

// mostHeld bounds the changes that wait for a roster: beyond it they are dropped,
// and the roster is read again.
const mostHeld = 4096

func (t *topic) joining(j *pendingJoin) {
	j.attach = t.view.presence.attach
	t.view.presence.joins = append(t.view.presence.joins, j)
	t.teller.waiting[t] = struct{}{}
}

// joinTold notes that Redis knows a user, or never will.
func (t *topic) joinTold(j *pendingJoin, o outcome) {
	p := &t.view.presence
	i := slices.Index(p.joins, j)
	switch {
	case i < 0: // it was given up
	case o.version > 0:
		j.version, j.told = o.version, time.Now()
	default:
		p.joins = slices.Delete(p.joins, i, i+1)
		if o.full {
			j.done(cluster.Roster{}, cluster.ErrFull)
		}
	}
	t.settle()
}

// settle answers the joins that can be answered, and reads the roster where one is
// needed for that.
func (t *topic) settle() {
	p := &t.view.presence
	if len(p.joins) == 0 {
		delete(t.teller.waiting, t)
		return
	}
	known := slices.ContainsFunc(p.joins, func(j *pendingJoin) bool { return j.version > 0 })
	switch {
	case p.state == reading || !known || t.attaching():
	case p.state == notFollowed || !p.told && slices.ContainsFunc(p.joins, func(j *pendingJoin) bool { return j.attach == p.attach }):
		t.read()
	default:
		t.answerJoins(nil)
	}
}

// attaching reports whether Attach is still to be answered: Join's answer comes
// after it.
func (t *topic) attaching() bool {
	l := t.slice.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	return !t.live && l.connected
}

// answerJoins answers the joins that the present version has. members are given to
// the first since Attach.
func (t *topic) answerJoins(members []protocol.Member) {
	p := &t.view.presence
	kept := p.joins[:0]
	var answer []*pendingJoin
	for _, j := range p.joins {
		if j.version > 0 && j.version <= p.version {
			answer = append(answer, j)
		} else {
			kept = append(kept, j)
		}
	}
	clear(p.joins[len(kept):])
	p.joins = kept
	for _, j := range answer {
		r := cluster.Roster{Version: p.version}
		if !p.told && j.attach == p.attach { // what came before is answered to nobody
			p.told = true
			r.Members = members
		}
		j.done(r, nil)
	}
	if len(kept) == 0 {
		delete(t.teller.waiting, t)
	}
}

// overdue gives up joins that waited too long, and looks after the others.
func (t *topic) overdue(now time.Time) {
	p := &t.view.presence
	var late []*pendingJoin
	p.joins = slices.DeleteFunc(p.joins, func(j *pendingJoin) bool {
		if now.After(j.until) {
			late = append(late, j)
			return true
		}
		return false
	})
	for _, j := range late {
		t.slice.lane(t.key).leave(t.key, j.flags, j.user, j.id)
		j.done(cluster.Roster{}, cluster.ErrUnavailable)
	}
	lost := func(j *pendingJoin) bool { return j.version > 0 && now.Sub(j.told) > changeTime }
	if p.state == followed && slices.ContainsFunc(p.joins, lost) {
		t.refresh()
		return
	}
	t.settle()
}

// changed tells a change that is the next one, and notices when one is missing.
func (t *topic) changed(c change) {
	p := &t.view.presence
	switch {
	case p.state == notFollowed: // nobody has joined here
	case p.state == reading && len(p.held) >= mostHeld:
		p.held, p.again = nil, true
	case p.state == reading:
		p.held = append(p.held, c)
	case c.Version <= p.version:
	case c.Version == p.version+1:
		p.version = c.Version
		t.slice.engine.handler.Member(t.key, c)
		if len(p.joins) > 0 {
			t.settle()
		}
	default:
		t.slice.engine.stats.Gaps.Add(1)
		t.refresh()
		p.held = append(p.held, c)
	}
}

// refresh reads the roster of a channel that is followed, or is to be.
func (t *topic) refresh() {
	p := &t.view.presence
	if p.state == notFollowed {
		t.settle()
		return
	}
	p.resync = p.resync || p.told
	if p.state == reading {
		p.again = true
		return
	}
	t.read()
}

// read reads the roster, in the background, once nodes have told Redis again what it
// lost.
func (t *topic) read() {
	p := &t.view.presence
	p.state, p.again = reading, false
	p.reading++
	n, have := p.reading, p.version
	if wait := t.slice.rebuilding(); wait > 0 {
		time.AfterFunc(wait, func() { t.teller.do(func() { t.unread(n) }) })
		return
	}
	t.slice.background(func() {
		r, err := t.slice.roster(t.key, have)
		if err != nil { // again in a moment, for as long as somebody wants it
			if t.slice.pause(retryWait(3), nil, 1) {
				t.teller.do(func() { t.unread(n) })
			}
			return
		}
		t.teller.do(func() { t.haveRead(n, r) })
	})
}

func (t *topic) unread(n int) {
	p := &t.view.presence
	if n != p.reading {
		return
	}
	if !t.isHeld() && len(p.joins) == 0 {
		*p = presence{reading: p.reading}
		return
	}
	t.read()
}

// haveRead takes a roster, and the changes that came while it was on its way.
func (t *topic) haveRead(n int, r cluster.Roster) {
	p := &t.view.presence
	if n != p.reading {
		return
	}
	p.state, p.version = followed, r.Version
	if p.resync && p.told {
		t.slice.engine.handler.Resync(t.key, r)
	}
	p.resync = false
	t.answerJoins(r.Members)
	held := p.held
	p.held = nil
	if p.again {
		p.resync = p.told
		t.read()
	}
	for _, c := range held {
		t.changed(c)
	}
	t.settle()
}

var errRebuilding = errors.New("data was lost, and nodes have yet to tell it again")

// roster reads a channel's members. have is the version that the node has seen.
func (s *slice) roster(ch protocol.ChannelKey, have uint64) (cluster.Roster, error) {
	ctx, cancel := context.WithTimeout(s.engine.life, commandTime)
	defer cancel()
	reg, _ := s.state()
	list, err := s.run(ctx, rosterScript, []string{s.pre + "p:" + cidOf(ch), s.pre + "e"}, have, reg.epoch)
	if err != nil {
		return cluster.Roster{}, err
	}
	if len(list) > 0 && number(list[0]) < 0 {
		s.distrust(reg.gen, dataLost)
		return cluster.Roster{}, errRebuilding
	}
	return rosterOf(list), nil
}

// rosterOf reads the answer of roster.lua. Members are in the order of their ids.
func rosterOf(list []any) cluster.Roster {
	r := cluster.Roster{Members: []protocol.Member{}}
	if len(list) == 0 {
		return r
	}
	r.Version = uint64(number(list[0]))
	for i := 1; i+1 < len(list); i += 2 {
		id, _ := strings.CutPrefix(text(list[i]), "u")
		_, data, _ := strings.Cut(text(list[i+1]), ";")
		r.Members = append(r.Members, protocol.Member{ID: id, Data: data})
	}
	slices.SortFunc(r.Members, func(a, b protocol.Member) int { return strings.Compare(a.ID, b.ID) })
	return r
}
