//go:build linux

package epoll

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dunlin/protocol"
	"dunlin/transport"
)

const (
	subscribers = 100
	sleepLight  = 200 // requests a second
	sleepFor    = 2 * time.Second
)

// BenchmarkSleep compares the two ways to sleep: a server in another process, on
// one P and on two, takes publishes over HTTP and fans each out to 100
// subscribers. Lightly loaded (200 requests a second) what counts is the CPU and
// the latency of a request; loaded (16 publishers, each as fast as it is
// answered) the throughput.
//
//	go test ./transport/epoll -bench Sleep -run '^$'
func BenchmarkSleep(b *testing.B) {
	for _, procs := range []string{"1", "2"} {
		for _, how := range []string{"parked", "blocking"} {
			for _, load := range []struct {
				name       string
				publishers int
				pause      time.Duration
			}{{"light", 1, time.Second / sleepLight}, {"loaded", 16, 0}} {
				b.Run(fmt.Sprintf("procs=%s/%s/%s", procs, how, load.name), func(b *testing.B) {
					c := startChild(b, "publishing", "GOMAXPROCS="+procs, "DUNLIN_TEST_SLEEP="+how)
					for b.Loop() {
						benchSleep(b, c, load.publishers, load.pause)
					}
				})
			}
		}
	}
}

func benchSleep(b *testing.B, c *child, publishers int, pause time.Duration) {
	for range subscribers {
		addr, err := net.ResolveTCPAddr("tcp", c.addr)
		if err != nil {
			b.Fatal(err)
		}
		connectDrained(b, addr)
	}
	before := c.cpu()
	var mu sync.Mutex
	var all []time.Duration
	var running sync.WaitGroup
	for range publishers {
		running.Go(func() {
			took := publish(b, c.addr, pause)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
		})
	}
	running.Wait()
	cpu := c.cpu() - before
	slices.Sort(all)
	n := float64(len(all))
	b.ReportMetric(float64(cpu.Microseconds())/n, "cpu-µs/req")
	b.ReportMetric(n/sleepFor.Seconds(), "req/s")
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(0, "ns/op")
}

// publish sends requests on one connection and returns how long each took.
func publish(b *testing.B, addr string, pause time.Duration) (took []time.Duration) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		b.Error(err)
		return nil
	}
	defer nc.Close()
	r := bufio.NewReader(nc)
	for end := time.Now().Add(sleepFor); time.Now().Before(end); {
		began := time.Now()
		if _, err := io.WriteString(nc, "POST /events HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"); err != nil {
			b.Error(err)
			return took
		}
		response, err := http.ReadResponse(r, nil)
		if err != nil {
			b.Error(err)
			return took
		}
		response.Body.Close()
		took = append(took, time.Since(began))
		if pause > 0 {
			<-time.After(pause - time.Since(began)) // the pace of a light load
		}
	}
	return took
}

// cpu asks the child for the processor time that it has used.
func (c *child) cpu() (d time.Duration) {
	c.t.Helper()
	fmt.Fprintln(c.in)
	if _, err := fmt.Sscan(c.line(), &d); err != nil {
		c.t.Fatal(err)
	}
	return d
}

// publishingServer prints, for each line of input, its processor time in ns.
func publishingServer() error {
	how := Parked
	if os.Getenv("DUNLIN_TEST_SLEEP") == "blocking" {
		how = Blocking
	}
	web := make(chan net.Conn, 1000)
	var shards []*publisher
	s, err := ListenSleeping(how, []transport.Address{{Network: "tcp", Address: "127.0.0.1:0"}}, transport.Options{
		HTTP: func(nc net.Conn) { web <- nc },
	}, func(l transport.Loop) transport.Handler {
		shards = append(shards, &publisher{loop: l})
		return shards[len(shards)-1]
	})
	if err != nil {
		return err
	}
	defer s.Close()
	go http.Serve(chanListener(web), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		f := protocol.NewFrame(make([]byte, 200))
		for _, p := range shards {
			p.publish(f)
		}
		io.WriteString(w, "{}")
	}))
	fmt.Println(s.Addrs()[0])
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var used unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
			return err
		}
		fmt.Println(used.Utime.Nano() + used.Stime.Nano())
	}
	return nil
}

// publisher is a handler whose connections get every frame.
type publisher struct {
	greeter
	loop  transport.Loop
	conns []transport.Conn // Owned by the loop

	// Guarded by mu
	mu     sync.Mutex
	frames []*protocol.Frame
}

func (p *publisher) publish(f *protocol.Frame) {
	p.mu.Lock()
	p.frames = append(p.frames, f)
	p.mu.Unlock()
	p.loop.Wake()
}

func (p *publisher) Open(c transport.Conn, h transport.Handshake) (transport.Session, *protocol.Error) {
	p.conns = append(p.conns, c)
	return p.greeter.Open(c, h)
}

func (p *publisher) Turn(time.Time) bool {
	p.mu.Lock()
	frames := p.frames
	p.frames = nil
	p.mu.Unlock()
	for _, f := range frames {
		for _, c := range p.conns {
			c.Send(f)
		}
	}
	return false
}
