//go:build redis

package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"dunlin/cluster"
	"dunlin/cluster/contract"
	"dunlin/internal/testkit"
)

// The rights that docs/scaling.md says suffice.
const (
	aclUser     = "dunlin"
	aclPassword = "pass:w@rd"
	aclInURL    = "dunlin:pass%3Aw%40rd"
)

var aclRules = []string{
	"--user", aclUser, "on", ">" + aclPassword, "~flock:*", "&flock:*",
	"-@all", "+@hash", "+@set", "+@sortedset", "+@string", "+@stream", "+@pubsub", "+@scripting",
	"+@connection", "+time", "+del", "+unlink", "+exists", "+pexpire", "+persist", "+pttl",
}

// A Redis as a careful operator has it: TLS with an authority of its own, which
// wants to see a certificate, a user with few rights, another database, and keys with
// another prefix.
func TestTLSAndACL(t *testing.T) {
	t.Parallel()
	cert, key := testkit.Certificate(t)
	r := testkit.StartRedisOn(t, func(port int) []string {
		return append([]string{
			"--tls-port", strconv.Itoa(port), "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert,
		}, append(aclRules, "--user", "default", "on", "nopass", "-@all", "+ping")...)
	})
	files := fmt.Sprintf("tls_ca=%s&tls_cert=%s&tls_key=%s", cert, cert, key)
	url := "rediss://" + aclInURL + "@" + r.Addr + "/3?" + files
	contract.Nodes(t, func(t *testing.T, n int) (list []cluster.Engine) {
		for range n {
			e, err := New(quickOptions(url, "flock:"+strings.ReplaceAll(t.Name(), "/", "-")))
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, e)
		}
		return list
	})
	for name, bad := range map[string]string{
		"a stranger's authority": "rediss://" + aclInURL + "@" + r.Addr + "/3",
		"a wrong password":       "rediss://dunlin:wrong@" + r.Addr + "/3?" + files,
		"no certificate":         "rediss://" + aclInURL + "@" + r.Addr + "/3?tls_ca=" + cert,
		"keys that are not ours": url,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			prefix := "flock"
			if bad == url {
				prefix = "other"
			}
			e, err := New(quickOptions(bad, prefix))
			if err != nil {
				t.Fatal(err)
			}
			if err := e.Start(newObserver()); err != nil {
				t.Fatal(err)
			}
			if _, err := e.Publish(context.Background(), []cluster.Publication{event("a", "x")}); !errors.Is(err, cluster.ErrUnavailable) {
				t.Errorf("publishing: %v", err)
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// The Redis that Sentinels watch dies, and its replica takes its place.
func TestSentinel(t *testing.T) {
	t.Parallel()
	w := testkit.StartSentinel(t)
	outageOf(t, w.URL, w.Master.Kill, func() {})
}

// Several Redis that know nothing of each other, of which one goes away and comes
// back empty: the channels of the other do not notice.
func TestSeveral(t *testing.T) {
	t.Parallel()
	first, second := testkit.StartRedis(t), testkit.StartRedis(t)
	urls := first.URL() + " " + second.URL()
	t.Run("Nodes", func(t *testing.T) {
		contract.Nodes(t, func(t *testing.T, n int) (list []cluster.Engine) {
			for range n {
				e, err := New(quickOptions(urls, strings.ReplaceAll(t.Name(), "/", "-")))
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, e)
			}
			return list
		})
	})
	a, ao := begin(t, urls)
	b, bo := begin(t, urls)
	var on [2]string // a presence channel on each
	for i := 0; on[0] == "" || on[1] == ""; i++ {
		name := fmt.Sprint("presence-", i)
		on[a.slice(ch(name)).index] = name
	}
	for _, name := range on {
		soon(t, enter(a, ao, name, "ann"))
		soon(t, enter(b, bo, name, "bob"))
	}
	second.Kill()
	testkit.Until(t, "it is known", func() bool { return !a.slices[1].up() })
	if _, err := a.Publish(context.Background(), []cluster.Publication{event(on[0], "heard")}); err != nil {
		t.Error(err)
	}
	testkit.Until(t, "the other still works", func() bool { return has(bo, "heard") })
	if _, err := a.Publish(context.Background(), []cluster.Publication{event(on[1], "lost")}); err == nil {
		t.Error("published to a Redis that is not there")
	}
	second.Start()
	testkit.Until(t, "both work", func() bool {
		_, err := b.Publish(context.Background(), []cluster.Publication{event(on[1], "again")})
		return err == nil && has(ao, "again")
	})
	for _, name := range on {
		testkit.Until(t, "members of "+name, func() bool {
			list, err := b.Members(context.Background(), ch(name))
			return err == nil && len(list) == 2
		})
	}
}

// Who names the servers in another order would look for state where it is not.
func TestSeveralInAnotherOrder(t *testing.T) {
	t.Parallel()
	first, second := testkit.StartRedis(t), testkit.StartRedis(t)
	begin(t, first.URL()+" "+second.URL())
	e := quick(t, second.URL()+" "+first.URL())
	if err := e.Start(newObserver()); err == nil || !strings.Contains(err.Error(), "other settings") {
		t.Errorf("the other order: %v", err)
		_ = e.Close()
	}
}
