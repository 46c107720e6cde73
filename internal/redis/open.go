// Package redis is what everything that keeps something in Redis shares: how a
// Redis is named and reached, and where in it a channel's keys are.
package redis

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Timeouts of connections. A command that takes longer counts as failed; whoever
// sent it decides whether to send it again.
const (
	dialTimeout    = time.Second
	commandTimeout = time.Second
)

// Client is a connection pool to one Redis, a Redis that Sentinels watch, or a
// Redis Cluster.
type Client struct {
	goredis.UniversalClient
	Sharded bool // a Redis Cluster: publish and subscribe with the sharded commands
}

// Open reads a Redis URL. It does not connect.
//
//	redis://user:password@host:port/db           one Redis; rediss:// with TLS
//	unix://user:password@/path.sock?db=0         one Redis on a unix socket
//	redis-sentinel://user:password@host:port,host:port/master/db
//	redis-cluster://user:password@host:port,host:port
//
// rediss-sentinel and rediss-cluster are these with TLS. In the query tls_ca names a
// file of the authorities to trust, tls_cert and tls_key those of a certificate to
// show. Options of go-redis may stand there too, such as pool_size. The user and the
// password of a redis-sentinel URL are those of Redis; sentinel_username and
// sentinel_password in the query are the Sentinels' own. No error quotes the URL,
// which may hold a password.
func Open(text string) (*Client, error) {
	silence.Do(func() { goredis.SetLogger(silent{}) })
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return nil, errors.New("a Redis URL begins with redis://, rediss://, unix://, redis-sentinel:// or redis-cluster://")
	}
	base, kind, _ := strings.Cut(scheme, "-")
	if base == "unix" && kind != "" {
		kind = scheme // not a kind
	}
	rest, files, err := cutTLSFiles(rest)
	var c *Client
	switch {
	case err != nil:
	case kind == "":
		c, err = openOne(scheme+"://"+rest, files)
	case kind == "sentinel":
		c, err = openSentinel(base, rest, files)
	case kind == "cluster":
		c, err = openCluster(base, rest, files)
	default:
		return nil, fmt.Errorf("%q is no scheme of a Redis URL", scheme)
	}
	if err != nil {
		return nil, fmt.Errorf("the Redis URL: %w", unquoted(err))
	}
	return c, nil
}

// go-redis has one logger for all clients, which writes plain lines to stderr about
// what callers are told as errors as well.
var silence sync.Once

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// unquoted takes the URL out of an error of package url.
func unquoted(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

func openOne(text string, files tlsFiles) (*Client, error) {
	o, err := goredis.ParseURL(text)
	if err != nil {
		return nil, err
	}
	if err := files.apply(o.TLSConfig); err != nil {
		return nil, err
	}
	o.MaxRetries = -1 // who sends knows whether a command may be sent twice
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = dialTimeout, commandTimeout, commandTimeout, commandTimeout
	o.DialerRetries = 1
	o.ContextTimeoutEnabled = true
	o.Protocol = 2 // nothing of RESP 3 is used, and looking for its push messages costs
	o.MaintNotificationsConfig = quiet()
	return &Client{UniversalClient: goredis.NewClient(o)}, nil
}

// spread turns the first address of a list into the URL's host, as go-redis wants
// it, and the others into addr parameters.
func spread(base, rest string) (*url.URL, error) {
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	user, hosts := "", authority
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, hosts = authority[:i+1], authority[i+1:]
	}
	list := strings.Split(hosts, ",")
	u, err := url.Parse(base + "://" + user + list[0] + path)
	if err != nil {
		return nil, err
	}
	q := u.Query()
	for _, addr := range list[1:] {
		q.Add("addr", addr)
	}
	u.RawQuery = q.Encode()
	return u, nil
}

func openSentinel(base, rest string, files tlsFiles) (*Client, error) {
	u, err := spread(base, rest)
	if err != nil {
		return nil, err
	}
	master, db, _ := strings.Cut(strings.Trim(u.Path, "/"), "/")
	if master == "" {
		return nil, errors.New("the name of the master is missing: redis-sentinel://host:port/master")
	}
	q := u.Query()
	q.Set("master_name", master)
	own, password := q.Get("sentinel_username"), q.Get("sentinel_password")
	q.Del("sentinel_username")
	q.Del("sentinel_password")
	user := u.User
	u.User, u.Path, u.RawQuery = nil, "/"+db, q.Encode()
	o, err := goredis.ParseFailoverURL(u.String())
	if err != nil {
		return nil, err
	}
	if err := files.apply(o.TLSConfig); err != nil {
		return nil, err
	}
	o.SentinelUsername, o.SentinelPassword = own, password
	if user != nil {
		o.Username = user.Username()
		o.Password, _ = user.Password()
	}
	o.MaxRetries, o.DialerRetries = -1, 1
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = dialTimeout, commandTimeout, commandTimeout, commandTimeout
	o.ContextTimeoutEnabled = true
	o.Protocol = 2 // nothing of RESP 3 is used, and looking for its push messages costs
	return &Client{UniversalClient: goredis.NewFailoverClient(o)}, nil
}

func openCluster(base, rest string, files tlsFiles) (*Client, error) {
	u, err := spread(base, rest)
	if err != nil {
		return nil, err
	}
	o, err := goredis.ParseClusterURL(u.String())
	if err != nil {
		return nil, err
	}
	if err := files.apply(o.TLSConfig); err != nil {
		return nil, err
	}
	o.MaxRetries, o.DialerRetries = -1, 1
	o.MaxRedirects = 3 // MOVED and ASK are no failures
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = dialTimeout, commandTimeout, commandTimeout, commandTimeout
	o.ContextTimeoutEnabled = true
	o.Protocol = 2 // nothing of RESP 3 is used, and looking for its push messages costs
	o.MaintNotificationsConfig = quiet()
	return &Client{UniversalClient: goredis.NewClusterClient(o), Sharded: true}, nil
}

// quiet keeps go-redis from asking for notices that only Redis Enterprise sends.
func quiet() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

// Subscribe opens a connection for the topics of one slice, the first of them
// named.
func (c *Client) Subscribe(ctx context.Context, first string) *goredis.PubSub {
	if c.Sharded {
		return c.UniversalClient.SSubscribe(ctx, first)
	}
	return c.UniversalClient.Subscribe(ctx, first)
}

// Refresh has the client of a Redis Cluster ask again which node has what. By itself it
// does so when a node sends it elsewhere, but not when a node is gone: it would dial
// the dead for a minute after another took its place.
func (c *Client) Refresh(ctx context.Context) {
	if cluster, ok := c.UniversalClient.(*goredis.ClusterClient); ok {
		cluster.ReloadState(ctx)
	}
}

// PublishCommand is the command that scripts publish with.
func (c *Client) PublishCommand() string {
	if c.Sharded {
		return "spublish"
	}
	return "publish"
}
