package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"text/tabwriter"

	"dunlin/apps"
)

// exampleSecrets are those of the apps.yaml that comes with dunlin: everybody
// knows them.
var exampleSecrets = []string{"app-secret", "second-secret", "second-secret-before"}

// greet prints where the server listens, its apps without their secrets, and what
// to paste into a page.
func greet(w io.Writer, cfg *Config, plain, secure []net.Addr) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "dunlin %s\n\n", version)
	for _, a := range plain {
		fmt.Fprintf(t, "  listening on\t%s\n", address("http://", a, cfg.Server.PathPrefix))
	}
	for _, a := range secure {
		fmt.Fprintf(t, "  listening on\t%s\n", address("https://", a, cfg.Server.PathPrefix))
	}
	for _, a := range cfg.Apps {
		fmt.Fprintf(t, "  app\tid %s\tkey %s", a.ID, a.Key)
		if !a.Enabled {
			fmt.Fprint(t, "\t(disabled)")
		}
		fmt.Fprintln(t)
	}
	if s := snippet(cfg, plain, secure); s != "" {
		fmt.Fprintf(t, "\nPaste into a page that has pusher-js:\n\n%s\n", s)
	}
	return t.Flush()
}

func address(scheme string, a net.Addr, prefix string) string {
	if a.Network() == "unix" {
		return unixPrefix + a.String()
	}
	return scheme + a.String() + prefix
}

// snippet connects pusher-js to the first app that can be used, by the first
// address that a page can reach, without TLS if it can; "" when there is none.
func snippet(cfg *Config, plain, secure []net.Addr) string {
	app := slices.IndexFunc(cfg.Apps, func(a *apps.App) bool { return a.Enabled })
	if app < 0 {
		return ""
	}
	var where string
	if tcp := firstTCP(plain); tcp != nil && !cfg.Apps[app].ForceTLS {
		where = fmt.Sprintf("wsHost: %q, wsPort: %d, %sforceTLS: false", pageHost(tcp.IP), tcp.Port, wsPath(cfg))
	} else if tcp := firstTCP(secure); tcp != nil {
		where = fmt.Sprintf("wsHost: %q, wssPort: %d, %sforceTLS: true", cfg.Server.TLS.name(pageHost(tcp.IP)), tcp.Port, wsPath(cfg))
	} else {
		return ""
	}
	return strings.Join([]string{
		fmt.Sprintf(`  const pusher = new Pusher(%q, {%s, enabledTransports: ["ws"], cluster: ""});`, cfg.Apps[app].Key, where),
		`  pusher.connection.bind("state_change", ({current}) => console.log(current));`,
		`  const channel = pusher.subscribe("my-channel");`,
		`  channel.bind("my-event", (data) => console.log(data));`,
	}, "\n") + "\n"
}

func wsPath(cfg *Config) string {
	if p := cfg.Server.PathPrefix; p != "" {
		return fmt.Sprintf("wsPath: %q, ", p)
	}
	return ""
}

func firstTCP(addrs []net.Addr) *net.TCPAddr {
	for _, a := range addrs {
		if tcp, ok := a.(*net.TCPAddr); ok {
			return tcp
		}
	}
	return nil
}

// pageHost is an address as it stands in a URL. Nobody can connect to "every
// address", but on this machine to its loopback.
func pageHost(ip net.IP) string {
	switch {
	case ip.To4() != nil && ip.IsUnspecified():
		return "127.0.0.1"
	case ip.IsUnspecified():
		return "[::1]"
	case ip.To4() == nil:
		return "[" + ip.String() + "]"
	}
	return ip.String()
}

// warnExamples warns of secrets that everybody knows, when others than this
// machine can reach the server.
func warnExamples(log *slog.Logger, list []*apps.App, addrs []net.Addr) {
	open := slices.IndexFunc(addrs, reachable)
	if open < 0 {
		return
	}
	for _, a := range list {
		if a.Enabled && hasExampleSecret(a) {
			log.Warn("an example secret, which everybody knows, is served on an address that others can reach: change it",
				"app", a.ID, "address", addrs[open].String())
		}
	}
}

func hasExampleSecret(a *apps.App) bool {
	for _, s := range a.Secrets {
		if slices.Contains(exampleSecrets, s.Reveal()) {
			return true
		}
	}
	return false
}

// reachable reports whether other machines can connect to an address. What was
// bound is asked, not what was configured: a name has been resolved by then.
func reachable(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && !tcp.IP.IsLoopback()
}
