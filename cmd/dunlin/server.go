package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"dunlin/apps"
	"dunlin/internal/client"
	"dunlin/protocol"
	"dunlin/transport"
)

// server is a running server as one of its apps sees it.
type server struct {
	url  string // with the path prefix
	key  string
	http *http.Client
	api  *client.API
}

// serverFlags say which server and which app a command is for.
func serverFlags(cmd *cobra.Command) {
	configFlag(cmd)
	f := cmd.Flags()
	f.String("url", "", "`URL` of the server, path prefix included (default: as configured)")
	f.String("app-id", "", "`ID` of the app (default: the first one configured that is enabled)")
	f.String("key", "", "`KEY` of the app (default: as configured)")
	f.String("secret", "", "`SECRET` of the app, also env:NAME or file:PATH (default: as configured)")
}

// server finds the server: where the flags say, else where the configuration
// does. It need not be configured here at all when the flags say everything.
func (c *cli) server(cmd *cobra.Command) (*server, error) {
	flag := func(name string) string { return cmd.Flag(name).Value.String() }
	base, err := serverURL(flag("url"))
	if err != nil {
		return nil, err
	}
	s := &server{url: base, key: flag("key"), http: &http.Client{Timeout: callTimeout}}
	id, secret := flag("app-id"), (*protocol.Secret)(nil)
	if text := flag("secret"); text != "" {
		text, err := c.env.secretsFrom("")(text)
		if err != nil {
			return nil, fmt.Errorf("--secret: %w", err)
		}
		secret = protocol.NewSecret(text)
	}
	if s.url == "" || id == "" || s.key == "" || secret == nil {
		cfg, err := c.load(c.sources(cmd))
		if err != nil {
			return nil, err
		}
		app, err := configured(cfg.Apps, id)
		if err != nil {
			return nil, err
		}
		id = app.ID
		if s.key == "" {
			s.key = app.Key
		}
		if secret == nil {
			secret = app.Secrets[0]
		}
		if s.url == "" {
			s.url, s.http.Transport = cfg.Server.reach()
			s.url += cfg.Server.PathPrefix
		}
	}
	s.api = client.NewAPI(s.url, id, s.key, secret)
	s.api.HTTPClient = s.http
	return s, nil
}

// serverURL is a server's URL with the scheme that HTTP has, whichever of the two
// it was copied with; "" stays.
func serverURL(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	scheme := map[string]string{"http": "http", "ws": "http", "https": "https", "wss": "https"}
	u, err := url.Parse(text)
	if err != nil || scheme[u.Scheme] == "" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("--url must be an http or https URL, not %q", shorten(text))
	}
	u.Scheme = scheme[u.Scheme]
	return u.String(), nil
}

// callTimeout bounds one request to a server.
const callTimeout = 30 * time.Second

// configured is the app with an id, or the first that is enabled.
func configured(list []*apps.App, id string) (*apps.App, error) {
	at := slices.IndexFunc(list, func(a *apps.App) bool { return a.ID == id || id == "" && a.Enabled })
	switch {
	case at >= 0:
		return list[at], nil
	case id == "":
		return nil, errors.New("no app is enabled; name one with --app-id")
	}
	return nil, fmt.Errorf("no app with the id %q is configured; give --url, --key and --secret for one of another server", id)
}

// reach is how this machine calls a server that listens at an address: the URL
// and, where TCP does not lead there, the transport.
func reach(at transport.Address) (url string, way http.RoundTripper) {
	if at.Network == "unix" {
		return "http://dunlin", &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", at.Address)
		}}
	}
	host, port, _ := net.SplitHostPort(at.Address) // it was just joined
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port), nil
}

// reach is how this machine calls the clients' port: without TLS if there is a way,
// else the configured certificate is the one that is trusted.
func (s ServerConfig) reach() (string, http.RoundTripper) {
	if plain := s.plainAddresses(); len(plain) > 0 {
		return reach(plain[0])
	}
	address, _ := reach(s.tlsAddresses()[0])
	var roots *x509.CertPool // the system's
	if s.TLS.Pair != nil {
		roots = x509.NewCertPool()
		roots.AddCert(s.TLS.Pair.Leaf)
	}
	return "https" + strings.TrimPrefix(address, "http"), &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: s.TLS.name(s.Host[0])},
	}
}

// explain adds to an error of a call what to do about it.
func (s *server) explain(err error) error {
	var refused *client.StatusError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT):
		return fmt.Errorf("nothing listens at %s: start it with dunlin serve, or say with --url where it is", s.url)
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return fmt.Errorf("%w\nSSL_CERT_FILE=FILE, or --config with the server's configuration, says whom to trust", err)
	case !errors.As(err, &refused):
		return err
	case refused.Status == http.StatusUnauthorized:
		return fmt.Errorf("the server refused: %w\nDo --app-id, --key and --secret belong to this server?", err)
	case refused.RetryAfter > 0:
		return fmt.Errorf("the server refused: %w\nTry again in %v", err, refused.RetryAfter)
	}
	return fmt.Errorf("the server refused: %w", err)
}
