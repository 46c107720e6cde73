package main

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// soketiName is a setting of Soketi: its variable behind SOKETI_, its place in the
// JSON file, its default there where that counts, and what becomes of it. without
// put it is read together with others, or has no effect, for which moot is why.
type soketiName struct {
	env, path, def string
	put            func(*soketi, foreign)
	moot           string
}

// Reasons for which a setting of Soketi's has no effect here.
const (
	mootCORS    = "the HTTP API answers pages of every origin"
	mootDriver  = "what nodes share, and where, is decided by the adapter"
	mootProcess = "there is one kind of process"
	mootApps    = "apps come from the configuration alone"
	mootTuning  = "there is nothing to tune"
)

var soketiNames = []soketiName{
	{"HOST", "host", "0.0.0.0", ofServer("server.host", nonempty), ""},
	{"PORT", "port", "6001", ofServer("server.port", same), ""},
	{"PATH_PREFIX", "pathPrefix", "", ofServer("server.path_prefix", prefixed), ""},
	{"DEBUG", "debug", "", (*soketi).debug, ""},
	{"SHUTDOWN_GRACE_PERIOD", "shutdownGracePeriod", "3000", ofServer("server.drain", milliseconds), ""},
	{"USER_AUTHENTICATION_TIMEOUT", "userAuthenticationTimeout", "30000", ofServer("server.authorization_timeout", milliseconds), ""},
	{"HTTP_MAX_REQUEST_SIZE", "httpApi.requestLimitInMb", "100", ofServer("server.max_request_bytes", megabytes), ""},
	{"CHANNEL_CACHE_TTL", "channelLimits.cacheTtl", "3600", ofServer("cache.ttl", seconds), ""},
	{"METRICS_ENABLED", "metrics.enabled", "false", ofServer("ops.enabled", switched), ""},
	{"METRICS_HOST", "metrics.host", "0.0.0.0", ofServer("ops.host", nonempty), ""},
	{"METRICS_SERVER_PORT", "metrics.port", "9601", ofServer("ops.port", same), ""},
	{"METRICS_DRIVER", "metrics.driver", "", only("prometheus"), ""},
	{"METRICS_PROMETHEUS_PREFIX", "metrics.prometheus.prefix", "soketi_", ofServer("ops.soketi_prefix", nonempty), ""},

	{"CHANNEL_LIMITS_MAX_NAME_LENGTH", "channelLimits.maxNameLength", "200", ofApps("limits.channel_name_length", count), ""},
	{"EVENT_MAX_BATCH_SIZE", "eventLimits.maxBatchSize", "10", ofApps("limits.events_per_batch", count), ""},
	{"EVENT_MAX_CHANNELS_AT_ONCE", "eventLimits.maxChannelsAtOnce", "100", ofApps("limits.channels_per_event", count), ""},
	{"EVENT_MAX_NAME_LENGTH", "eventLimits.maxNameLength", "200", ofApps("limits.event_name_length", count), ""},
	{"EVENT_MAX_SIZE_IN_KB", "eventLimits.maxPayloadInKb", "100", ofApps("limits.event_bytes", kilobytes), ""},
	{"PRESENCE_MAX_MEMBERS", "presence.maxMembersPerChannel", "100", ofApps("limits.presence_members", count), ""},
	{"PRESENCE_MAX_MEMBER_SIZE", "presence.maxMemberSizeInKb", "2", ofApps("limits.presence_member_bytes", kilobytes), ""},
	{"", "", "-1", ofApps("limits.client_events_per_second", count), ""}, // an app's own default

	{"DEFAULT_APP_ID", firstApp + "id", "", nil, ""},
	{"DEFAULT_APP_KEY", firstApp + "key", "", nil, ""},
	{"DEFAULT_APP_SECRET", firstApp + "secret", "", nil, ""},
	{"DEFAULT_APP_ENABLED", firstApp + "enabled", "", nil, ""},
	{"DEFAULT_APP_ENABLE_CLIENT_MESSAGES", firstApp + "enableClientMessages", "", nil, ""},
	{"DEFAULT_APP_USER_AUTHENTICATION", firstApp + "enableUserAuthentication", "", nil, ""},
	{"DEFAULT_APP_MAX_CONNS", firstApp + "maxConnections", "", nil, ""},
	{"DEFAULT_APP_MAX_BACKEND_EVENTS_PER_SEC", firstApp + "maxBackendEventsPerSecond", "", nil, ""},
	{"DEFAULT_APP_MAX_CLIENT_EVENTS_PER_SEC", firstApp + "maxClientEventsPerSecond", "", nil, ""},
	{"DEFAULT_APP_MAX_READ_REQ_PER_SEC", firstApp + "maxReadRequestsPerSecond", "", nil, ""},
	{"DEFAULT_APP_WEBHOOKS", firstApp + "webhooks", "", nil, ""},
	{"", appsPath, "", nil, ""},
	{"APP_MANAGER_DRIVER", "appManager.driver", "", only("array"), ""},
	{"APP_MANAGER_CACHE_ENABLED", "appManager.cache.enabled", "", nil, mootApps},
	{"APP_MANAGER_CACHE_TTL", "appManager.cache.ttl", "", nil, mootApps},
	{"WEBHOOKS_BATCHING", "webhooks.batching.enabled", "", nil, ""},
	{"WEBHOOKS_BATCHING_DURATION", "webhooks.batching.duration", "", nil, ""},

	{"ADAPTER_DRIVER", "adapter.driver", "", (*soketi).adapter, ""},
	{"QUEUE_DRIVER", "queue.driver", "", (*soketi).queue, ""},
	{"ADAPTER_REDIS_PREFIX", "adapter.redis.prefix", "", nil, ""},
	{"DB_REDIS_HOST", redisPath + "host", "", nil, ""},
	{"DB_REDIS_PORT", redisPath + "port", "", nil, ""},
	{"DB_REDIS_DB", redisPath + "db", "", nil, ""},
	{"DB_REDIS_USERNAME", redisPath + "username", "", nil, ""},
	{"DB_REDIS_PASSWORD", redisPath + "password", "", nil, ""},
	{"DB_REDIS_KEY_PREFIX", redisPath + "keyPrefix", "", nil, ""},
	{"DB_REDIS_SENTINELS", redisPath + "sentinels", "", nil, ""},
	{"DB_REDIS_SENTINEL_PASSWORD", redisPath + "sentinelPassword", "", nil, ""},
	{"DB_REDIS_CLUSTER_NODES", redisPath + "clusterNodes", "", nil, ""},
	{"DB_REDIS_INSTANCE_NAME", redisPath + "name", "", nil, ""},
	{"RATE_LIMITER_DRIVER", "rateLimiter.driver", "", nil, mootDriver},
	{"CACHE_DRIVER", "cache.driver", "", nil, mootDriver},

	{"SSL_CERT", "ssl.certPath", "", ofServer("server.tls.cert", nonempty), ""},
	{"SSL_KEY", "ssl.keyPath", "", ofServer("server.tls.key", nonempty), ""},
	{"SSL_PASS", "ssl.passphrase", "", (*soketi).noPassphrase, ""},
	{"SSL_CA", "ssl.caPath", "", nil, "clients show no certificates"},

	{"HTTP_ACCEPT_TRAFFIC_MEMORY_THRESHOLD", "httpApi.acceptTraffic.memoryThreshold", "", ofServer("server.accept_traffic_memory", same), ""},
	{"CORS_CREDENTIALS", "cors.credentials", "", nil, mootCORS},
	{"CORS_ORIGIN", "cors.origin", "", nil, mootCORS},
	{"CORS_METHODS", "cors.methods", "", nil, mootCORS},
	{"CORS_ALLOWED_HEADERS", "cors.allowedHeaders", "", nil, mootCORS},
	{"MODE", "mode", "", nil, mootProcess},
	{"INSTANCE_PROCESS_ID", "instance.process_id", "", nil, mootProcess},
	{"NODE_ID", "", "", nil, mootProcess},
	{"POD_ID", "", "", nil, mootProcess},
	{"ADAPTER_CLUSTER_REQUESTS_TIMEOUT", "adapter.cluster.requestsTimeout", "", nil, mootTuning},
	{"ADAPTER_REDIS_REQUESTS_TIMEOUT", "adapter.redis.requestsTimeout", "", nil, mootTuning},
	{"ADAPTER_REDIS_CLUSTER_MODE", "adapter.redis.clusterMode", "", nil, "DB_REDIS_CLUSTER_NODES alone decides"},
	{"QUEUE_REDIS_CONCURRENCY", "queue.redis.concurrency", "", nil, mootTuning},
	{"QUEUE_REDIS_CLUSTER_MODE", "queue.redis.clusterMode", "", nil, mootDriver},
	{"RATE_LIMITER_REDIS_CLUSTER_MODE", "rateLimiter.redis.clusterMode", "", nil, mootDriver},
	{"CACHE_REDIS_CLUSTER_MODE", "cache.redis.clusterMode", "", nil, mootDriver},
	{"DB_POOLING_ENABLED", "databasePooling.enabled", "", nil, mootApps},
	{"DB_POOLING_MIN", "databasePooling.min", "", nil, mootApps},
	{"DB_POOLING_MAX", "databasePooling.max", "", nil, mootApps},
}

// soketiFamilies are beginnings of names that all have no effect, for one reason.
// What needs them is refused by the driver that it belongs to.
var soketiFamilies = []soketiName{
	{"ADAPTER_NATS_", "adapter.nats.", "", nil, "there is no adapter for NATS"},
	{"ADAPTER_REDIS_", "adapter.redis.", "", nil, "write engine.redis.url instead"},
	{"APP_MANAGER_", "appManager.", "", nil, mootApps},
	{"DB_MYSQL_", "database.mysql.", "", nil, mootApps},
	{"DB_POSTGRES_", "database.postgres.", "", nil, mootApps},
	{"CLUSTER_", "cluster.", "", nil, "nodes find each other in Redis"},
	{"QUEUE_SQS_", "queue.sqs.", "", nil, "there is no queue for SQS"},
	{"STATSD_", "statsd.", "", nil, "figures are for Prometheus"},
}

const (
	soketiPrefix = "SOKETI_"
	appsPath     = "appManager.array.apps"
	firstApp     = appsPath + ".0."
	redisPath    = "database.redis."
)

// soketiOld are variables that others set, though Soketi never read them.
var soketiOld = map[string]string{"DEFAULT_HOST": "HOST", "DEFAULT_PORT": "PORT"}

// soketi is a configuration of Soketi while it is translated.
type soketi struct {
	*translation
	values  map[string]foreign // path → value
	allApps []line             // settings of every app that says nothing itself
}

func ofServer(path string, c convert) func(*soketi, foreign) {
	return func(s *soketi, v foreign) { s.set(path, v, c) }
}

func ofApps(path string, c convert) func(*soketi, foreign) {
	return func(s *soketi, v foreign) {
		if g, ok := s.convert(v, c); ok {
			s.allApps = append(s.allApps, line{path, v.at, g})
		}
	}
}

// only refuses all drivers but one.
func only(driver string) func(*soketi, foreign) {
	return func(s *soketi, v foreign) {
		if word, ok := scalar(v.node); ok && word != "" && word != driver {
			s.bad.add(v.at, fmt.Sprintf("%q is not supported by this version; only %s is", shorten(word), driver))
		}
	}
}

// prefixed reads "ws", "/ws" and "/ws/" alike.
func prefixed(n *yaml.Node) (given, bool, error) {
	word, ok := scalar(n)
	if word = strings.Trim(word, "/"); word != "" {
		word = "/" + word
	}
	return typed(word, nil), ok, nil
}

func (s *soketi) debug(v foreign) {
	if g, ok, _ := switched(v.node); ok && g.node.Value == "true" {
		s.set("log.level", foreign{wordNode("debug"), v.at}, same)
	}
}

func (s *soketi) noPassphrase(v foreign) {
	if word, ok := scalar(v.node); ok && word != "" {
		s.bad.add(v.at, "is not supported by this version; keep the key in a file without a passphrase")
	}
}

// adapter chooses the engine.
func (s *soketi) adapter(v foreign) {
	word, _ := scalar(v.node)
	switch word {
	case "", "local":
		return
	case "cluster":
		s.warn(v.at, "nodes find each other in Redis here: the engine is redis")
	case "redis":
	default:
		s.bad.add(v.at, fmt.Sprintf("%q is not supported by this version; local and redis are", shorten(word)))
		return
	}
	s.set("engine.type", foreign{wordNode("redis"), v.at}, same)
	s.redis(v.at)
}

// queue chooses where webhooks wait. With the Redis engine it is Redis anyway.
func (s *soketi) queue(v foreign) {
	word, _ := scalar(v.node)
	adapter, _ := scalar(s.value("adapter.driver").node)
	shared := adapter == "redis" || adapter == "cluster"
	switch {
	case word == "sqs":
		s.bad.add(v.at, `"sqs" is not supported by this version; sync and redis are`)
	case word == "redis" && !shared:
		s.warn(v.at, "without the redis adapter webhooks wait in memory; webhooks.queue: spool keeps them in a file")
	case word == "sync" && shared:
		s.warn(v.at, "with the redis adapter webhooks wait in Redis")
	case word != "" && word != "sync" && word != "redis":
		s.bad.add(v.at, fmt.Sprintf("%q is no queue", shorten(word)))
	}
}

// redis says where Redis is. at is what wants it.
func (s *soketi) redis(at Spot) {
	word := func(name, def string) string {
		if v, ok := scalar(s.value(redisPath + name).node); ok && v != "" {
			at = s.value(redisPath + name).at
			return v
		}
		return def
	}
	u := url.URL{Scheme: "redis", Host: net.JoinHostPort(word("host", "127.0.0.1"), word("port", "6379")), Path: "/" + word("db", "0")}
	if user, password := word("username", ""), word("password", ""); user+password != "" {
		u.User = url.UserPassword(user, password)
	}
	if hosts := s.nodes("sentinels"); hosts != "" {
		u.Scheme, u.Host, u.Path = "redis-sentinel", hosts, "/"+word("name", "mymaster")+u.Path
		if p := word("sentinelPassword", ""); p != "" {
			u.RawQuery = url.Values{"sentinel_password": {p}}.Encode()
		}
	} else if hosts := s.nodes("clusterNodes"); hosts != "" {
		u.Scheme, u.Host, u.Path = "redis-cluster", hosts, ""
	}
	s.set("engine.redis.url", foreign{wordNode(u.String()), at}, same)
	prefix, _ := scalar(s.value("adapter.redis.prefix").node)
	if prefix = word("keyPrefix", "") + prefix; prefix != "" {
		s.set("engine.redis.prefix", foreign{wordNode(prefix), at}, same)
	}
}

// nodes lists the addresses of Sentinels or cluster nodes.
func (s *soketi) nodes(name string) string {
	v := s.value(redisPath + name)
	var hosts []string
	for _, n := range v.node.Content {
		host, port := "", "6379"
		if name == "sentinels" {
			port = "26379"
		}
		eachField(n, func(key string, val *yaml.Node) {
			switch word, ok := scalar(val); {
			case key == "host" && ok:
				host = word
			case key == "port" && ok:
				port = word
			}
		})
		if host == "" {
			s.bad.add(v.at, `must be a list such as [{"host": "10.0.0.1", "port": 6379}]`)
			return ""
		}
		hosts = append(hosts, net.JoinHostPort(host, port))
	}
	return strings.Join(hosts, ",")
}

// value is what was given; a null when nothing was.
func (s *soketi) value(path string) foreign {
	if v, ok := s.values[path]; ok {
		return v
	}
	return foreign{node: &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}}
}

// translate has every name do what it does here. Those that are none are named.
func (s *soketi) translate() {
	for i := range soketiNames {
		n := &soketiNames[i]
		v, given := s.values[n.path]
		switch {
		case n.put != nil && given && n.path != "":
			n.put(s, v)
		case n.put != nil && n.def != "":
			n.put(s, foreign{wordNode(n.def), Spot{Source: "Soketi's default"}})
		case n.moot != "" && given:
			s.warn(v.at, "has no effect: %s", n.moot)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(s.values)) {
		if findSoketi(path) == nil && !strings.HasPrefix(path, firstApp) {
			s.stranger(s.values[path], path)
		}
	}
	s.makeApps()
	s.roomForEvents()
}

// stranger names a value that nothing reads.
func (s *soketi) stranger(v foreign, path string) {
	for _, f := range soketiFamilies {
		if strings.HasPrefix(path, f.path) {
			s.warn(v.at, "has no effect: %s", f.moot)
			return
		}
	}
	var names []string
	for _, n := range soketiNames {
		names = append(names, n.path)
	}
	text := "no such setting of Soketi"
	if n := nearest(path, names); n != "" {
		text += "; did you mean " + n + "?"
	}
	s.warn(v.at, "%s", text)
}

func findSoketi(path string) *soketiName {
	for i := range soketiNames {
		if soketiNames[i].path == path && path != "" {
			return &soketiNames[i]
		}
	}
	return nil
}

func wordNode(word string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: word}
}

func eachField(n *yaml.Node, each func(key string, val *yaml.Node)) {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			each(n.Content[i].Value, target(n.Content[i+1]))
		}
	}
}
