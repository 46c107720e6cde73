package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dunlin/internal/client"
	"dunlin/internal/handover"
	"dunlin/internal/testkit"
	"dunlin/protocol"
)

// shortDir is a folder whose path leaves room for a unix socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dunlin-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func handoverConfig(url, settings, socket string) string {
	return strings.Replace(hookConfig(url, settings), "drain: 1s", "drain: 15s, handover: "+socket, 1)
}

// Under load, one process takes the place of another, twice, each time on another
// transport: no trigger fails, no client is refused, no webhook tells of it.
func TestHandover(t *testing.T) {
	t.Parallel()
	for _, queue := range []string{"memory", "spool"} {
		t.Run(queue, func(t *testing.T) {
			t.Parallel()
			dir := shortDir(t)
			r := newConsumer(t)
			o := testkit.Options{Config: handoverConfig(r.URL, "queue: "+queue+", path: "+filepath.Join(dir, "hooks.db"), filepath.Join(dir, "h.sock"))}
			start := func(transport string) *testkit.Server {
				o.Env = []string{"DUNLIN_SERVER_TRANSPORT=" + transport}
				return testkit.Start(t, o)
			}
			all := transports()
			s := start(all[0])
			crowd := startCrowd(t, s, 40, 4)
			crowd.settled()
			told := func() []string { // but how many they are, which changes
				return slices.DeleteFunc(r.got(), func(e string) bool { return strings.HasPrefix(e, "subscription_count") })
			}
			testkit.Until(t, "the channels", func() bool { return len(told()) == 3 })
			for i := range 2 {
				crowd.more(200)
				next := start(all[(i+1)%len(all)])
				if next.Addr != s.Addr || next.Ops != s.Ops {
					t.Fatalf("at %s and %s, not %s and %s", next.Addr, next.Ops, s.Addr, s.Ops)
				}
				crowd.more(200)
				if err := s.Wait(); err != nil {
					t.Fatalf("the first ended with %v\n%s", err, s.Log())
				}
				s = next
				crowd.settled()
			}
			crowd.stop()
			testkit.Until(t, "the end of the channels", func() bool { return len(told()) >= 6 })
			got := told()[3:]
			if slices.Sort(got); !slices.Equal(got, []string{"channel_vacated presence-room", "channel_vacated room", "member_removed presence-room ann"}) {
				t.Errorf("told %q", told())
			}
		})
	}
}

// crowd is clients that come back at once when they are sent away, and backends that
// publish without a pause.
type crowd struct {
	t         *testing.T
	s         *testkit.Server
	ctx       context.Context
	cancel    context.CancelFunc
	running   sync.WaitGroup
	clients   int
	there     atomic.Int64 // subscriptions
	published atomic.Int64
}

func startCrowd(t *testing.T, s *testkit.Server, clients, backends int) *crowd {
	l := &crowd{t: t, s: s, clients: clients}
	l.ctx, l.cancel = context.WithCancel(t.Context())
	l.running.Go(func() { l.client("presence-room", `{"user_id":"ann"}`) })
	for range clients - 1 {
		l.running.Go(func() { l.client("room", "") })
	}
	for range backends {
		l.running.Go(l.backend)
	}
	t.Cleanup(l.stop)
	return l
}

func (l *crowd) stop() {
	l.cancel()
	l.running.Wait()
}

// settled waits until all clients are subscribed.
func (l *crowd) settled() {
	l.t.Helper()
	testkit.Until(l.t, "all are subscribed", func() bool { return l.there.Load() == int64(l.clients) })
}

// more waits until so many more events are published.
func (l *crowd) more(n int64) {
	l.t.Helper()
	n += l.published.Load()
	testkit.Until(l.t, "events are published", func() bool { return l.published.Load() >= n })
}

func (l *crowd) client(channel, data string) {
	for l.ctx.Err() == nil {
		err := l.connection(channel, data)
		var closed *client.CloseError
		if l.ctx.Err() == nil && (!errors.As(err, &closed) || closed.Code != 4200) {
			l.t.Errorf("a client was refused: %v", err)
			return
		}
	}
}

// connection lives until it is closed.
func (l *crowd) connection(channel, data string) error {
	c, err := client.Dial(l.ctx, "http://"+l.s.Addr, testkit.Key, client.Options{})
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer c.Drop()
	a := client.Authorization{}
	if data != "" {
		a = l.s.API.Authorize(c.SocketID(), channel, data)
	}
	if err := c.Subscribe(l.ctx, channel, a); err != nil {
		return fmt.Errorf("subscribing: %w", err)
	}
	for {
		e, err := c.Next(l.ctx)
		if err != nil {
			return err
		}
		if e.Name == client.SubscriptionSucceeded {
			l.there.Add(1)
			defer l.there.Add(-1)
		}
	}
}

func (l *crowd) backend() {
	api := client.NewAPI("http://"+l.s.Addr, testkit.AppID, testkit.Key, protocol.NewSecret(testkit.Secret))
	keep := &http.Transport{MaxIdleConnsPerHost: 1}
	defer keep.CloseIdleConnections()
	api.HTTPClient = &http.Client{Transport: keep}
	for l.ctx.Err() == nil {
		_, err := api.Trigger(l.ctx, client.Publication{Name: "e", Channel: "room", Data: "x"})
		if err != nil && l.ctx.Err() == nil {
			l.t.Errorf("a trigger failed: %v", err)
			return
		}
		l.published.Add(1)
	}
}

// Whoever asks for the sockets and thinks better of it does no harm. Whoever dies
// when it is too late ends the server with an error, for its supervisor.
func TestHandoverFails(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	socket := filepath.Join(dir, "h.sock")
	s := testkit.Start(t, testkit.Options{Config: handoverConfig("http://127.0.0.1:1", "path: "+filepath.Join(dir, "kept.db"), socket)})
	for _, words := range [][]string{nil, {"give me"}, {"take over"}} {
		conn, err := handover.Dial(socket)
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(testkit.Patience))
		var list any
		files, err := conn.Receive(&list)
		if err != nil || len(files) == 0 {
			t.Fatalf("%d files, %v", len(files), err)
		}
		for _, f := range files {
			f.Close()
		}
		for _, w := range words {
			if err := conn.Send(w); err != nil {
				t.Fatal(err)
			}
		}
		if len(words) == 0 || words[0] != "take over" {
			conn.Close()
			s.Dial().Drop()
			continue
		}
		if _, err := conn.Receive(&list); err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	if err := s.Wait(); err == nil || !strings.Contains(s.Log(), "the process that was taking over has failed") {
		t.Errorf("%v\n%s", err, s.Log())
	}
}

// The service manager's sockets are served, it is told that the server is ready, and
// between two runs clients wait instead of being refused.
func TestServiceManager(t *testing.T) {
	t.Parallel()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	path := filepath.Join(shortDir(t), "notify.sock")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	heard := func(want string) {
		t.Helper()
		b := make([]byte, 1024)
		manager.SetReadDeadline(time.Now().Add(testkit.Patience))
		for {
			n, err := manager.Read(b)
			if err != nil {
				t.Fatalf("waiting for %s: %v", want, err)
			}
			if string(b[:n]) == want {
				return
			}
		}
	}
	for range 2 {
		client := make(chan error, 1)
		go func() { // the second time there is nobody yet
			c, err := dialAt(l.Addr().String())
			if err == nil {
				c.Drop()
			}
			client <- err
		}()
		s := testkit.Start(t, testkit.Options{
			Files: []*os.File{file},
			Wrap:  []string{"sh", "-c", `LISTEN_PID=$$ WATCHDOG_PID=$$ exec "$@"`, "sh"},
			Env:   []string{"LISTEN_FDS=1", "LISTEN_FDNAMES=dunlin.socket", "NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=200000"},
		})
		if s.Addr != l.Addr().String() {
			t.Errorf("listening on %s, not %s", s.Addr, l.Addr())
		}
		heard("READY=1")
		heard("WATCHDOG=1")
		if err := <-client; err != nil {
			t.Error(err)
		}
		stop(t, s)
		heard("STOPPING=1")
	}
}

func dialAt(addr string) (*client.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	return client.Dial(ctx, "http://"+addr, testkit.Key, client.Options{})
}

// A process that can not start, for a port that is taken, changes nothing: the one
// whose place it wanted serves on.
func TestHandoverToOneThatCanNotStart(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	bin, err := testkit.Binary()
	if err != nil {
		t.Fatal(err)
	}
	for _, queue := range []string{"memory", "spool"} {
		dir := shortDir(t)
		s := testkit.Start(t, testkit.Options{Config: handoverConfig("http://127.0.0.1:1", "queue: "+queue+", path: "+filepath.Join(dir, "hooks.db"), filepath.Join(dir, "h.sock"))})
		for _, setting := range []string{"DUNLIN_SERVER_PORT", "DUNLIN_OPS_PORT"} {
			next := exec.Command(bin, "serve", "--config", s.File)
			next.Env = append(os.Environ(), setting+"="+port)
			if out, err := next.CombinedOutput(); err == nil || !strings.Contains(string(out), "address already in use") {
				t.Errorf("%s: %v\n%s", setting, err, out)
			}
			s.Dial().Drop()
		}
		if files, err := filepath.Glob(filepath.Join(dir, "h.sock*")); err != nil || len(files) != 1 {
			t.Errorf("%s are left, %v", files, err)
		}
		if strings.Contains(s.Log(), "stopping") {
			t.Errorf("log\n%s", s.Log())
		}
	}
}

// holdUp begins a request at a server and does not end it before the connection is
// closed: so long the server does not end either.
func holdUp(t *testing.T, s *testkit.Server) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	answers := bufio.NewReader(c)
	fmt.Fprint(c, "GET /ready HTTP/1.1\r\nHost: dunlin\r\n\r\n")
	r, err := http.ReadResponse(answers, nil) // it is this server's by now
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, r.Body)
	fmt.Fprint(c, "POST /apps/app-id/events HTTP/1.1\r\nHost: dunlin\r\nContent-Length: 10\r\n\r\n")
	return c
}

// While the first sends its clients away, whoever asks the ops port whether the
// server is ready hears of the second. One that wants no ops port leaves nobody waiting
// at the first one's.
func TestHandoverOfTheOpsPort(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	o := testkit.Options{Config: handoverConfig("http://127.0.0.1:1", "path: "+filepath.Join(dir, "kept.db"), filepath.Join(dir, "h.sock"))}
	first := testkit.Start(t, o)
	busy := holdUp(t, first)
	second := testkit.Start(t, o)
	asks := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	testkit.Until(t, "the first one stops", func() bool { return strings.Contains(first.Log(), "stopping") })
	ready := 0 // answers in a row
	testkit.Until(t, "only the second answers", func() bool {
		r, err := asks.Get("http://" + second.Ops + "/ready")
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if ready++; r.StatusCode != http.StatusOK {
			ready = 0
		}
		return ready == 50
	})
	if strings.Contains(first.Log(), `"stopped"`) {
		t.Error("the first one has ended too early to be asked")
	}
	busy.Close()
	o.Env = []string{"DUNLIN_OPS_ENABLED=false"}
	testkit.Start(t, o)
	for _, s := range []*testkit.Server{first, second} {
		if err := s.Wait(); err != nil {
			t.Error(err)
		}
	}
	if c, err := net.Dial("tcp", second.Ops); err == nil {
		c.Close()
		t.Error("the ops port takes connections that nobody serves")
	}
}
