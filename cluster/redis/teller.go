package redis

import (
	"sync"
	"time"

	"dunlin/internal/mailbox"
)

// teller is a goroutine that owns the views of some topics and tells the Handler
// what happens in them, in order.
type teller struct {
	// Static after construction
	engine *Engine
	box    *mailbox.Box[notice]
	wake   chan struct{}

	mu sync.Mutex
	// Guarded by mu
	gaps map[*topic]struct{} // topics of which a message was dropped

	// Owned by the teller's goroutine
	batch   []notice
	waiting map[*topic]struct{} // topics with joins that have not been answered
}

// notice is a message of a topic, or something to do.
type notice struct {
	topic *topic
	text  string
	do    func() // nil: a message
}

// tellerTick is how often a teller looks for joins that waited too long.
const tellerTick = 250 * time.Millisecond

func newTeller(e *Engine) *teller {
	return &teller{
		engine:  e,
		box:     mailbox.New[notice](e.opts.QueueBytes),
		wake:    make(chan struct{}, 1),
		gaps:    make(map[*topic]struct{}),
		waiting: make(map[*topic]struct{}),
	}
}

// do has f run by the teller. It is for control, bounded by subscriptions and joins.
func (t *teller) do(f func()) { t.put(notice{do: f}, 0) }

func (t *teller) put(n notice, weight int) {
	if t.box.Post(n, weight) {
		poke(t.wake)
	}
}

// message queues a message of a topic. When too much waits already it is dropped
// and counted, since who reads from Redis must not wait; the topic then catches up.
func (t *teller) message(to *topic, text string) {
	if t.box.Full() {
		t.engine.stats.DroppedIn.Add(1)
		t.mu.Lock()
		t.gaps[to] = struct{}{}
		t.mu.Unlock()
		return
	}
	t.put(notice{topic: to, text: text}, messageWeight(text))
}

func messageWeight(text string) int { return len(text) + 64 }

// run serves until the engine stops.
func (t *teller) run() {
	tick := time.NewTicker(tellerTick)
	defer tick.Stop()
	for {
		select {
		case <-t.engine.life.Done():
			return
		case now := <-tick.C:
			for topic := range t.waiting {
				topic.overdue(now)
			}
		case <-t.wake:
			t.serve()
		}
	}
}

func (t *teller) serve() {
	t.batch = t.box.Swap(t.batch)
	weight := 0
	for i := range t.batch {
		n := &t.batch[i]
		if n.do != nil {
			n.do()
		} else {
			n.topic.message(n.text)
			weight += messageWeight(n.text)
		}
	}
	clear(t.batch)
	t.box.Release(weight)
	t.mu.Lock()
	var gaps map[*topic]struct{}
	if len(t.gaps) > 0 {
		gaps, t.gaps = t.gaps, make(map[*topic]struct{})
	}
	t.mu.Unlock()
	for topic := range gaps {
		topic.catchUp()
	}
}
