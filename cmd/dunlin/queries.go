package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"dunlin/internal/client"
)

func (c *cli) channelsCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "channels [PREFIX]",
		Short: "List the occupied channels",
		Long: "List the occupied channels of an app whose names begin with PREFIX, with their\n" +
			"subscriptions. Users are counted where the prefix begins with presence-.",
		Example: "  dunlin channels\n" +
			"  dunlin channels presence- --json | jq .",
		Args: cobra.MaximumNArgs(1),
		RunE: does(func(cmd *cobra.Command, args []string) error {
			return c.channels(cmd, strings.Join(args, ""), asJSON)
		}),
	}
	serverFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, as the HTTP API has it")
	return cmd
}

func (c *cli) channels(cmd *cobra.Command, prefix string, asJSON bool) error {
	s, err := c.server(cmd)
	if err != nil {
		return err
	}
	params := url.Values{"info": {"subscription_count"}, "filter_by_prefix": {prefix}}
	if strings.HasPrefix(prefix, "presence-") { // PROTOCOL 5.36
		params.Set("info", "user_count,subscription_count")
	}
	var list struct {
		Channels map[string]client.ChannelInfo `json:"channels"`
	}
	if err := s.api.Get(cmd.Context(), "/channels", params, &list); err != nil {
		return s.explain(err)
	}
	if asJSON {
		return c.printJSON(list)
	}
	if err := c.printChannels(list.Channels); err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.stderr, counted(len(list.Channels), "channel"))
	return err
}

func (c *cli) usersCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "users CHANNEL",
		Short:   "List the users on a presence channel",
		Example: "  dunlin users presence-lobby",
		Args:    cobra.ExactArgs(1),
		RunE:    does(func(cmd *cobra.Command, args []string) error { return c.users(cmd, args[0], asJSON) }),
	}
	serverFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, as the HTTP API has it")
	return cmd
}

func (c *cli) users(cmd *cobra.Command, channel string, asJSON bool) error {
	s, err := c.server(cmd)
	if err != nil {
		return err
	}
	var list struct {
		Users []struct {
			ID string `json:"id"`
		} `json:"users"`
	}
	if err := s.api.Get(cmd.Context(), "/channels/"+url.PathEscape(channel)+"/users", nil, &list); err != nil {
		return s.explain(err)
	}
	if asJSON {
		return c.printJSON(list)
	}
	for _, u := range list.Users {
		if _, err := fmt.Fprintln(c.stdout, u.ID); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintln(c.stderr, counted(len(list.Users), "user"))
	return err
}

func (c *cli) terminateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "terminate USER",
		Short: "Close all connections of a signed-in user",
		Long: "Close all connections that are signed in as a user. Clients do not connect again\n" +
			"by themselves; whoever may still sign in can do so.",
		Example: "  dunlin terminate 42",
		Args:    cobra.ExactArgs(1),
		RunE: does(func(cmd *cobra.Command, args []string) error {
			if args[0] == "" {
				return errors.New("USER must not be empty")
			}
			s, err := c.server(cmd)
			if err != nil {
				return err
			}
			if err := terminate(cmd.Context(), s, args[0]); err != nil {
				return s.explain(err)
			}
			_, err = fmt.Fprintf(c.stdout, "connections of user %s are being closed\n", args[0])
			return err
		}),
	}
	serverFlags(cmd)
	return cmd
}

// terminate calls the API's terminate_connections (PROTOCOL 5.48).
func terminate(ctx context.Context, s *server, user string) error {
	r, err := s.api.Do(ctx, http.MethodPost, "/users/"+url.PathEscape(user)+"/terminate_connections", nil, nil)
	if err == nil && r.Status != http.StatusOK {
		err = r.Refusal()
	}
	return err
}

// printTable prints rows in columns.
func (c *cli) printTable(rows [][]string) error {
	w := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}
