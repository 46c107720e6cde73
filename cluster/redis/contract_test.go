//go:build redis

package redis

import (
	"testing"
	"time"

	"dunlin/cluster"
	"dunlin/cluster/contract"
	"dunlin/internal/testkit"
)

// quickOptions are times that suit tests.
func quickOptions(url, prefix string) Options {
	return Options{
		URL: url, Prefix: prefix, Lease: 800 * time.Millisecond, Debounce: 300 * time.Millisecond, Linger: 200 * time.Millisecond,
		Probe: 500 * time.Millisecond,
	}
}

func quick(t testing.TB, url string) *Engine {
	t.Helper()
	e, err := New(quickOptions(url, ""))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestContract(t *testing.T) {
	t.Parallel()
	contract.Run(t, func(t *testing.T) cluster.Engine {
		return quick(t, testkit.StartRedis(t).URL())
	})
}

func TestNodes(t *testing.T) {
	t.Parallel()
	contract.Nodes(t, func(t *testing.T, n int) (list []cluster.Engine) {
		r := testkit.StartRedis(t)
		for range n {
			list = append(list, quick(t, r.URL()))
		}
		return list
	})
}
