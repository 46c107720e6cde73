package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dunlin/ops"
	"dunlin/protocol"
)

func (c *cli) webhooksCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "webhooks",
		Short: "Look after webhooks: list dead letters, send them again, receive",
		Args:  cobra.NoArgs, // a command that there is not must not look like success
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.deadCommand(), c.replayCommand(), c.listenCommand())
	return cmd
}

func (c *cli) deadCommand() *cobra.Command {
	var app string
	var most int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "dead",
		Short: "List the webhooks that a running server has given up, the latest first",
		Example: "  dunlin webhooks dead --config apps.yaml\n" +
			"  dunlin webhooks dead --url http://10.0.0.5:9601 --token env:ADMIN_TOKEN --app app-id --json",
		Args: cobra.NoArgs,
		RunE: does(func(cmd *cobra.Command, _ []string) error {
			admin, err := c.admin(cmd)
			if err != nil {
				return err
			}
			var list ops.DeadLetters
			query := url.Values{"max": {fmt.Sprint(most)}, "app": {app}}
			if err := admin.call(cmd.Context(), http.MethodGet, "/admin/webhooks/dead?"+query.Encode(), nil, &list); err != nil {
				return err
			}
			return c.printDead(list, asJSON)
		}),
	}
	adminFlags(cmd)
	cmd.Flags().StringVar(&app, "app", "", "only of the app with this `ID`")
	cmd.Flags().IntVar(&most, "max", 100, "at most so `MANY`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print all there is of each, as JSON, one a line")
	return cmd
}

func (c *cli) printDead(list ops.DeadLetters, asJSON bool) error {
	if asJSON {
		for _, d := range list.Dead {
			if err := c.printJSON(d); err != nil {
				return err
			}
		}
		return nil
	}
	var rows [][]string
	if len(list.Dead) > 0 {
		rows = append(rows, []string{"ID", "APP", "EVENT", "CHANNEL", "HAPPENED", "GIVEN UP", "REASON"})
	}
	for _, d := range list.Dead {
		rows = append(rows, []string{d.ID, d.App, d.Name.String(), printable(d.Channel),
			d.At.UTC().Format(time.DateTime), d.Died.UTC().Format(time.DateTime), printable(d.Reason)})
	}
	if err := c.printTable(rows); err != nil {
		return err
	}
	_, err := fmt.Fprintln(c.stdout, counted(len(list.Dead), "dead letter"))
	return err
}

func (c *cli) replayCommand() *cobra.Command {
	var app string
	var all bool
	cmd := &cobra.Command{
		Use:   "replay [ID...]",
		Short: "Send dead letters again, to the endpoints that did not get them",
		Example: "  dunlin webhooks replay k3f9x2abcd-1a k3f9x2abcd-1b\n" +
			"  dunlin webhooks replay --app app-id --all",
		Args: func(_ *cobra.Command, ids []string) error {
			if all == (len(ids) > 0) {
				return errors.New("name the dead letters, or give --all")
			}
			return nil
		},
		RunE: does(func(cmd *cobra.Command, ids []string) error {
			admin, err := c.admin(cmd)
			if err != nil {
				return err
			}
			var done ops.Replayed
			if err := admin.call(cmd.Context(), http.MethodPost, "/admin/webhooks/replay", ops.Selection{App: app, IDs: ids}, &done); err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.stdout, counted(done.Replayed, "event"), "to be sent again")
			return err
		}),
	}
	adminFlags(cmd)
	cmd.Flags().StringVar(&app, "app", "", "only of the app with this `ID`")
	cmd.Flags().BoolVar(&all, "all", false, "all dead letters")
	return cmd
}

// adminClient calls the admin interface of a running server.
type adminClient struct {
	base  string
	token *protocol.Secret
	http  *http.Client
}

func adminFlags(cmd *cobra.Command) {
	configFlag(cmd)
	cmd.Flags().String("url", "", "`URL` of the server's ops port (default: as configured)")
	cmd.Flags().String("token", "", "admin `TOKEN`, also env:NAME or file:PATH (default: as configured)")
}

// admin finds the server's admin interface: where the flags say, else where the
// configuration does.
func (c *cli) admin(cmd *cobra.Command) (*adminClient, error) {
	a := &adminClient{http: &http.Client{Timeout: callTimeout}}
	a.base, _ = cmd.Flags().GetString("url")
	if text, _ := cmd.Flags().GetString("token"); text != "" {
		text, err := c.env.secretsFrom("")(text)
		if err != nil {
			return nil, fmt.Errorf("--token: %w", err)
		}
		a.token = protocol.NewSecret(text)
	}
	if a.base == "" || a.token == nil {
		cfg, err := c.load(c.sources(cmd))
		if err != nil {
			return nil, err
		}
		a.fill(cfg.Ops)
	}
	if a.token == nil {
		return nil, errors.New("the admin interface is off; ops.admin_token turns it on")
	}
	a.base = strings.TrimRight(a.base, "/")
	if u, err := url.Parse(a.base); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("--url must be an http or https URL, not %q", shorten(a.base))
	}
	return a, nil
}

// fill takes from the configuration what no flag has said.
func (a *adminClient) fill(o OpsConfig) {
	if a.token == nil {
		a.token = o.AdminToken
	}
	if a.base != "" {
		return
	}
	a.base, a.http.Transport = reach(o.Address())
}

// maxAdminAnswer bounds what is read of an answer.
const maxAdminAnswer = 256 << 20

// call sends a request and reads its JSON answer.
func (a *adminClient) call(ctx context.Context, method, path string, body, out any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+a.token.Reveal())
	res, err := a.http.Do(req)
	if err != nil {
		return fmt.Errorf("calling the server: %w", err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAdminAnswer))
	if err != nil {
		return fmt.Errorf("reading the server's answer: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the server answered %d: %s", res.StatusCode, printable(shorten(strings.TrimSpace(string(answer)))))
	}
	return json.Unmarshal(answer, out)
}
