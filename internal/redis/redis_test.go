package redis

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"dunlin/internal/testkit"
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

// Of any two layouts at least one tag is the same, and none is another slice's.
func TestLayoutsMeet(t *testing.T) {
	t.Parallel()
	for n := 1; n <= MaxSlices; n++ {
		tags := make(map[string]bool)
		for i := range n {
			tags[tag(i, n)] = true
		}
		if !tags["0"] || len(tags) != n {
			t.Errorf("%d slices have %d tags, 0 among them: %t", n, len(tags), tags["0"])
		}
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

func TestOpenTLS(t *testing.T) {
	t.Parallel()
	cert, key := testkit.Certificate(t)
	files := "tls_ca=" + cert + "&tls_cert=" + cert + "&tls_key=" + key
	for _, good := range []string{"rediss://h:1/2?", "rediss-sentinel://a:1,b:2/main?", "rediss-cluster://a:1,b:2?"} {
		c, err := Open(good + files + "&pool_size=7")
		if err != nil {
			t.Errorf("%s: %v", good, err)
			continue
		}
		var own []tls.Certificate
		var size int
		switch c := c.UniversalClient.(type) {
		case *goredis.Client:
			own, size = c.Options().TLSConfig.Certificates, c.Options().PoolSize
		case *goredis.ClusterClient:
			own, size = c.Options().TLSConfig.Certificates, c.Options().PoolSize
		}
		if len(own) != 1 || size != 7 {
			t.Errorf("%s: %d certificates, pool of %d", good, len(own), size)
		}
	}
	for bad, want := range map[string]string{
		"redis://h:1?" + files:                             "begin with rediss",
		"rediss://h:1?tls_cert=" + cert:                    "belong together",
		"rediss://h:1?tls_ca=/nowhere":                     "tls_ca",
		"rediss://h:1?tls_ca=" + key:                       "no certificate",
		"rediss://h:1?tls_cert=" + key + "&tls_key=" + key: "tls_cert",
		"rediss-cluster://h:1?tls_ca=%zz":                  "can not be read",
	} {
		if _, err := Open(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", bad, err, want)
		}
	}
}

func TestConnect(t *testing.T) {
	t.Parallel()
	d, err := Connect(" redis://a:1\nredis://b:2  redis://c:3 ", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	var addrs, places []string
	for s := range d.Slices() {
		addrs = append(addrs, d.Client(s).UniversalClient.(*goredis.Client).Options().Addr)
		_, place := d.Place(s)
		places = append(places, place)
	}
	if got := strings.Join(append(addrs, places...), ", "); got != "a:1, b:2, c:3, Redis 1 of 3, 3 slices, Redis 2 of 3, 3 slices, Redis 3 of 3, 3 slices" {
		t.Error(got)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	for urls, slices := range map[string]int{"": 1, "  ": 0, "redis://a:1 x": 0, "redis://a:1 redis://b:2": 1, "redis://a:1": 1000} {
		if _, err := Connect(urls, "", slices); err == nil {
			t.Errorf("%q with %d slices was taken", urls, slices)
		}
	}
	one, err := Connect("redis-cluster://a:1", "p", 0)
	if err != nil || one.Slices() != 16 || !strings.HasPrefix(one.Prefix(0), "p:{") {
		t.Errorf("a cluster: %v, %v", one, err)
	}
	if key, _ := one.Place(3); key != "" {
		t.Errorf("a cluster has a place: %s", key)
	}
}

const (
	wantTags   = "18 3 1a 58 19 2 1d 59 bb 1 1c 49 bc 0 1b 48"
	wantSlices = "[3 6 6 2 12]"
)
