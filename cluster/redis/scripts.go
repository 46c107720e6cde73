package redis

import (
	"context"
	_ "embed" // the scripts
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

// The scripts. Each begins with what it takes and answers.
var (
	//go:embed lua/register.lua
	registerText string
	//go:embed lua/apply.lua
	applyText string
	//go:embed lua/sweep.lua
	sweepText string
	//go:embed lua/publish.lua
	publishText string
	//go:embed lua/ask.lua
	askText string
	//go:embed lua/roster.lua
	rosterText string
	//go:embed lua/info.lua
	infoText string
	//go:embed lua/living.lua
	livingText string
	//go:embed lua/terminate.lua
	terminateText string
)

var (
	registerScript  = goredis.NewScript(registerText)
	applyScript     = goredis.NewScript(applyText)
	sweepScript     = goredis.NewScript(sweepText)
	publishScript   = goredis.NewScript(publishText)
	askScript       = goredis.NewScript(askText)
	rosterScript    = goredis.NewScript(rosterText)
	infoScript      = goredis.NewScript(infoText)
	livingScript    = goredis.NewScript(livingText)
	terminateScript = goredis.NewScript(terminateText)
)

// run runs a script that answers with a list. An answer that is none is as bad as
// no answer.
func (s *slice) run(ctx context.Context, script *goredis.Script, keys []string, args ...any) ([]any, error) {
	list, err := script.Run(ctx, s.client, keys, args...).Slice()
	s.saw(err)
	return list, err
}

// noScript reports whether Redis does not know a script, after a restart.
func noScript(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") }

func number(v any) int64 {
	n, _ := v.(int64)
	return n
}

func text(v any) string {
	s, _ := v.(string)
	return s
}
