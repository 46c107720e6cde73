package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"dunlin/apps"
)

func (c *cli) listenCommand() *cobra.Command {
	var host string
	var port, status int
	cmd := &cobra.Command{
		Use:   "listen",
		Short: "Receive webhooks on this machine, check their signatures and print them",
		Example: "  dunlin webhooks listen --port 8080 --config apps.yaml\n" +
			"  dunlin webhooks listen --port 8080 --status 500   # to see what the server does with a failure",
		Args: cobra.NoArgs,
		RunE: does(func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.load(c.sources(cmd))
			if err != nil {
				return err
			}
			if status < 200 || status > 599 {
				return errors.New("--status must be a number from 200 to 599")
			}
			ctx, stop := untilSignal()
			defer stop()
			return c.listen(ctx, net.JoinHostPort(host, strconv.Itoa(port)), &listener{apps: apps.NewRegistry(cfg.Apps...), status: status, out: c.stdout, now: time.Now})
		}),
	}
	configFlag(cmd)
	cmd.Flags().StringVar(&host, "host", "127.0.0.1", "`ADDRESS` to listen on")
	cmd.Flags().IntVar(&port, "port", 8080, "`PORT` to listen on; 0: any")
	cmd.Flags().IntVar(&status, "status", http.StatusOK, "`STATUS` to answer with")
	return cmd
}

// listen receives until ctx ends.
func (c *cli) listen(ctx context.Context, address string, l *listener) error {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(c.stdout, "receiving webhooks at http://%s\nto be told, an app needs\n  webhooks:\n    - url: http://%s\n", ln.Addr(), ln.Addr()); err != nil {
		return err
	}
	s := &http.Server{Handler: l, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second}
	done := context.AfterFunc(ctx, func() { s.Close() })
	defer done()
	if err := s.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// listener prints the webhooks that it gets.
type listener struct {
	// Static after construction
	apps   *apps.Registry
	status int
	now    func() time.Time

	mu  sync.Mutex
	out io.Writer // written to under mu, a request at a time
}

// maxHook bounds what is read of a request.
const maxHook = 4 << 20

func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxHook))
	if err != nil {
		http.Error(w, "the body can not be read", http.StatusBadRequest)
		return
	}
	text, ok := l.describe(r, body)
	l.mu.Lock()
	_, err = io.WriteString(l.out, text)
	l.mu.Unlock()
	switch {
	case err != nil: // nobody has seen it
		http.Error(w, "printing it failed", http.StatusInternalServerError)
	case !ok:
		http.Error(w, "refused", http.StatusUnauthorized)
	default:
		w.WriteHeader(l.status)
	}
}

// describe says what a request tells, and whether its signature is right.
func (l *listener) describe(r *http.Request, body []byte) (text string, ok bool) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s", l.now().Format("15:04:05.000"), r.Method, printable(r.URL.Path))
	verdict, ok := l.verify(r, body)
	fmt.Fprintf(&b, " %s", verdict)
	for _, h := range [][2]string{{"attempt", "X-Dunlin-Attempt"}, {"delivery", "X-Dunlin-Delivery-Id"}} {
		if v := r.Header.Get(h[1]); v != "" {
			fmt.Fprintf(&b, " %s %s", h[0], printable(v))
		}
	}
	b.WriteByte('\n')
	var hook struct {
		Events []json.RawMessage `json:"events"`
	}
	if err := json.Unmarshal(body, &hook); err != nil {
		fmt.Fprintf(&b, "  the body is no webhook: %s\n", printable(shorten(string(body))))
		return b.String(), ok
	}
	for _, e := range hook.Events {
		fmt.Fprintf(&b, "  %s\n", printable(string(e)))
	}
	return b.String(), ok
}

// verify checks a request as a consumer should (PROTOCOL 6.2).
func (l *listener) verify(r *http.Request, body []byte) (verdict string, ok bool) {
	app := l.apps.ByKey(r.Header.Get("X-Pusher-Key"))
	switch {
	case app == nil:
		return fmt.Sprintf("UNKNOWN KEY %q", shorten(r.Header.Get("X-Pusher-Key"))), false
	case !app.Verify([]byte(r.Header.Get("X-Pusher-Signature")), body):
		return "WRONG SIGNATURE for app " + app.ID, false
	case r.Header.Get("Content-Type") != "application/json":
		return fmt.Sprintf("WRONG CONTENT TYPE %q", shorten(r.Header.Get("Content-Type"))), false
	}
	return "app " + app.ID + ", signature ok", true
}

// printable keeps what a stranger sends from moving the terminal's cursor.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '\uFFFD'
		}
		return r
	}, s)
}
