//go:build prometheus

package dashboard

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"dunlin/internal/client"
	"dunlin/internal/testkit"
	"dunlin/protocol"
)

const dashboardFile = "../../deploy/grafana/dunlin.json"

func TestMain(m *testing.M) {
	code := m.Run()
	testkit.RemoveBinary()
	os.Exit(code)
}

// dashboard is what the test needs of Grafana's model.
type dashboard struct {
	Panels []struct {
		Title   string
		Type    string
		Targets []struct{ Expr string }
	}
}

// TestEveryQueryAnswers: two nodes, one with each engine, some traffic, and every
// query of every panel has an answer.
func TestEveryQueryAnswers(t *testing.T) {
	t.Parallel()
	hooks := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(hooks.Close)
	redis := testkit.StartRedis(t)
	var nodes []*testkit.Server
	for _, engine := range []string{"{type: memory}", "{type: redis, redis: {url: '" + redis.URL() + "'}}"} {
		nodes = append(nodes, testkit.Start(t, testkit.Options{Config: fmt.Sprintf(`
server: {port: 0, drain: 1s}
ops: {port: 0}
engine: %s
webhooks: {path: %s}
apps: [{id: app-id, key: app-key, secret: app-secret, client_events: true, webhooks: [{url: "%s"}]}]
`, engine, filepath.Join(t.TempDir(), "kept.db"), hooks.URL)}))
	}
	for _, n := range nodes {
		keepBusy(t, n)
	}
	p := startPrometheus(t, nodes)
	var d dashboard
	text, err := os.ReadFile(dashboardFile)
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err != nil {
		t.Fatal(err)
	}
	queries := 0
	for _, panel := range d.Panels {
		if panel.Type != "row" && len(panel.Targets) == 0 {
			t.Errorf("%s asks for nothing", panel.Title)
		}
		for _, target := range panel.Targets {
			queries++
			query := filled(t, target.Expr)
			testkit.Until(t, panel.Title+": "+query, func() bool { return p.answers(t, query) })
		}
	}
	if queries < 40 {
		t.Errorf("the dashboard has %d queries", queries)
	}
}

var variable = regexp.MustCompile(`\$[a-z_]+`)

// filled puts values in place of Grafana's variables.
func filled(t *testing.T, query string) string {
	t.Helper()
	query = strings.NewReplacer("$__rate_interval", "5s", "$job", ".*", "$instance", ".*").Replace(query)
	if v := variable.FindString(query); v != "" {
		t.Errorf("%s: nobody knows the variable %s", query, v)
	}
	return query
}

// keepBusy makes something of everything until the test ends.
func keepBusy(t *testing.T, s *testkit.Server) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	t.Cleanup(func() { stop(); <-done })
	ann, bob := s.Dial(), s.Dial()
	go func() {
		defer close(done)
		other := client.NewAPI("http://"+s.Addr, testkit.AppID, testkit.Key, protocol.NewSecret("wrong"))
		for _, c := range []*client.Conn{ann, bob} {
			c.Subscribe(ctx, "private-room", s.API.Authorize(c.SocketID(), "private-room", ""))
			c.Subscribe(ctx, "cache-c", client.Authorization{})
			go func() {
				for _, err := c.Next(ctx); err == nil; _, err = c.Next(ctx) {
				}
			}()
		}
		for ctx.Err() == nil {
			p := client.Publication{Name: "news", Channels: []string{"private-room", "cache-c"}, Data: `{"a":1}`}
			s.API.Trigger(ctx, p) // errors are of the end of the test, or make a query fail
			other.Trigger(ctx, p)
			ann.Trigger(ctx, "private-room", "client-hi", 1)
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
}

// prometheus is a running one.
type prometheus struct{ base string }

const prometheusConfig = `
global: {scrape_interval: 500ms, scrape_timeout: 500ms}
scrape_configs:
  - job_name: dunlin
    static_configs: [{targets: ['%s', '%s']}]
`

var listening = regexp.MustCompile(`msg="?Listening on"?.* address="?([0-9.]+:[0-9]+)`)

func startPrometheus(t *testing.T, nodes []*testkit.Server) *prometheus {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, prometheusConfig, nodes[0].Ops, nodes[1].Ops), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("prometheus", "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address=127.0.0.1:0")
	out, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	address, ended := make(chan string, 1), make(chan struct{})
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
		cmd.Wait()
	})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				address <- m[1]
			} else if strings.Contains(lines.Text(), "level=error") {
				t.Log(lines.Text())
			}
		}
	}()
	select {
	case a := <-address:
		return &prometheus{"http://" + a}
	case <-time.After(testkit.Patience):
		t.Fatal("prometheus does not listen")
	}
	return nil
}

// answers reports whether a query has a number for an answer. One that is wrong
// fails the test.
func (p *prometheus) answers(t *testing.T, query string) bool {
	t.Helper()
	res, err := http.Get(p.base + "/api/v1/query?query=" + url.QueryEscape(query))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct {
		Error string
		Data  struct{ Result []struct{ Value [2]any } }
	}
	err = json.NewDecoder(res.Body).Decode(&answer)
	switch {
	case res.StatusCode == http.StatusServiceUnavailable: // it is starting
		return false
	case err != nil || answer.Error != "":
		t.Fatalf("%s: %v %s", query, err, answer.Error)
	}
	for _, r := range answer.Data.Result {
		if r.Value[1] != "NaN" {
			return true
		}
	}
	return false
}
