package load

import (
	"fmt"
	"math/rand/v2"

	"dunlin/protocol"
	"dunlin/transport/wire"
)

// talk is clients that send events to each other, in groups: on a private channel
// for each.
type talk struct {
	// Static after start
	r        *run
	s        *swarm
	first, n int // which clients: first..first+n-1
	plan     schedule
	until    int64
	window   int64 // deliveries under way; negative: any number
	track    *tracker
	members  []int // of each group, that are ready
	speakers []int // clients that are ready

	sent, refusals int
	lostDeliveries int64 // that refusals took
	buf            []byte
	pad            string
}

func (r *run) newTalk(first, n int, rate float64) *talk {
	return &talk{
		r: r, first: first, n: n, plan: schedule{rate: rate}, members: make([]int, n/r.o.Group+1),
		track: newTracker(r.o.Events, r.elapsed.of(timeClient), newLatency()), pad: padding(r.o.Fill, r.o.Size),
	}
}

func (t *talk) group(i int) int { return (i - t.first) / t.r.o.Group }

func (t *talk) channel(i int) string {
	return fmt.Sprintf("private-%s-%d", t.r.o.Channel, t.group(i))
}

func (t *talk) subscriptions(i int) []subscription { return []subscription{{channel: t.channel(i)}} }

// joined counts a client that is ready.
func (t *talk) joined(c *client) {
	t.members[t.group(int(c.index))]++
	t.speakers = append(t.speakers, int(c.index))
}

// start begins the measure.
func (t *talk) start(s *swarm) {
	t.s = s
	// Neighbours are of one group: in their order, a server could gather what they send.
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(t.speakers), func(i, j int) {
		t.speakers[i], t.speakers[j] = t.speakers[j], t.speakers[i]
	})
	t.plan.start = t.r.now()
	t.until = t.plan.start + int64(t.r.o.Duration)
	t.window = -1
	if t.r.o.Window > 0 && !t.plan.paced() {
		t.window = int64(t.r.o.Window) * int64(t.r.o.Group-1)
	}
}

// burst is how many are sent before what has come is read.
const burst = 64

// step sends what is due, and without a schedule what the window has room for.
func (t *talk) step(now int64) (next int64) {
	for range burst {
		at := now
		switch {
		case t.ended(now):
			return never
		case t.plan.paced():
			if at = t.plan.due(int64(t.sent)); at > now {
				return at
			}
		case t.window >= 0 && t.track.missing() > t.window:
			return never
		}
		t.speak(at)
	}
	return now
}

// ended reports whether nothing more will be sent.
func (t *talk) ended(now int64) bool {
	over := t.plan.paced() && t.plan.due(int64(t.sent)) >= t.until
	return over || now >= t.until || t.sent >= t.r.o.Events || len(t.speakers) == 0 || t.r.ended()
}

// speak sends one event, from the next client in turn.
func (t *talk) speak(at int64) {
	n := t.sent
	t.sent++
	i := t.speakers[n%len(t.speakers)]
	c := &t.s.clients[i]
	if c.state != ready {
		return // lost since; what it does not send, nobody misses
	}
	t.track.begin(n, at, t.members[t.group(i)]-1)
	t.buf = append(t.buf[:0], `{"event":"`+protocol.ClientEventPrefix+eventName+`","channel":"`...)
	t.buf = append(append(t.buf, t.channel(i)...), `","data":{"text":"`...)
	t.buf = append(append(t.r.mark.append(t.buf, n), t.pad...), `"}}`...)
	t.s.send(c, wire.Text, t.buf)
}

// refused takes the server's refusal of an event. It does not say of which; all
// have about as many members to get it.
func (t *talk) refused(c *client, _ *protocol.Error) {
	if int(c.index) < t.first || int(c.index) >= t.first+t.n {
		return
	}
	others := int64(t.members[t.group(int(c.index))] - 1)
	t.refusals++
	t.lostDeliveries += others
	t.track.expected.Add(-others)
}

func (t *talk) work() work {
	return work{
		step:    t.step,
		through: func(now int64) bool { return t.ended(now) && t.track.missing() <= 0 },
		missing: t.track.missing,
		moved:   func() int64 { return int64(t.sent+t.refusals) + t.track.delivered },
	}
}

// report adds what was sent and what came of it.
func (t *talk) report(done Phase) {
	d := t.track.sum()
	d.Expected -= t.lostDeliveries
	d.Lost = max(d.Expected-d.Received, 0)
	d.PerSecond = done.rate(d.Received)
	d.BytesEach = done.each(d.Received)
	t.r.report.FromClients = &d
	t.r.report.Clients = &ClientSends{Sent: int64(t.sent), Refused: int64(t.refusals), PerSecond: done.rate(int64(t.sent))}
}
