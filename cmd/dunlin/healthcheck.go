package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dunlin/transport"
)

func (c *cli) healthcheckCommand() *cobra.Command {
	var url, socket string
	var ready, insecure bool
	var within time.Duration
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask a running server whether it is well",
		Long: "Ask a running server whether it is well, for the probes of containers, which\n" +
			"have no other program to ask with. It exits with 0 when the server is well, with\n" +
			"1 when it is not or does not answer.",
		Example: "  dunlin healthcheck\n" +
			"  dunlin healthcheck --ready --timeout 1s\n" +
			"  dunlin healthcheck --url https://127.0.0.1:6001 --insecure\n" +
			"  HEALTHCHECK CMD [\"/dunlin\", \"healthcheck\"]      # in a Dockerfile",
		Args: cobra.NoArgs,
		RunE: does(func(cmd *cobra.Command, _ []string) error {
			p, err := c.probe(cmd, url, socket, insecure)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), within)
			defer cancel()
			path := "/live"
			if ready {
				path = "/ready"
			}
			return p.ask(ctx, path, c.stdout)
		}),
	}
	configFlag(cmd)
	f := cmd.Flags()
	f.StringVar(&url, "url", "", "`URL` of the server's port for clients or operators (default: as configured)")
	f.StringVar(&socket, "socket", "", "`PATH` of a unix socket on which it listens")
	f.BoolVar(&ready, "ready", false, "ask whether it should get traffic, not only whether it lives")
	f.BoolVar(&insecure, "insecure", false, "take any certificate")
	f.DurationVar(&within, "timeout", 3*time.Second, "`TIME` that it may take")
	return cmd
}

// probe asks a server.
type probe struct {
	base string
	http *http.Client
}

// probe finds the server: where the flags say, else where the configuration does.
func (c *cli) probe(cmd *cobra.Command, url, socket string, insecure bool) (*probe, error) {
	if url != "" && socket != "" {
		return nil, errors.New("give either --url or --socket")
	}
	base, way := url, http.RoundTripper(nil)
	switch {
	case url != "":
		way = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: insecure}} // as asked for
	case socket != "":
		base, way = reach(transport.Address{Network: "unix", Address: socket})
	default:
		cfg, err := c.load(c.sources(cmd))
		if err != nil {
			return nil, err
		}
		base, way = cfg.Server.reach()
	}
	return &probe{strings.TrimRight(base, "/"), &http.Client{Transport: way}}, nil
}

// ask fails unless the server answers with 200. What it says goes to out, or into
// the error.
func (p *probe) ask(ctx context.Context, path string, out io.Writer) error {
	const most = 64 << 10
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+path, nil)
	if err != nil {
		return err
	}
	res, err := p.http.Do(req)
	if err != nil {
		return p.explain(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, most))
	if err != nil {
		return fmt.Errorf("reading the server's answer: %w", err)
	}
	answer := cmp.Or(printable(strings.TrimSpace(string(text))), res.Status)
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the server answered %d: %s", res.StatusCode, answer)
	}
	_, err = fmt.Fprintln(out, answer)
	return err
}

func (p *probe) explain(err error) error {
	var unknown *tls.CertificateVerificationError
	var network net.Error
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("%w\n--insecure takes any certificate", err)
	case errors.As(err, &network) && network.Timeout():
		return fmt.Errorf("no answer in time from %s; --timeout gives it longer", p.base)
	}
	return fmt.Errorf("asking the server: %w", err)
}
