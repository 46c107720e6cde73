package redis

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"dunlin/cluster"
)

// watching is a Watch that was not answered. The people teller owns it.
type watching struct {
	users  []string
	topics []*topic // of users, in that order
	left   int      // topics of which nothing is known yet
	done   func([]string, error)
}

// Watch implements cluster.Engine. All topics of users have one teller, which is
// why its answer is in order with the changes of all of them.
func (e *Engine) Watch(app string, users []string, done func([]string, error)) {
	w := &watching{users: users, done: done}
	for _, u := range users {
		key := cluster.UserKey(app, u)
		l := e.slice(key).listener
		l.mu.Lock()
		t, fresh := l.hold(key, e.people)
		l.mu.Unlock()
		if fresh {
			poke(l.wake)
		}
		w.topics = append(w.topics, t)
	}
	e.people.do(w.begin)
}

// begin asks about those of whom nothing is known, or nobody cared to know, and
// those whose signing in here may not have come back yet: who watches itself is
// online.
func (w *watching) begin() {
	for _, t := range w.topics {
		v := &t.view
		if v.watched++; v.watched == 1 {
			v.known = false
		}
		if v.known && !t.slice.lane(t.key).knows(t.key) || slices.Contains(v.asking, w) {
			continue
		}
		v.asking = append(v.asking, w)
		w.left++
		if len(v.asking) == 1 {
			t.askOnline()
		}
	}
	w.finish(nil)
}

// finish answers, once all are known or one can not be.
func (w *watching) finish(err error) {
	if w.done == nil || err == nil && w.left > 0 {
		return
	}
	done := w.done
	w.done = nil
	if err != nil {
		done(nil, err)
		return
	}
	var online []string
	for i, t := range w.topics {
		if t.view.online {
			online = append(online, w.users[i])
		}
	}
	done(online, nil)
}

// askOnline finds out whether a user is signed in, once Redis knows whether it is
// here. It is called by the people teller.
func (t *topic) askOnline() {
	t.slice.lane(t.key).settled(t.key, func() { t.teller.do(t.askOnlineNow) })
}

func (t *topic) askOnlineNow() {
	t.ask(askOnline, func(n int64, _ string, err error) {
		v := &t.view
		asking := v.asking
		v.asking = nil
		switch {
		case err != nil:
		case v.known:
			t.isOnline(n == 1)
		default:
			v.known, v.online = true, n == 1
		}
		for _, w := range asking {
			w.left--
			w.finish(err)
		}
	})
}

// isOnline tells a change, to who watches. Before the first answer there is nothing
// that it could be a change of.
func (t *topic) isOnline(online bool) {
	v := &t.view
	if !v.known || v.online == online {
		return
	}
	v.online = online
	if v.watched > 0 {
		t.slice.engine.handler.Online(t.key.App, cluster.UserOf(t.key), online)
	}
}

// Unwatch implements cluster.Engine.
func (e *Engine) Unwatch(app string, users []string) {
	for _, u := range users {
		key := cluster.UserKey(app, u)
		l := e.slice(key).listener
		t := l.find(key)
		if t == nil {
			continue
		}
		e.people.do(func() { t.view.watched = max(t.view.watched-1, 0) })
		l.release(key)
	}
}

// Terminate implements cluster.Engine.
func (e *Engine) Terminate(ctx context.Context, app, user string) error {
	s := e.slice(cluster.UserKey(app, user))
	if !s.up() {
		return cluster.ErrUnavailable
	}
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	err := terminateScript.Run(ctx, s.client, []string{s.pre + "tm"}, s.client.PublishCommand(), s.listener.control, app+"\n"+user).Err()
	s.saw(err)
	return unavailable(err)
}

// controlled takes a message of all nodes' topic.
func (l *listener) controlled(message string) {
	if message == "" {
		return
	}
	switch body := message[1:]; message[0] {
	case kindTerminate:
		word, who, ok := strings.Cut(body, ":")
		at, err := strconv.ParseInt(word, 10, 64)
		if ok && err == nil {
			l.terminate(who, at)
		}
	case kindNewcomer:
		l.slice.newcomer(body)
	case kindWelcome:
		offer(l.slice.welcomes, body)
	case kindMark:
		offer(l.slice.publisher.marks, body)
	}
}

// terminatedFor is how long Redis keeps notes of terminated users, in ms.
const terminatedFor = 60_000

// terminate has the Handler end a user's connections, unless that was done.
func (l *listener) terminate(who string, at int64) {
	l.mu.Lock()
	done := l.terminated[who] >= at
	l.terminated[who] = max(l.terminated[who], at)
	if len(l.terminated) > 1024 {
		for other, t := range l.terminated {
			if t < at-terminatedFor {
				delete(l.terminated, other)
			}
		}
	}
	l.mu.Unlock()
	app, user, ok := strings.Cut(who, "\n")
	if done || !ok {
		return
	}
	e := l.slice.engine
	e.people.do(func() { e.handler.Terminate(app, user) })
}

// catchTerminated finds users that were terminated while nobody listened. What
// stands there at the first time was not meant for this process, unless a message
// says so as well.
func (l *listener) catchTerminated() {
	ctx, cancel := context.WithTimeout(l.slice.engine.life, commandTime)
	defer cancel()
	list, err := l.slice.client.ZRangeWithScores(ctx, l.slice.pre+"tm", 0, -1).Result()
	if l.slice.saw(err); err != nil {
		return
	}
	found := make(map[string]int64, len(list))
	for _, z := range list {
		found[text(z.Member)] = int64(z.Score)
	}
	l.mu.Lock()
	first := l.before == nil
	if first {
		l.before = found
	}
	l.mu.Unlock()
	for who, at := range found {
		if !first && l.before[who] < at {
			l.terminate(who, at)
		}
	}
}
