package redis

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"dunlin/cluster"
	"dunlin/protocol"
)

// background runs f beside everything else, a bounded number of them at a time.
func (s *slice) background(f func()) {
	s.engine.running.Go(func() {
		select {
		case <-s.engine.life.Done():
			return
		case s.hands <- struct{}{}:
		}
		defer func() { <-s.hands }()
		f()
	})
}

// info asks for channels of the slice. Four values each, see info.lua.
func (s *slice) info(ctx context.Context, cids []string) ([]any, error) {
	args := []any{s.pre}
	for _, cid := range cids {
		args = append(args, cid)
	}
	list, err := s.run(ctx, infoScript, []string{s.pre + "e"}, args...)
	if err != nil || len(list) != 4*len(cids) {
		return nil, unavailable(err)
	}
	return list, nil
}

// Channel implements cluster.Engine.
func (e *Engine) Channel(ctx context.Context, ch protocol.ChannelKey, want cluster.Info) (cluster.ChannelInfo, error) {
	s := e.slice(ch)
	if !s.up() {
		return cluster.ChannelInfo{}, cluster.ErrUnavailable
	}
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	list, err := s.info(ctx, []string{cidOf(ch)})
	if err != nil {
		return cluster.ChannelInfo{}, err
	}
	return infoOf(list, want), nil
}

func infoOf(list []any, want cluster.Info) (i cluster.ChannelInfo) {
	if len(list) < 4 {
		return i
	}
	subs := int(number(list[0]))
	i.Occupied = subs > 0
	if want&cluster.WantSubscriptions != 0 {
		i.Subscriptions = subs
	}
	if want&cluster.WantUsers != 0 {
		i.Users = int(number(list[1]))
	}
	if body := text(list[2]); want&cluster.WantCache != 0 && body != "" && body[0] == kindEvent {
		if m, ok := decodeEvent(body[1:]); ok {
			i.Last = &cluster.Last{Frame: m.Frame, TTL: time.Duration(number(list[3])) * time.Millisecond}
		}
	}
	return i
}

// Members implements cluster.Engine.
func (e *Engine) Members(ctx context.Context, ch protocol.ChannelKey) ([]protocol.Member, error) {
	s := e.slice(ch)
	if !s.up() {
		return nil, cluster.ErrUnavailable
	}
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	list, err := s.run(ctx, rosterScript, []string{s.pre + "p:" + cidOf(ch), s.pre + "e"}, 0, "")
	if err != nil {
		return nil, unavailable(err)
	}
	return rosterOf(list).Members, nil
}

// scanTime bounds a listing of all channels.
const scanTime = 10 * time.Second

// Channels implements cluster.Engine. It reads what each node has, in steps between
// which Redis does other things.
func (e *Engine) Channels(ctx context.Context, app, prefix string, want cluster.Info) (map[string]cluster.ChannelInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, scanTime)
	defer cancel()
	var all sync.WaitGroup
	var mu sync.Mutex
	var failed error
	out := make(map[string]cluster.ChannelInfo)
	for _, s := range e.slices {
		if !s.up() {
			return nil, cluster.ErrUnavailable
		}
		all.Go(func() {
			found, err := s.channels(ctx, app, prefix, want)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = err
			}
			for name, i := range found {
				out[name] = i
			}
		})
	}
	all.Wait()
	if failed != nil {
		return nil, unavailable(failed)
	}
	return out, nil
}

func (s *slice) channels(ctx context.Context, app, prefix string, want cluster.Info) (map[string]cluster.ChannelInfo, error) {
	incs, err := s.living(ctx)
	if err != nil {
		return nil, err
	}
	sums := make(map[string]int)
	for _, inc := range incs {
		if err := s.scan(ctx, inc, app, prefix, sums); err != nil {
			return nil, err
		}
	}
	out := make(map[string]cluster.ChannelInfo, len(sums))
	for name, n := range sums {
		i := cluster.ChannelInfo{Occupied: true}
		if want&cluster.WantSubscriptions != 0 {
			i.Subscriptions = n
		}
		out[name] = i
	}
	if want&cluster.WantUsers != 0 {
		err = s.countUsers(ctx, app, out)
	}
	return out, err
}

// living lists the incarnations whose leases have not run out, by Redis' clock.
func (s *slice) living(ctx context.Context) ([]string, error) {
	incs, err := livingScript.Run(ctx, s.client, []string{s.pre + "hb"}).StringSlice()
	s.saw(err)
	return incs, err
}

// scan adds an incarnation's channels to sums.
func (s *slice) scan(ctx context.Context, inc, app, prefix string, sums map[string]int) error {
	match := globEscape(app+":"+prefix) + "*"
	seen := make(map[string]bool) // a scan may return a field twice
	for cursor := uint64(0); ; {
		list, next, err := s.client.HScan(ctx, s.pre+"nc:"+inc, cursor, match, 1000).Result()
		s.saw(err)
		if err != nil {
			return err
		}
		for i := 0; i+1 < len(list); i += 2 {
			name := strings.TrimPrefix(list[i], app+":")
			n, _ := strconv.Atoi(list[i+1])
			if n > 0 && !seen[name] && !strings.HasPrefix(name, "#") {
				seen[name] = true
				sums[name] += n
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

// globEscape quotes what has a meaning in patterns of Redis.
func globEscape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`, `^`, `\^`).Replace(s)
}

// countUsers adds the numbers of users.
func (s *slice) countUsers(ctx context.Context, app string, list map[string]cluster.ChannelInfo) error {
	pipe := s.client.Pipeline()
	counts := make(map[string]*goredis.IntCmd)
	for name := range list {
		if protocol.KindOf(name).Is(protocol.Presence) {
			counts[name] = pipe.HLen(ctx, s.pre+"p:"+app+":"+name)
		}
	}
	if len(counts) == 0 {
		return nil
	}
	_, err := pipe.Exec(ctx)
	s.saw(err)
	for name, n := range counts {
		i := list[name]
		i.Users = max(int(n.Val())-1, 0)
		list[name] = i
	}
	return err
}
