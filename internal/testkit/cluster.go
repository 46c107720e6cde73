package testkit

import (
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// RedisCluster is a Redis Cluster of a test's own.
type RedisCluster struct {
	URL   string
	Nodes []*Redis

	t testing.TB
}

// StartRedisCluster starts so many masters on free ports, with so many replicas each,
// and has them share the slots. Slots without a master do not stop the others. args
// are added to the command lines.
func StartRedisCluster(t testing.TB, masters, replicas int, args ...string) *RedisCluster {
	t.Helper()
	c := &RedisCluster{t: t}
	create := []string{"--cluster", "create"}
	for range masters * (1 + replicas) {
		r := startClusterNode(t, args)
		c.Nodes = append(c.Nodes, r)
		create = append(create, r.Addr)
	}
	c.URL = "redis-cluster://" + strings.Join(create[2:], ",")
	create = append(create, "--cluster-replicas", strconv.Itoa(replicas), "--cluster-yes")
	if out, err := exec.Command("redis-cli", create...).CombinedOutput(); err != nil {
		t.Fatalf("making a cluster: %v\n%s", err, out)
	}
	for _, r := range c.Nodes {
		Until(t, "the cluster is whole", func() bool {
			return strings.Contains(c.cli(r, "cluster", "info"), "cluster_state:ok") &&
				strings.Count(c.cli(r, "cluster", "nodes"), "slave") == masters*replicas
		})
	}
	return c
}

// startClusterNode starts one node. Its bus takes the port that is 10,000 higher.
func startClusterNode(t testing.TB, args []string) *Redis {
	t.Helper()
	return StartRedisOn(t, func(port int) []string {
		return append([]string{
			"--port", strconv.Itoa(port), "--cluster-enabled", "yes", "--cluster-config-file", strconv.Itoa(port) + ".conf",
			"--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no", "--repl-diskless-sync-delay", "0",
		}, args...)
	})
}

func (c *RedisCluster) cli(r *Redis, command ...string) string {
	out, _ := exec.Command("redis-cli", append([]string{"-s", r.Socket}, command...)...).CombinedOutput()
	return string(out)
}

// ask is cli, tried again until the answer is OK.
func (c *RedisCluster) ask(r *Redis, command ...string) {
	c.t.Helper()
	answer := ""
	Until(c.t, strings.Join(command, " ")+" is OK", func() bool {
		answer = strings.TrimSpace(c.cli(r, command...))
		return answer == "OK" || answer == "NOKEY"
	})
}

// clusterNode is a line of CLUSTER NODES.
type clusterNode struct {
	id, addr, flags, master string
	slots                   []string
}

func (c *RedisCluster) seen(by *Redis) (list []clusterNode) {
	for line := range strings.Lines(c.cli(by, "cluster", "nodes")) {
		f := strings.Fields(line)
		if len(f) < 8 {
			continue
		}
		addr, _, _ := strings.Cut(f[1], "@")
		list = append(list, clusterNode{id: f[0], addr: addr, flags: f[2], master: f[3], slots: f[8:]})
	}
	return list
}

func (n *clusterNode) has(slot int) bool {
	return slices.ContainsFunc(n.slots, func(part string) bool {
		from, to, is := strings.Cut(part, "-")
		if !is {
			to = from
		}
		a, err1 := strconv.Atoi(from)
		b, err2 := strconv.Atoi(to)
		return err1 == nil && err2 == nil && a <= slot && slot <= b
	})
}

func (c *RedisCluster) node(addr string) *Redis {
	return c.Nodes[slices.IndexFunc(c.Nodes, func(r *Redis) bool { return r.Addr == addr })]
}

// Owner is the master that has a slot, and one of its replicas, as the node says; nil:
// there is none that lives.
func (c *RedisCluster) Owner(by *Redis, slot int) (master, replica *Redis) {
	list := c.seen(by)
	for _, n := range list {
		if !n.has(slot) || strings.Contains(n.flags, "fail") {
			continue
		}
		master = c.node(n.addr)
		for _, other := range list {
			if other.master == n.id && !strings.Contains(other.flags, "fail") {
				replica = c.node(other.addr)
			}
		}
	}
	return master, replica
}

// Failover has a replica take its master's place.
func (c *RedisCluster) Failover(replica *Redis) {
	c.t.Helper()
	c.ask(replica, "cluster", "failover")
	Until(c.t, "the replica is the master", func() bool {
		return strings.Contains(c.cli(replica, "info", "replication"), "role:master")
	})
}

// MoveSlot moves a slot and its keys from one master to another, one key at a time.
// begun is called while all keys are still where they were, half in the middle.
func (c *RedisCluster) MoveSlot(slot int, from, to *Redis, begun, half func()) {
	c.t.Helper()
	n, source, target := strconv.Itoa(slot), c.id(from), c.id(to)
	c.ask(to, "cluster", "setslot", n, "importing", source)
	c.ask(from, "cluster", "setslot", n, "migrating", target)
	begun()
	host, port, _ := strings.Cut(to.Addr, ":")
	for moved := 0; ; moved++ {
		keys := strings.Fields(c.cli(from, "cluster", "getkeysinslot", n, "1"))
		if len(keys) == 0 {
			break
		}
		c.ask(from, "migrate", host, port, keys[0], "0", "5000")
		if moved == 2 {
			half()
		}
	}
	c.ask(to, "cluster", "setslot", n, "node", target)
	c.ask(from, "cluster", "setslot", n, "node", target)
}

func (c *RedisCluster) id(r *Redis) string { return strings.TrimSpace(c.cli(r, "cluster", "myid")) }
