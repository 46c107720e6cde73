package main

import (
	"errors"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// host is one address to listen on.
var host = plain("address", func(g given) (string, error) {
	word, ok := g.word()
	if !ok {
		return "", g.wrong("an address to listen on")
	}
	return parseHost(word, g)
})

// hosts is one address to listen on or more.
var hosts = kind[[]string]{
	values: "address or list",
	read: func(g given) (list []string, err error) {
		items, ok := g.items()
		if !ok {
			items = []given{g}
		}
		for _, item := range items {
			h, err := host.read(item)
			if err != nil {
				return nil, err
			}
			if slices.Contains(list, h) {
				return nil, errors.New("names " + h + " twice")
			}
			list = append(list, h)
		}
		if len(list) == 0 {
			return nil, errors.New("must name at least one address")
		}
		return list, nil
	},
	same: slices.Equal[[]string],
}

// maxSocketPath is what a unix socket's address has room for, less the final NUL.
const maxSocketPath = 107

var (
	hostName   = regexp.MustCompile(`\A[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?\z`)
	allNumeric = regexp.MustCompile(`(\A|\.)[0-9]+\.?\z`) // no name ends like this: it is a bad IPv4 address
)

func parseHost(word string, g given) (string, error) {
	if path, ok := strings.CutPrefix(word, unixPrefix); ok {
		if !strings.HasPrefix(path, "/") || len(path) > maxSocketPath || strings.ContainsFunc(path, unprintable) {
			return "", g.wrong("unix: and an absolute path of at most 107 bytes")
		}
		return word, nil
	}
	bare := word
	if strings.HasPrefix(word, "[") && strings.HasSuffix(word, "]") {
		bare = word[1 : len(word)-1]
	}
	if ip, err := netip.ParseAddr(bare); err == nil {
		return ip.String(), nil
	}
	switch {
	case word == "":
		return "", errors.New(`must be an address; 0.0.0.0 is every IPv4 address, "::" every address`)
	case len(word) <= 253 && hostName.MatchString(word) && !allNumeric.MatchString(word):
		return word, nil
	case strings.Contains(word, ":"):
		return "", g.wrong("an address without a port")
	}
	return "", g.wrong("an IP address, a host name or unix:/path")
}
