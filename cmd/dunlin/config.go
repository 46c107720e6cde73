package main

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"dunlin/apps"
	"dunlin/channels"
	"dunlin/protocol"
	"dunlin/transport"
)

// Config is the whole configuration, complete and valid: defaults, file,
// environment and flags laid over each other. Which settings there are, and what
// they mean, stands in config_schema.go.
type Config struct {
	File     string // that it was read from; "" without one
	Server   ServerConfig
	Ops      OpsConfig
	Engine   EngineConfig
	Webhooks WebhooksConfig
	Cache    CacheConfig
	Log      LogConfig
	Tracing  TracingConfig
	Apps     []*apps.App

	Warnings []string // for the operator; nothing that stops the start

	settings layer // of the server, as they were applied
}

// ServerConfig is the port that clients and backends use.
type ServerConfig struct {
	Host             []string // IP addresses, names and "unix:/path"; at least one
	Port             int      // 0: any
	PathPrefix       string   // "" or "/something"
	Loops            int      // 0: as many as GOMAXPROCS
	Transport        string   // "auto", "epoll" or "stream"
	HandshakeTimeout time.Duration
	ActivityTimeout  time.Duration
	AuthorizeWithin  time.Duration
	MaxMessageBytes  int
	MaxRequestBytes  int
	MaxPendingBytes  int
	Compression      CompressionConfig
	Drain            time.Duration
	AcceptMemory     int // percent; 0: no limit
	Protection       channels.Protection
	Handover         string // path of a unix socket; "": none
	Watch            bool   // reload when a file changes
	TLS              TLSConfig
	Proxies          transport.Proxies
	ProxyProtocol    bool
}

// CompressionConfig is permessage-deflate on connections of clients that offer it.
type CompressionConfig struct {
	Enabled  bool
	MinBytes int // of a message that is worth it
}

// From is the length from which on messages are compressed, 0 for never.
func (c CompressionConfig) From() int {
	if !c.Enabled {
		return 0
	}
	return c.MinBytes
}

// OpsConfig is the port for operators: metrics and health.
type OpsConfig struct {
	Enabled    bool
	Host       string
	Port       int
	AdminToken *protocol.Secret // nil: no admin interface

	MetricsApps  int    // apps with figures of their own; 0: all
	SoketiPrefix string // of figures under Soketi's names; "": none
}

// EngineConfig chooses what nodes share.
type EngineConfig struct {
	Type  string // "memory" or "redis"
	Redis RedisConfig
}

// RedisConfig says which Redis the nodes share.
type RedisConfig struct {
	URL    *protocol.Secret // may hold a password
	Prefix string
	Slices int // 0: as many as suit the kind of Redis
	Lease  time.Duration
	Detach time.Duration // 0: never
}

// WebhooksConfig is how webhooks are delivered, for all apps.
type WebhooksConfig struct {
	Queue               string // "memory", "spool" or "redis"
	Path                string // of a file: the spool's, and what memory leaves at a stop
	Timeout             time.Duration
	GiveUpAfter         time.Duration
	Flush               time.Duration // to deliver what waits at a stop
	AllowPrivateTargets bool
}

// CacheConfig bounds the events that cache channels keep.
type CacheConfig struct {
	TTL      time.Duration
	MaxBytes int
}

// TracingConfig says where traces go.
type TracingConfig struct {
	Endpoint string // of an OTLP collector; "": nothing is traced
	OneIn    int
}

// LogConfig is how the server logs.
type LogConfig struct {
	Level  string // "debug", "info", "warn" or "error"
	Format string // "auto", "text" or "json"
}

// unixPrefix begins a host that is a unix socket.
const unixPrefix = "unix:"

// Addresses lists where to listen for clients.
func (s ServerConfig) Addresses() []transport.Address {
	var list []transport.Address
	for _, host := range s.Host {
		list = append(list, listenAddress(host, s.Port))
	}
	if hasIPv4(s.Host) {
		// "::" would take the IPv4 side of the port too, and collide.
		for i := range list {
			if strings.HasPrefix(list[i].Address, "[::]:") {
				list[i].Network = "tcp6"
			}
		}
	}
	return list
}

// Address is where to listen for operators.
func (o OpsConfig) Address() transport.Address { return listenAddress(o.Host, o.Port) }

func listenAddress(host string, port int) transport.Address {
	if path, ok := strings.CutPrefix(host, unixPrefix); ok {
		return transport.Address{Network: "unix", Address: path}
	}
	network := "tcp"
	if isIPv4(host) {
		network = "tcp4" // with "tcp", Go takes 0.0.0.0 for all of IPv6 too
	}
	return transport.Address{Network: network, Address: net.JoinHostPort(host, strconv.Itoa(port))}
}

func hasIPv4(hosts []string) bool {
	for _, h := range hosts {
		if isIPv4(h) {
			return true
		}
	}
	return false
}

func isIPv4(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Is4()
}

// defaultFile is read when no other is named.
const defaultFile = "apps.yaml"

// sources is all that a configuration is made of.
type sources struct {
	file  string            // from --config; "" when not given
	flags map[string]string // setting's path → text, of the flags that were given
	env   *environment
}

// loadConfig reads a configuration and checks all of it. An error of type
// Mistakes lists everything that is wrong; another says why nothing could be read.
func loadConfig(src sources) (*Config, error) {
	bad := &mistakes{}
	name, file, err := src.read(bad)
	if err != nil {
		return nil, err
	}
	cfg := &Config{File: name, Warnings: append(src.env.strangers(), file.warnings...)}
	overlay(cfg, file.server, envLayer(serverTable, src.env, bad), flagLayer(serverTable, src, bad))
	cfg.finish(func(path string) Spot { return src.spot(file, path) }, src.env, bad)
	cfg.Apps = collectApps(file, src.env, bad)
	if file.noApps != nil && len(cfg.Apps) == 0 {
		bad.add(*file.noApps, "no app is configured")
	}
	if list := bad.sorted(name); len(list) > 0 {
		return nil, list
	}
	return cfg, nil
}

// spot is where a setting of the server was given.
func (src sources) spot(file *contents, path string) Spot {
	for _, name := range serverTable.byPath[path].env {
		if _, ok := src.env.lookup(name); ok {
			return Spot{Source: name}
		}
	}
	if at, ok := file.spots[path]; ok {
		return at
	}
	return Spot{Source: path}
}

// read reads the file, if there is one, and otherwise what the environment has of
// another server.
func (src sources) read(bad *mistakes) (name string, file *contents, err error) {
	if name = src.fileName(); name == "" {
		return src.surroundings(bad)
	}
	data, err := src.env.readFile(name)
	switch {
	case err != nil:
		return "", nil, noFile(src, name, err)
	case isSoketi(data) || isEnvFile(data):
		t, err := src.translate("", name, data, bad)
		if err != nil {
			return "", nil, err
		}
		return name, t.contents(), nil
	}
	file = readConfigFile(name, data, src.env, bad)
	file.warnings = src.env.unread(name)
	return name, file, nil
}

func (src sources) surroundings(bad *mistakes) (string, *contents, error) {
	if from, err := src.env.otherServer(); from == "" {
		return "", &contents{}, err
	}
	t, err := src.translate("", "", nil, bad)
	if err != nil {
		return "", nil, err
	}
	if _, err := src.env.readFile(defaultFile); err == nil {
		t.warnings = append(t.warnings, defaultFile+": not read, because the environment has another server's configuration; name it with --config")
	}
	return "", t.contents(), nil
}

// fileName decides which file is read. One app in the environment stands for a
// file, and so do settings of another server: then only a file that is named is
// read.
func (src sources) fileName() string {
	if src.file != "" {
		return src.file
	}
	if name, ok := src.env.lookup(envConfig); ok {
		return name
	}
	if len(setNames(appTable, src.env))+len(src.env.theirs(soketiPrefix))+len(src.env.theirs(reverbPrefix)) > 0 {
		return ""
	}
	return defaultFile
}

func noFile(src sources, name string, err error) error {
	if src.file == "" && name == defaultFile {
		return fmt.Errorf("no configuration: %w\n"+
			"Name a file with --config FILE or %s, or serve one app without a file by setting\n"+
			"DUNLIN_APP_ID, DUNLIN_APP_KEY and DUNLIN_APP_SECRET", err, envConfig)
	}
	return fmt.Errorf("reading the configuration: %w", err)
}
