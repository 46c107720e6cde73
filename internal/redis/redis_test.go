package redis

import (
	"fmt"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"
)

// Keys are for ever: another tag or another slice is another key.
func TestLayoutStays(t *testing.T) {
	t.Parallel()
	l, err := NewLayout("dunlin", 16)
	if err != nil {
		t.Fatal(err)
	}
	var tags []string
	for i := range l.Slices() {
		_, rest, _ := strings.Cut(l.Prefix(i), "{")
		name, _, _ := strings.Cut(rest, "}")
		tags = append(tags, name)
	}
	if got, want := strings.Join(tags, " "), wantTags; got != want {
		t.Errorf("tags %s, want %s", got, want)
	}
	var in []int
	for _, name := range []string{"a", "b", "presence-room", "private-x", "cache-y"} {
		in = append(in, l.Slice("app", name))
	}
	if got := fmt.Sprint(in); got != wantSlices {
		t.Errorf("slices %s, want %s", got, wantSlices)
	}
	if l, _ := NewLayout("d", 1); l.Prefix(0) != "d:{0}:" || l.Slice("x", "y") != 0 {
		t.Error("the layout of one slice changed")
	}
}

func TestSlicesAreEven(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 3, 16, 64, 256} {
		l, err := NewLayout("d", n)
		if err != nil {
			t.Fatal(err)
		}
		count := make([]int, n)
		for i := range 1000 * n {
			count[l.Slice("app", fmt.Sprint("channel-", i))]++
		}
		for i, c := range count {
			if c < 800 || c > 1200 {
				t.Errorf("slice %d of %d has %d of %d channels", i, n, c, 1000*n)
			}
			slot := int(crc16(tag(i, n))) % clusterSlots
			if slot*n/clusterSlots != i {
				t.Errorf("slice %d of %d is in slot %d", i, n, slot)
			}
		}
	}
	for _, n := range []int{0, -1, 257} {
		if _, err := NewLayout("d", n); err == nil {
			t.Errorf("%d slices were taken", n)
		}
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	c, err := Open("rediss://ann:pw@redis.example:6390/3")
	if err != nil {
		t.Fatal(err)
	}
	o := c.UniversalClient.(*goredis.Client).Options()
	if o.Addr != "redis.example:6390" || o.Username != "ann" || o.Password != "pw" || o.DB != 3 || o.TLSConfig == nil || c.Sharded {
		t.Errorf("one Redis: %+v", o)
	}
	c, err = Open("redis-cluster://ann:pw@a:1,b:2,c:3?pool_size=7")
	if err != nil {
		t.Fatal(err)
	}
	cluster := c.UniversalClient.(*goredis.ClusterClient).Options()
	if got := strings.Join(cluster.Addrs, " "); got != "a:1 b:2 c:3" || cluster.Username != "ann" || cluster.PoolSize != 7 || !c.Sharded {
		t.Errorf("cluster: %s %+v", got, cluster)
	}
	c, err = Open("redis-sentinel://ann:pw@a:1,b:2/mymaster/2?sentinel_password=own")
	if err != nil {
		t.Fatal(err)
	}
	o = c.UniversalClient.(*goredis.Client).Options()
	if o.Username != "ann" || o.Password != "pw" || o.DB != 2 {
		t.Errorf("sentinel: %+v", o)
	}
	for _, bad := range []string{"", "host:6379", "http://x", "redis-what://x", "redis-sentinel://a:1", "redis://:topsecret@[x/0", "unix-cluster:///x", "redis://h/topsecret"} {
		if _, err := Open(bad); err == nil || strings.Contains(err.Error(), "topsecret@") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

const (
	wantTags   = "18 3 1a 58 19 2 1d 59 bb 1 1c 49 bc 0 1b 48"
	wantSlices = "[3 6 6 2 12]"
)
