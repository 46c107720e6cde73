//go:build redis

package scale

import (
	"flag"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"dunlin/internal/testkit"
)

var (
	clientsFlag = flag.Int("clients", 150, "clients, spread over all nodes")
	nodesFlag   = flag.Int("nodes", 3, "nodes")
	drainFlag   = flag.Duration("drain", time.Second, "server.drain of the nodes")
)

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	testkit.RemoveBinary()
	os.Exit(code)
}

// Every client is back on another node by itself, what is published while a client is
// connected reaches it once and in order, and no webhook tells of any of it.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	hooks := startReceiver(t)
	config := fmt.Sprintf(`
server: {port: 0, drain: %s}
ops: {port: 0}
engine: {type: redis, redis: {url: "%s"}}
apps:
  - {id: app-id, key: app-key, secret: app-secret, webhooks: [{url: "%s"}]}
`, *drainFlag, testkit.StartRedis(t).URL(), hooks.url)
	start := func() *testkit.Server { return testkit.Start(t, testkit.Options{Config: config}) }

	f := &fleet{t: t}
	for range *nodesFlag {
		f.add(start())
	}
	f.connect(*clientsFlag)
	f.await("all are subscribed", f.whole)
	settled := len(f.clients) + f.channels()
	f.await("webhooks of all who came", func() bool { return hooks.count() >= settled })
	before := hooks.count()

	p := f.publish(20 * time.Millisecond)
	var worst time.Duration
	for range *nodesFlag {
		node := f.remove()
		began := time.Now()
		node.Signal(syscall.SIGTERM)
		if err := node.Wait(); err != nil {
			t.Errorf("a node ended with %v", err)
		}
		ended := time.Since(began)
		f.await("all are back", f.whole)
		worst = max(worst, time.Since(began))
		t.Logf("a node ended %s after SIGTERM, all were subscribed again after %s", ended.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
		f.add(start())
	}
	published := p.stop()
	f.await("the last event", func() bool { return f.allHave(published) })

	hooks.guest(t, f)
	reconnects, missed := f.judge(published)
	extra := hooks.count() - before
	t.Logf("%d clients, %d nodes restarted, drained over %s each: all back after at most %s; %d reconnects; %d events published, "+
		"of which a client missed %.2f on average, all of them while it was not connected; %d webhooks",
		len(f.clients), *nodesFlag, *drainFlag, worst.Round(time.Millisecond), reconnects, published, float64(missed)/float64(len(f.clients)), extra)
	if extra != 0 {
		t.Errorf("webhooks told of the restart: %q", hooks.since(before))
	}
}
