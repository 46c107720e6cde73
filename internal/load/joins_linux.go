package load

import (
	"bytes"
	"fmt"
)

// joins is a storm of clients that join presence channels, each as a user of its
// own. When it is over, each has heard of every member of its channel: in the
// answer to its subscribe, or by a member_added.
type joins struct {
	// Static after start
	r     *run
	s     *swarm
	plan  schedule
	order []int // clients that are ready

	sent, succeeded int64
	gone            int      // clients that were lost before the storm
	at              []int64  // when client i joined, or was to
	members         []int64  // of each channel
	snapshots       int64    // members that the answers told of
	seen            int64    // member_added that came
	answer, heard   *latency // of joins, and of member_added
}

func (r *run) newJoins() *joins {
	return &joins{
		r: r, plan: schedule{rate: r.o.Rate}, at: make([]int64, r.o.Connections+r.o.SlowReaders),
		members: make([]int64, r.o.Channels), answer: r.elapsed.of(timeJoin), heard: r.elapsed.of(timeMember),
	}
}

// start begins the measure: all that are ready by now are to join.
func (j *joins) start(s *swarm) {
	j.s, j.gone = s, s.lost
	for i := range s.clients[:j.r.o.Connections] {
		if s.clients[i].state == ready {
			j.order = append(j.order, i)
		}
	}
	j.plan.start = j.r.now()
}

// presenceOf is the subscription of client i to the k-th presence channel. Its
// user's id is a mark, by which member_added is known again.
func (r *run) presenceOf(i, k int) subscription {
	data := r.mark.append([]byte(`{"user_id":"`), i)
	data = fmt.Appendf(data, `","user_info":{"name":"member %d"}}`, i)
	return subscription{channel: fmt.Sprintf("presence-%s-%d", r.o.Channel, k), data: string(data)}
}

func (j *joins) step(now int64) (next int64) {
	for range burst {
		if j.sent >= int64(len(j.order)) || j.r.ended() {
			return never
		}
		at := j.plan.due(j.sent)
		if at > now {
			return at
		}
		i := j.order[j.sent]
		j.sent++
		j.at[i] = at
		if c := &j.s.clients[i]; c.state == ready {
			j.s.subscribe(c, []subscription{j.r.presenceOf(i, i%j.r.o.Channels)})
		}
	}
	return now
}

var countKey = []byte(`\"count\":`)

// snapshotCount reads how many members an answer tells of. The data is a JSON
// string, so that quotes in it are escaped.
func snapshotCount(payload []byte) (n int64) {
	_, rest, _ := bytes.Cut(payload, countKey)
	for _, c := range bytes.TrimLeft(rest, " ") {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int64(c-'0')
	}
	return n
}

// joined takes the answer to a client's join.
func (j *joins) joined(c *client, payload []byte) {
	j.succeeded++
	j.members[int(c.index)%j.r.o.Channels]++
	j.snapshots += snapshotCount(payload)
	j.answer.record(j.s.now - j.at[c.index])
}

// member takes a member_added.
func (j *joins) member(_ *client, payload []byte) {
	j.seen++
	if i, ok := j.r.mark.find(payload); ok && i < len(j.at) {
		j.heard.record(j.s.now - j.at[i])
	}
}

// expected is how many member_added are to come in all: as many as members that
// an answer did not tell of.
func (j *joins) expected() (n int64) {
	for _, m := range j.members {
		n += m * m
	}
	return n - j.snapshots
}

// answered is how many joins came to an end.
func (j *joins) answered() int64 { return j.succeeded + int64(j.s.lost-j.gone) }

func (j *joins) work() work {
	missing := func() int64 { return j.sent - j.answered() + max(j.expected()-j.seen, 0) }
	return work{
		step: j.step,
		through: func(int64) bool {
			return (j.sent >= int64(len(j.order)) || j.r.ended()) && missing() <= 0
		},
		missing: missing,
		moved:   func() int64 { return j.sent + j.answered() + j.seen },
	}
}

// report adds what came of the joins.
func (j *joins) report(done Phase) {
	d := Deliveries{Expected: j.expected(), PerSecond: done.rate(j.seen)}
	d.Received = min(j.seen, d.Expected)
	d.Lost, d.Repeated = d.Expected-d.Received, j.seen-d.Received
	j.r.report.Members = &d
	j.r.report.Joins = &Joins{Sent: j.sent, Succeeded: j.succeeded, PerSecond: done.rate(j.succeeded)}
}
