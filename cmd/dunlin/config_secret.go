package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"dunlin/protocol"
)

// Messages about secrets never quote what was given.

var secret = kind[*protocol.Secret]{
	values: "secret",
	read: func(g given) (*protocol.Secret, error) {
		word, ok := g.word()
		switch {
		case !ok && g.tag() == "!!null" || ok && word == "":
			return nil, errors.New("must not be empty")
		case !ok:
			return nil, errors.New("must be text; put it in quotes")
		}
		if g.secrets != nil {
			var err error
			if word, err = g.secrets(word); err != nil {
				return nil, err
			}
		}
		return protocol.NewSecret(word), nil
	},
	same: sameSecret,
}

// secretOrNone may be empty.
var secretOrNone = kind[*protocol.Secret]{
	values: "secret",
	read: func(g given) (*protocol.Secret, error) {
		if word, ok := g.word(); ok && word == "" {
			return nil, nil
		}
		return secret.read(g)
	},
	same: sameSecret,
}

// token is a secret that stands in an HTTP header. It may be empty.
var token = kind[*protocol.Secret]{
	values: "secret",
	read: func(g given) (*protocol.Secret, error) {
		s, err := secretOrNone.read(g)
		if err == nil && s != nil && strings.ContainsFunc(s.Reveal(), func(r rune) bool { return unprintable(r) || r > 0x7e }) {
			err = errors.New("must consist of printable ASCII characters without spaces")
		}
		return s, err
	},
	same: sameSecret,
}

// redisURL is a URL with a password, perhaps, or several with spaces between. What
// they name is looked at later.
var redisURL = kind[*protocol.Secret]{
	values: "URL",
	read: func(g given) (*protocol.Secret, error) {
		s, err := secret.read(g)
		if err != nil {
			return nil, err
		}
		for _, url := range strings.Fields(s.Reveal()) {
			scheme, _, ok := strings.Cut(url, "://")
			if !ok || !slices.Contains(redisSchemes, scheme) {
				return nil, errors.New("must be a URL that begins with " + strings.Join(redisSchemes, "://, ") + "://")
			}
		}
		return s, nil
	},
	same: sameSecret,
}

var redisSchemes = []string{"redis", "rediss", "unix", "redis-sentinel", "rediss-sentinel", "redis-cluster", "rediss-cluster"}

func sameSecret(a, b *protocol.Secret) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Reveal() == b.Reveal()
}

var secretList = kind[[]*protocol.Secret]{
	values: "list of secrets",
	read: func(g given) (list []*protocol.Secret, err error) {
		items, ok := g.items()
		if !ok || len(items) == 0 {
			return nil, errors.New("must be a list of at least one secret")
		}
		for i, item := range items {
			s, err := secret.read(item)
			if err != nil {
				return nil, fmt.Errorf("%d. secret: %w", i+1, err)
			}
			list = append(list, s)
		}
		return list, nil
	},
	same: func(a, b []*protocol.Secret) bool { return len(a) == 0 && len(b) == 0 },
}

// Beginnings of a secret that stands elsewhere.
const (
	envPrefix  = "env:"
	filePrefix = "file:"
)

// secretsFrom returns how secrets are found that a source in folder dir refers to.
func (e *environment) secretsFrom(dir string) func(string) (string, error) {
	return func(reference string) (string, error) {
		if name, ok := strings.CutPrefix(reference, envPrefix); ok {
			return e.secretVariable(name)
		}
		if path, ok := strings.CutPrefix(reference, filePrefix); ok {
			return e.secretFile(dir, path)
		}
		return reference, nil
	}
}

func (e *environment) secretVariable(name string) (string, error) {
	if name == "" {
		return "", errors.New("names no environment variable; write env:NAME")
	}
	text, ok := e.vars[name]
	switch {
	case !ok:
		return "", fmt.Errorf("the environment variable %s is not set", name)
	case text == "":
		return "", fmt.Errorf("the environment variable %s is empty", name)
	}
	return text, nil
}

// secretFile reads a secret from a file, whose last line break is not part of it.
func (e *environment) secretFile(dir, path string) (string, error) {
	if path == "" {
		return "", errors.New("names no file; write file:PATH")
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	data, err := e.readFile(path)
	if err != nil {
		return "", fmt.Errorf("its file can not be read: %w", err)
	}
	text := strings.TrimRight(string(data), "\r\n")
	if text == "" {
		return "", fmt.Errorf("the file %s is empty", path)
	}
	return text, nil
}
