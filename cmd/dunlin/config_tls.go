package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"dunlin/transport"
)

// TLSConfig is TLS on the clients' port, or on one beside it.
type TLSConfig struct {
	Cert, Key string           // paths; "": no TLS
	Port      int              // samePort: server.port itself
	Pair      *tls.Certificate // what the files hold; nil with ACME
	ACME      ACMEConfig
}

// ACMEConfig is where certificates come from that nobody has to bring.
type ACMEConfig struct {
	Domains   []string // none: no ACME
	Email     string   // "" for none
	Folder    string   // where they are kept
	Directory string   // URL of the authority
}

// samePort has server.port speak TLS.
const samePort = -1

// Enabled reports whether there is any TLS.
func (t TLSConfig) Enabled() bool { return t.Cert != "" || len(t.ACME.Domains) > 0 }

// name is one that the certificate is for; fallback when it names none.
func (t TLSConfig) name(fallback string) string {
	if len(t.ACME.Domains) > 0 {
		return t.ACME.Domains[0]
	}
	if t.Pair != nil && len(t.Pair.Leaf.DNSNames) > 0 {
		return t.Pair.Leaf.DNSNames[0]
	}
	return fallback
}

// plainAddresses lists where to listen without TLS. Unix sockets never have it: who
// comes by them is on this machine.
func (s ServerConfig) plainAddresses() []transport.Address {
	list := s.Addresses()
	if s.TLS.Enabled() && s.TLS.Port == samePort {
		list = slices.DeleteFunc(list, func(a transport.Address) bool { return a.Network != "unix" })
	}
	return list
}

// tlsAddresses lists where to listen with TLS.
func (s ServerConfig) tlsAddresses() []transport.Address {
	if !s.TLS.Enabled() {
		return nil
	}
	if s.TLS.Port != samePort {
		s.Port = s.TLS.Port
	}
	return slices.DeleteFunc(s.Addresses(), func(a transport.Address) bool { return a.Network == "unix" })
}

// speaksTLS reports whether TLS is spoken at an address that the service manager
// has bound.
func (s ServerConfig) speaksTLS(a transport.Address) bool {
	_, port, err := net.SplitHostPort(a.Address)
	return s.TLS.Enabled() && err == nil && a.Network != "unix" && (s.TLS.Port == samePort || port == strconv.Itoa(s.TLS.Port))
}

// portOrSame is a port of its own, or the other one.
var portOrSame = plain("number from 0 to 65535, or same", func(g given) (int, error) {
	if word, ok := g.word(); ok && word == "same" {
		return samePort, nil
	}
	n, err := number(0, 65535).read(g)
	if err != nil {
		return 0, g.wrong("a whole number from 0 to 65535, or same")
	}
	return n, nil
})

// pathOrNone is the path of a file, or nothing.
var pathOrNone = plain("path", func(g given) (string, error) {
	if word, ok := g.word(); ok && word == "" {
		return "", nil
	}
	return filePath.read(g)
})

// domains are names to get certificates for.
var domains = kind[[]string]{
	values: "list",
	read: func(g given) ([]string, error) {
		if word, ok := g.word(); ok && word == "" {
			return nil, nil
		}
		list, err := words.read(g)
		for i, name := range list {
			if err == nil && (!hostName.MatchString(name) || allNumeric.MatchString(name) || !strings.Contains(name, ".")) {
				err = fmt.Errorf("must be names such as ws.example.com, not %q", shorten(name))
			}
			list[i] = strings.ToLower(strings.TrimSuffix(name, "."))
		}
		return list, err
	},
	same: slices.Equal[[]string],
}

// email may be empty.
var email = matching(`([^\s@\x00-\x1f]+@[^\s@\x00-\x1f]+)?`, "address", "an email address")

// authorityURL is where an ACME server says what it offers (RFC 8555 §7.1.1).
var authorityURL = plain("URL", func(g given) (string, error) {
	word, ok := g.word()
	if u, err := url.Parse(word); !ok || err != nil || u.Scheme != "https" || u.Host == "" {
		return "", g.wrong("an https URL")
	}
	return word, nil
})

// proxies is a list of addresses, networks and the word unix.
var proxies = kind[transport.Proxies]{
	values: "list",
	read: func(g given) (p transport.Proxies, err error) {
		items, ok := g.items()
		if !ok {
			return p, g.wrong("a list of addresses such as 10.0.0.1 and networks such as 10.0.0.0/8")
		}
		for _, item := range items {
			word, ok := item.word()
			network, err := parseNetwork(word)
			switch {
			case ok && word == "unix":
				p.Unix = true
			case ok && word == "" && g.text && len(items) == 1: // no list at all
			case !ok || err != nil:
				return p, item.wrong("an address such as 10.0.0.1, a network such as 10.0.0.0/8, or unix")
			default:
				p.Trusted = append(p.Trusted, network)
			}
		}
		return p, nil
	},
	same: func(a, b transport.Proxies) bool { return a.Unix == b.Unix && slices.Equal(a.Trusted, b.Trusted) },
}

func parseNetwork(word string) (netip.Prefix, error) {
	if !strings.Contains(word, "/") {
		ip, err := netip.ParseAddr(word)
		if err != nil {
			return netip.Prefix{}, err
		}
		return netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(word)
	return p.Masked(), err
}

// finish reads what settings name and checks them against each other. at says
// where one was given.
func (cfg *Config) finish(at func(path string) Spot, env *environment, bad *mistakes) {
	s := &cfg.Server
	s.Proxies.Header = s.ProxyProtocol
	if s.ProxyProtocol && !s.Proxies.Any() {
		bad.add(at("server.proxy_protocol"), "needs server.trusted_proxies: nobody else's header counts")
	}
	switch t := &s.TLS; {
	case len(t.ACME.Domains) > 0 && t.Cert+t.Key != "":
		bad.add(at("server.tls.acme.domains"), "give either a certificate or domains to get one for, not both")
	case t.Cert == "" && t.Key == "":
	case t.Cert == "":
		bad.add(at("server.tls.key"), "needs server.tls.cert")
	case t.Key == "":
		bad.add(at("server.tls.cert"), "needs server.tls.key")
	default:
		cfg.readPair(at, env, bad)
	}
}

// readPair reads the certificate and its key.
func (cfg *Config) readPair(at func(path string) Spot, env *environment, bad *mistakes) {
	t := &cfg.Server.TLS
	cert, err := env.readFile(t.Cert)
	if err != nil {
		bad.add(at("server.tls.cert"), "its file can not be read: "+err.Error())
	}
	key, keyErr := env.readFile(t.Key)
	if keyErr != nil {
		bad.add(at("server.tls.key"), "its file can not be read: "+keyErr.Error())
	}
	if err != nil || keyErr != nil {
		return
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		bad.add(at("server.tls.cert"), "no certificate with that key: "+strings.TrimPrefix(err.Error(), "tls: "))
		return
	}
	if left := time.Until(pair.Leaf.NotAfter); left < 0 {
		cfg.Warnings = append(cfg.Warnings, fmt.Sprintf("%s: the certificate is not valid since %s", t.Cert, pair.Leaf.NotAfter.UTC().Format(time.RFC3339)))
	}
	t.Pair = &pair
}
