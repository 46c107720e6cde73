package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"dunlin/internal/client"
	"dunlin/protocol"
)

func (c *cli) tailCommand() *cobra.Command {
	t := &tail{}
	cmd := &cobra.Command{
		Use:   "tail CHANNEL...",
		Short: "Subscribe to channels and print their events",
		Long: "Subscribe to channels and print their events, until Ctrl-C: in colours on a\n" +
			"terminal, as a line of JSON each in a pipe. Private and presence channels are\n" +
			"signed for with the app's secret; on presence channels the others see a member.\n" +
			"Events of encrypted channels are printed as they are, encrypted.",
		Example: "  dunlin tail my-channel private-orders\n" +
			"  dunlin tail presence-lobby --user-id watcher\n" +
			"  dunlin tail my-channel --count 1 | jq .data",
		Args: cobra.MinimumNArgs(1),
		RunE: does(func(cmd *cobra.Command, channels []string) (err error) {
			if t.left < 0 {
				return errors.New("--count must not be negative")
			}
			if t.server, err = c.server(cmd); err != nil {
				return err
			}
			ctx, stop := untilSignal()
			defer stop()
			t.channels, t.notes, t.print = channels, c.stderr, c.eventPrinter(t.asJSON)
			return t.follow(ctx)
		}),
	}
	serverFlags(cmd)
	f := cmd.Flags()
	f.IntVar(&t.left, "count", 0, "end after so `MANY` events; 0: never")
	f.StringVar(&t.user, "user-id", "dunlin-tail", "`ID` of the member on presence channels")
	f.BoolVar(&t.asJSON, "json", false, "print JSON on a terminal too")
	return cmd
}

// tail is a subscriber that comes back when its connection is lost.
type tail struct {
	server   *server
	channels []string
	user     string
	asJSON   bool
	notes    io.Writer
	print    func(client.Event) error
	left     int // events still to be printed; 0 and then less: any number
}

// errCounted ends a tail that has printed as many events as it was to.
var errCounted = errors.New("counted")

// errPrinting ends one whose output takes no more: coming back would not help.
var errPrinting = errors.New("printing")

// follow prints events until ctx ends, the server refuses for good, or all that
// were asked for are printed. A server that was there once is waited for.
func (t *tail) follow(ctx context.Context) error {
	for known, failures := false, 0; ; failures++ {
		c, err := t.connect(ctx)
		if err == nil {
			known, failures = true, 0
			err = t.listen(ctx, c)
			c.Drop()
		}
		var refused *protocol.Error
		switch {
		case ctx.Err() != nil, errors.Is(err, errCounted):
			return nil
		case errors.As(err, &refused):
			return fmt.Errorf("the server refused: %s", refused.Message)
		case errors.Is(err, errPrinting):
			return err
		case !known || closeCode(err) >= 4000 && closeCode(err) < 4100: // PROTOCOL 1.35: not to be tried again
			return t.server.explain(err)
		}
		wait := nextTry(failures, closeCode(err))
		fmt.Fprintf(t.notes, "%v; connecting again in %v\n", err, wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

// closeCode is the code with which the server ended a connection, or 0.
func closeCode(err error) int {
	var closed *client.CloseError
	if errors.As(err, &closed) {
		return closed.Code
	}
	return 0
}

// nextTry is how long to wait before connecting again, after so many tries that
// failed in a row: not at all where the server asked for it (PROTOCOL 1.35), else
// from a second to half a minute.
func nextTry(failures, code int) time.Duration {
	const longest = 30 * time.Second
	if failures == 0 && code >= 4200 && code < 4300 {
		return 0
	}
	return min(time.Second<<min(failures, 5), longest)
}

// connect opens a connection and subscribes to all channels.
func (t *tail) connect(ctx context.Context) (*client.Conn, error) {
	opening, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	c, err := client.Dial(opening, t.server.url, t.server.key, client.Options{HTTPClient: t.server.http})
	if err != nil {
		return nil, err
	}
	member, err := json.Marshal(map[string]string{"user_id": t.user})
	if err != nil {
		return nil, err
	}
	for _, channel := range t.channels {
		a := client.Authorization{}
		switch kind := protocol.KindOf(channel); {
		case kind.Is(protocol.Presence):
			a = t.server.api.Authorize(c.SocketID(), channel, string(member))
		case kind.Is(protocol.Private):
			a = t.server.api.Authorize(c.SocketID(), channel, "")
		}
		if err := c.Subscribe(opening, channel, a); err != nil {
			c.Drop()
			return nil, err
		}
	}
	return c, nil
}

// listen prints what comes over one connection until it ends.
func (t *tail) listen(ctx context.Context, c *client.Conn) error {
	for {
		e, err := c.Next(ctx)
		if err != nil {
			return err
		}
		switch refused := e.Failure(); {
		case refused != nil:
			if refused.Code == 0 { // else the server is about to close, and says so
				return refused
			}
		case e.Name == client.SubscriptionSucceeded:
			fmt.Fprintln(t.notes, "subscribed to", e.Channel)
		case e.Name == client.SubscriptionError: // pusher:error follows
		default:
			if err := t.print(e); err != nil {
				return fmt.Errorf("%w an event: %w", errPrinting, err)
			}
			if t.left--; t.left == 0 {
				return errCounted
			}
		}
	}
}

// eventPrinter prints events for people where they look on, and as JSON lines
// elsewhere.
func (c *cli) eventPrinter(asJSON bool) func(client.Event) error {
	if asJSON || !isTerminal(c.stdout) {
		return func(e client.Event) error { return c.printJSON(newTailLine(e, time.Now())) }
	}
	_, plain := c.env.lookup("NO_COLOR")
	return func(e client.Event) error {
		_, err := io.WriteString(c.stdout, forPeople(e, time.Now(), !plain))
		return err
	}
}
