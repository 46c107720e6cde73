//go:build redis

package redis

import (
	"strings"
	"testing"

	"dunlin/cluster"
	"dunlin/cluster/contract"
	"dunlin/internal/testkit"
)

// Three masters, with sharded pub/sub. Each test has a prefix of its own.
func TestCluster(t *testing.T) {
	t.Parallel()
	url := testkit.StartRedisCluster(t, 3)
	one := func(t *testing.T) *Engine {
		e, err := New(quickOptions(url, strings.ReplaceAll(t.Name(), "/", "-")))
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
