package redis

import (
	"context"
	"strconv"
	"strings"
)

// Fact is what a Redis says of itself.
type Fact struct {
	Version string
	Major   int  // 0: unknown
	Evicts  bool // it drops keys when memory is full
}

// Facts asks a Redis what it is. A user who may not ask learns nothing, which is
// no error.
func Facts(ctx context.Context, c *Client) (f Fact, err error) {
	if err := c.Ping(ctx).Err(); err != nil {
		return f, err
	}
	text, err := c.Info(ctx).Result()
	if err != nil {
		return f, nil
	}
	f.Version = field(text, "redis_version")
	major, _, _ := strings.Cut(f.Version, ".")
	f.Major, _ = strconv.Atoi(major)
	policy := field(text, "maxmemory_policy")
	f.Evicts = field(text, "maxmemory") != "0" && policy != "" && policy != "noeviction"
	return f, nil
}

// field finds "name:value" in the text of INFO.
func field(text, name string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
