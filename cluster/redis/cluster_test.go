//go:build redis

package redis

import (
	"slices"
	"strings"
	"testing"

	"dunlin/cluster"
	"dunlin/cluster/contract"
	"dunlin/internal/testkit"
)

// Three masters, with sharded pub/sub and a user of few rights. Each test has a prefix
// of its own.
func TestCluster(t *testing.T) {
	t.Parallel()
	rules := append(slices.Clone(aclRules), "+cluster|slots")
	url := testkit.StartRedisCluster(t, 3, 0, rules...).URL
	url = strings.Replace(url, "//", "//"+aclInURL+"@", 1)
	one := func(t *testing.T) *Engine {
		e, err := New(quickOptions(url, "flock:"+strings.ReplaceAll(t.Name(), "/", "-")))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	t.Run("Contract", func(t *testing.T) {
		contract.Run(t, func(t *testing.T) cluster.Engine { return one(t) })
	})
	t.Run("Nodes", func(t *testing.T) {
		contract.Nodes(t, func(t *testing.T, n int) (list []cluster.Engine) {
			for range n {
				list = append(list, one(t))
			}
			return list
		})
	})
}
