package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"dunlin/internal/client"
)

func (c *cli) triggerCommand() *cobra.Command {
	p := client.Publication{}
	var also []string
	cmd := &cobra.Command{
		Use:   "trigger CHANNEL EVENT [DATA]",
		Short: "Publish an event",
		Long: "Publish an event through the HTTP API.\n\n" +
			"DATA goes to the subscribers as it is; clients read JSON where it is JSON. With\n" +
			"- it is read from standard input, without it is {}.",
		Example: "  dunlin trigger my-channel my-event '{\"hello\":\"world\"}'\n" +
			"  dunlin trigger my-channel my-event --also other-channel --info subscription_count\n" +
			"  dunlin trigger '#server-to-user-42' notice '\"to all connections of user 42\"'\n" +
			"  cat report.json | dunlin trigger reports ready -",
		Args: cobra.RangeArgs(2, 3),
		RunE: does(func(cmd *cobra.Command, args []string) error {
			p.Channels, p.Name, p.Data = append([]string{args[0]}, also...), args[1], "{}"
			if len(args) == 3 {
				p.Data = args[2]
			}
			if p.Data == "-" {
				text, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxInput+1))
				if err != nil {
					return fmt.Errorf("reading standard input: %w", err)
				}
				p.Data = strings.TrimSuffix(string(text), "\n")
			}
			return c.trigger(cmd, p)
		}),
	}
	serverFlags(cmd)
	cmd.Flags().StringArrayVar(&also, "also", nil, "a further `CHANNEL`; may be given again")
	cmd.Flags().StringVar(&p.SocketID, "socket-id", "", "`ID` of a connection that does not get it")
	cmd.Flags().StringVar(&p.Info, "info", "", "print `ATTRIBUTES` of the channels: user_count, subscription_count")
	return cmd
}

// maxInput is more than any server takes, and stops what never ends.
const maxInput = 64 << 20

func (c *cli) trigger(cmd *cobra.Command, p client.Publication) error {
	switch {
	case len(p.Data) > maxInput:
		return errors.New("DATA is too long for an event")
	case !utf8.ValidString(p.Data): // JSON would have others in place of these bytes
		return errors.New("DATA must be text in UTF-8; encode anything else, such as with base64")
	}
	s, err := c.server(cmd)
	if err != nil {
		return err
	}
	infos, err := s.api.Trigger(cmd.Context(), p)
	if err != nil {
		return s.explain(err)
	}
	if p.Info == "" {
		_, err = fmt.Fprintln(c.stdout, "published to", counted(len(p.Channels), "channel"))
		return err
	}
	return c.printChannels(infos)
}

// printChannels prints channels by name, with what is known of each.
func (c *cli) printChannels(list map[string]client.ChannelInfo) error {
	rows := [][]string{{"CHANNEL", "SUBSCRIPTIONS", "USERS"}}
	for _, name := range slices.Sorted(maps.Keys(list)) {
		rows = append(rows, []string{name, known(list[name].SubscriptionCount), known(list[name].UserCount)})
	}
	return c.printTable(rows)
}

// known writes a count, and a dash for one that was not told.
func known(n *int) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}

// printJSON prints a value on one line.
func (c *cli) printJSON(v any) error {
	enc := json.NewEncoder(c.stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
