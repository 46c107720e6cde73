package httpapi

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"dunlin/apps"
	"dunlin/internal/tracing"
	"dunlin/metrics"

	"github.com/valyala/fasthttp"
)

// route is one line of the API.
type route struct {
	method string
	path   string // a segment in braces stands for any
	handle func(*Server, *call) error
	auth   func(*Server, *call) error // finds the app that must have signed; nil: anybody may ask
	reads  bool                       // counts as a read request of the app

	segments []string       // of path; "" stands for any
	counts   *metrics.Route // its requests
}

// routeTable is the API. GET serves HEAD as well. What is asked most stands
// first.
func routeTable(counters *metrics.Set) []route {
	table := []route{
		change("/apps/{app}/events", (*Server).postEvents),
		change("/apps/{app}/batch_events", (*Server).postBatch),
		read("/apps/{app}/channels", (*Server).getChannels),
		read("/apps/{app}/channels/{channel}", (*Server).getChannel),
		read("/apps/{app}/channels/{channel}/users", (*Server).getUsers),
		change("/apps/{app}/users/{user}/terminate_connections", (*Server).postTerminate),
		{method: "POST", path: "/users/{user}/terminate_connections", handle: (*Server).postTerminateShort, auth: (*Server).authenticateByKey},
		change("/apps/{app}/channels/{channel}/events", (*Server).postChannelEvents),
		read("/apps/{app}/channels/{channel}/stats", (*Server).getStats),
		read("/apps/{app}/connections", (*Server).getConnections),
		{method: "GET", path: "/", handle: (*Server).getLive},
		{method: "GET", path: "/live", handle: (*Server).getLive},
		{method: "GET", path: "/ready", handle: (*Server).getReady},
		{method: "GET", path: "/accept-traffic", handle: (*Server).getAcceptTraffic},
		{method: "GET", path: "/up", handle: (*Server).getUp},
	}
	for i := range table {
		table[i].segments = split(table[i].path)
		table[i].counts = counters.Route(table[i].method + " " + table[i].path)
	}
	return table
}

// change and read are the routes whose first argument is an app's id.
func change(path string, handle func(*Server, *call) error) route {
	return route{method: "POST", path: path, handle: handle, auth: (*Server).authenticate}
}

func read(path string, handle func(*Server, *call) error) route {
	return route{method: "GET", path: path, handle: handle, auth: (*Server).authenticate, reads: true}
}

func split(path string) []string {
	segments := strings.Split(path[1:], "/")
	for i, s := range segments {
		if strings.HasPrefix(s, "{") {
			segments[i] = ""
		}
	}
	return segments
}

// maxArgs is how many segments of a path can be arguments.
const maxArgs = 2

// match reports whether path, undecoded, is the route's, and puts its arguments,
// undecoded, in args.
func (r *route) match(path []byte, args *[maxArgs][]byte) bool {
	if len(path) == 1 || r.path == "/" {
		return len(path) == len(r.path)
	}
	n := 0
	for i, want := range r.segments {
		path = path[1:]
		end := bytes.IndexByte(path, '/')
		if last := i == len(r.segments)-1; last != (end < 0) {
			return false
		}
		segment := path
		if end >= 0 {
			segment, path = path[:end], path[end:]
		}
		switch {
		case want != "" && want != string(segment), len(segment) == 0:
			return false
		case want == "":
			args[n] = segment
			n++
		}
	}
	return true
}

// call is one request on its way through the handlers. It is pooled; nothing of
// it outlives the request.
type call struct {
	ctx      *fasthttp.RequestCtx
	method   []byte // as routes know it: GET for a HEAD
	path     []byte // undecoded, without the prefix
	prefixed []byte // undecoded, with the prefix; nil when the request had none
	args     [maxArgs][]byte
	app      *apps.App // of routes with auth
	admitted bool      // app has signed
	query    query
	route    *route        // nil: none matches
	trace    *tracing.Span // of a request that changes something

	scratch []byte // what was signed, then the answer
}

func (c *call) reset(ctx *fasthttp.RequestCtx, prefix string) {
	path, raw := target(ctx.RequestURI())
	*c = call{ctx: ctx, method: ctx.Method(), path: path, query: c.query, scratch: c.scratch[:0]}
	if ctx.IsHead() {
		c.method = methodGet
	}
	if rest, ok := cutPrefix(path, prefix); ok {
		c.path, c.prefixed = rest, path
	}
	c.query.parse(raw)
}

// release drops what belongs to the request, and memory that one large request
// needed.
func (c *call) release() {
	const most = 64 << 10
	if cap(c.scratch) > most || cap(c.query.text) > most || cap(c.query.params) > most/64 {
		*c = call{}
		return
	}
	clear(c.query.params)
	*c = call{query: c.query, scratch: c.scratch[:0]}
}

// target parts a request target into its undecoded path and query. A target may
// name scheme and host (RFC 9112 §3.2.2).
func target(uri []byte) (path, query []byte) {
	path, query, _ = bytes.Cut(uri, []byte{'?'})
	if len(path) > 0 && path[0] != '/' {
		if _, rest, ok := bytes.Cut(path, []byte("://")); ok {
			slash := bytes.IndexByte(rest, '/')
			if slash < 0 {
				return []byte{'/'}, query
			}
			path = rest[slash:]
		}
	}
	return path, query
}

func cutPrefix(path []byte, prefix string) ([]byte, bool) {
	if prefix == "" || len(path) < len(prefix) || string(path[:len(prefix)]) != prefix {
		return nil, false
	}
	rest := path[len(prefix):]
	if len(rest) == 0 {
		return []byte{'/'}, true
	}
	return rest, rest[0] == '/'
}

// handle is the entry of every request.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	began := s.opts.Counters.Now()
	defer s.recovered(ctx)
	if s.upgrade(ctx) {
		return
	}
	if s.draining.Load() {
		ctx.SetConnectionClose()
	}
	cors(ctx)
	if ctx.IsOptions() {
		preflight(ctx)
		return
	}
	c := s.calls.Get().(*call)
	c.reset(ctx, s.opts.PathPrefix)
	if err := s.dispatch(c); err != nil {
		refuse(ctx, s.refusalOf(err))
	}
	s.answered(c, began)
	c.release()
	s.calls.Put(c)
}

// answered counts a request that is done with.
func (s *Server) answered(c *call, began int64) {
	counts := s.unrouted
	if c.route != nil {
		counts = c.route.counts
	}
	counts.Answered(c.ctx.Response.StatusCode(), time.Duration(s.opts.Counters.Now()-began))
	if c.trace != nil {
		c.endTrace()
	}
	if c.admitted {
		of := s.quotas.of(c.app.ID).counts
		of.Requests.Add(1, uint64(len(c.ctx.PostBody())))
		of.AnswerBytes.Add(uint64(len(c.ctx.Response.Body())))
	}
}

func (s *Server) dispatch(c *call) error {
	if len(c.path) == 0 || c.path[0] != '/' {
		return errNotFound
	}
	for i := range s.routes {
		r := &s.routes[i]
		if r.method != string(c.method) || !r.match(c.path, &c.args) {
			continue
		}
		c.route = r
		if err := s.enter(c, r); err != nil {
			return err
		}
		return r.handle(s, c)
	}
	return s.notRouted(c)
}

// enter lets a request pass that may use the route now.
func (s *Server) enter(c *call, r *route) error {
	if r.auth == nil {
		return nil
	}
	if err := r.auth(s, c); err != nil {
		return err
	}
	if r.reads {
		return s.admitRead(c.app)
	}
	if s.opts.Tracer != nil {
		s.traced(c, r)
	}
	return nil
}

// traced begins the span of a request, or goes on with the trace that its sender
// has begun.
func (s *Server) traced(c *call, r *route) {
	c.trace = s.opts.Tracer.Start(r.method+" "+r.path, tracing.Server, string(c.ctx.Request.Header.Peek(tracing.HeaderName)))
	c.trace.Set("dunlin.app", c.app.ID)
}

func (c *call) endTrace() {
	status := c.ctx.Response.StatusCode()
	c.trace.Set("http.response.status_code", status)
	if status >= fasthttp.StatusInternalServerError {
		c.trace.Fail(fasthttp.StatusMessage(status))
	}
	c.trace.End()
}

// notRouted tells a wrong path from a wrong method (RFC 9110 §15.5.6).
func (s *Server) notRouted(c *call) error {
	var allow []string
	for i := range s.routes {
		if r := &s.routes[i]; r.match(c.path, &c.args) && !slices.Contains(allow, r.method) {
			allow = append(allow, r.method)
			if r.method == "GET" {
				allow = append(allow, "HEAD")
			}
		}
	}
	if allow == nil {
		return errNotFound
	}
	return &refusal{
		status: fasthttp.StatusMethodNotAllowed,
		text:   "Method not allowed",
		allow:  strings.Join(append(allow, "OPTIONS"), ", "),
	}
}
