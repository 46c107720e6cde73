package redis

import (
	"context"
	"strconv"
	"strings"
	"time"

	"dunlin/cluster"
	"dunlin/protocol"
)

// Kinds of questions, see ask.lua.
const (
	askLast   = 'L'
	askCount  = 'S'
	askOnline = 'O'
)

// question is about a topic. Its answer comes through pub/sub, in order with the
// topic's messages, and is given to answer by the topic's teller.
type question struct {
	kind   byte
	token  uint64
	topic  *topic
	until  time.Time
	answer func(n int64, body string, err error)
}

// questionsAtOnce is how many one script call answers.
const questionsAtOnce = 128

// ask asks, as soon as the topic is live. It is called by the topic's teller.
func (t *topic) ask(kind byte, answer func(n int64, body string, err error)) {
	e, l := t.slice.engine, t.slice.listener
	q := &question{kind: kind, token: e.ids.Add(1), topic: t, until: time.Now().Add(e.opts.JoinPatience), answer: answer}
	l.mu.Lock()
	l.questions[q.token] = q
	if t.live {
		l.toAsk = append(l.toAsk, q)
	}
	l.mu.Unlock()
	poke(l.askWake)
}

// answered takes an answer from the node's own topic.
func (l *listener) answered(message string) {
	if message == "" {
		return
	}
	word, rest, _ := strings.Cut(message[1:], ":")
	value, body, ok := strings.Cut(rest, ":")
	token, err1 := strconv.ParseUint(word, 10, 64)
	n, err2 := strconv.ParseInt(value, 10, 64)
	if !ok || err1 != nil || err2 != nil {
		return
	}
	l.mu.Lock()
	q := l.questions[token]
	delete(l.questions, token)
	l.mu.Unlock()
	if q != nil {
		q.topic.teller.do(func() { q.answer(n, body, nil) })
	}
}

// askAll asks what there is to ask, until the engine stops.
func (l *listener) askAll() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for failures := 0; ; {
		var ok bool
		if ok = l.askSome(); ok {
			failures = 0
		} else if failures++; !l.slice.pause(retryWait(failures), nil, failures) {
			return
		}
		if !ok || l.asking() {
			continue
		}
		select {
		case <-l.slice.engine.life.Done():
			return
		case <-l.askWake:
		case now := <-tick.C:
			l.expire(now)
		}
	}
}

func (l *listener) asking() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.toAsk) > 0
}

// askSome asks one batch. It reports false when that has to be tried again.
func (l *listener) askSome() bool {
	reg, _ := l.slice.state()
	l.mu.Lock()
	n := min(len(l.toAsk), questionsAtOnce)
	list := append([]*question(nil), l.toAsk[:n]...)
	l.toAsk = append([]*question(nil), l.toAsk[n:]...)
	args := []any{l.slice.pre, l.slice.client.PublishCommand(), l.inbox, reg.inc}
	for _, q := range list {
		if l.questions[q.token] == q && q.topic.live {
			args = append(args, string(q.kind), q.token, cidOf(q.topic.key))
		}
	}
	l.mu.Unlock()
	if len(args) == 4 {
		return true
	}
	ctx, cancel := context.WithTimeout(l.slice.engine.life, commandTime)
	defer cancel()
	listeners, err := askScript.Run(ctx, l.slice.client, []string{l.slice.pre + "e"}, args...).Int64()
	l.slice.saw(err)
	if err == nil && listeners > 0 {
		return true
	}
	l.mu.Lock()
	l.toAsk = append(list, l.toAsk...) // who was answered nonetheless is no longer in questions
	l.mu.Unlock()
	return false
}

// expire gives up questions that nobody answered.
func (l *listener) expire(now time.Time) {
	l.mu.Lock()
	var late []*question
	for token, q := range l.questions {
		if now.After(q.until) {
			late = append(late, q)
			delete(l.questions, token)
		}
	}
	l.mu.Unlock()
	for _, q := range late {
		q.topic.teller.do(func() { q.answer(0, "", cluster.ErrUnavailable) })
	}
}

// Last implements cluster.Engine.
func (e *Engine) Last(ch protocol.ChannelKey, done func(*cluster.Last, error)) {
	t := e.slice(ch).listener.find(ch)
	if t == nil { // not attached: a fault of the caller, which must not hang
		e.teller(ch).do(func() { done(nil, cluster.ErrUnavailable) })
		return
	}
	t.teller.do(func() {
		t.view.cache = true
		t.ask(askLast, func(ms int64, body string, err error) {
			m, ok := t.lastOf(body)
			switch {
			case err != nil:
				done(nil, err)
			case !ok:
				done(nil, nil)
			default:
				done(&cluster.Last{Frame: m.Frame, TTL: time.Duration(ms) * time.Millisecond}, nil)
			}
		})
	})
}

// lastOf reads a kept event and notes which it is.
func (t *topic) lastOf(body string) (m arrived, ok bool) {
	if body == "" || body[0] != kindEvent {
		return m, false
	}
	m, ok = decodeEvent(body[1:])
	if ok {
		t.view.last = m.id
	}
	return m, ok
}

// askMissed delivers a cache channel's last event if it came while nobody listened.
func (t *topic) askMissed() {
	t.ask(askLast, func(ms int64, body string, err error) {
		before := t.view.last
		m, ok := t.lastOf(body)
		if err != nil || !ok || t.view.last == before {
			return
		}
		m.Keep = time.Duration(ms) * time.Millisecond
		t.slice.engine.handler.Event(t.key, m.Message)
	})
}

// askCount tells a channel's count as it is.
func (t *topic) askCount() {
	t.ask(askCount, func(n int64, own string, err error) {
		switch mine, ok := decodeNumber(own); {
		case err != nil:
		case t.isConnections():
			if ok {
				t.view.mine = mine
				t.elsewhere(int(n))
			}
		case n > 0:
			t.counted(int(n))
		}
	})
}
