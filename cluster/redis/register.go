package redis

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"dunlin/internal/redis"
)

// register registers or renews an incarnation. It returns the answer, and the other
// nodes that it found.
func (s *slice) register(inc, first string) (list []any, others []string, err error) {
	ctx, cancel := context.WithTimeout(s.engine.life, commandTime)
	defer cancel()
	keys := []string{s.pre + "hb", s.pre + "l:" + inc, s.pre + "e"}
	asked := time.Now()
	args := []any{inc, s.engine.opts.Lease.Milliseconds(), s.newEpoch(), first, len(s.lanes), s.client.PublishCommand(), s.listener.control}
	if key, place := s.engine.shared.Place(s.index); key != "" {
		keys, args = append(keys, key), append(args, place)
	}
	list, err = s.run(ctx, registerScript, keys, args...)
	if err == nil && len(list) < 3 || err == nil && number(list[1]) == 1 && len(list) != 4+len(s.lanes) {
		err = fmt.Errorf("a registration was answered with %d values", len(list))
	}
	if err == nil {
		s.mu.Lock()
		s.timed, s.clock = asked, number(list[2])
		if number(list[1]) == 1 {
			incs, _ := list[3].([]any)
			others = s.found(asked, incs)
		}
		s.mu.Unlock()
	}
	return list, others, err
}

// An epoch says which slice of how many it is of, so that a Redis that holds
// another one is noticed.
func (s *slice) epochMark() string { return fmt.Sprintf("%d/%d/", s.index, s.engine.shared.Slices()) }

func (s *slice) newEpoch() string {
	return s.epochMark() + strconv.FormatUint(redis.RandomNumber(), 36)
}

// rejoin takes a new incarnation. The lanes then tell everything again.
func (s *slice) rejoin(old registration, why reason) error {
	inc := fmt.Sprintf("%s.%d", s.engine.node, old.gen+1)
	list, others, err := s.register(inc, "1")
	if err != nil {
		return err
	}
	epoch := text(list[0])
	if !strings.HasPrefix(epoch, s.epochMark()) {
		return s.refuse(epoch)
	}
	s.settleIn(inc, others)
	if old.gen > 0 && epoch != old.epoch {
		why = dataLost
	}
	s.up0()
	s.mu.Lock()
	s.reg = registration{inc: inc, gen: old.gen + 1, epoch: epoch, why: why, old: old.inc, at: time.Now()}
	s.suspect, s.notOurs, s.behind = firstTime, nil, len(s.lanes)
	if old.gen == 0 {
		s.back = time.Now()
	}
	s.reached()
	s.signal()
	s.mu.Unlock()
	s.engine.stats.Rejoins[why].Add(1)
	if why != firstTime {
		s.engine.opts.Log.Warn("telling Redis everything again", "slice", s.index, "reason", why.String())
		s.listener.catchUp()
	}
	return nil
}

// refuse notes that the slice belongs to another deployment.
func (s *slice) refuse(epoch string) error {
	err := fmt.Errorf("slice %d of %d holds %q: this Redis, under this prefix, belongs to a deployment with other settings", s.index, s.engine.shared.Slices(), epoch)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.notOurs == nil {
		s.engine.opts.Log.Error("Redis is not ours", "error", err)
	}
	s.notOurs = err
	if s.down.IsZero() {
		s.down = time.Now()
	}
	s.reached()
	return err
}

// reached closes first. mu is held.
func (s *slice) reached() {
	if !s.firstSet {
		s.firstSet = true
		close(s.first)
	}
}
