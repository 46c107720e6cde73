package httpapi

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"testing"

	"dunlin/cluster"

	"github.com/valyala/fasthttp"
)

// nullEngine publishes to nobody.
type nullEngine struct{ cluster.Engine }

func (nullEngine) Publish(context.Context, []cluster.Publication) ([]cluster.Receipt, error) {
	return nil, nil
}

// bare does the least that a signed request costs: an MD5 and an HMAC. It is what
// the budget of a trigger is a multiple of.
func bare(ctx *fasthttp.RequestCtx) {
	m := md5.Sum(ctx.PostBody())
	_ = hex.EncodeToString(m[:])
	h := hmac.New(sha256.New, []byte(testSecret))
	h.Write([]byte("POST\n"))
	h.Write(ctx.Path())
	h.Write(ctx.QueryArgs().QueryString())
	_ = hex.EncodeToString(h.Sum(nil))
	ctx.SetContentType("application/json")
	ctx.WriteString("{}")
}

func benchBody(size int) string {
	return `{"name":"my-event","channels":["my-channel"],"data":"{\"message\":\"` + strings.Repeat("x", size) + `\"}"}`
}

func benchServer(b *testing.B) *fixture {
	return build(b, func(o *Options) {
		o.Hub = hubOf(nullEngine{}, o.Apps, o.Counters)
	})
}

func benchContext(body string) *fasthttp.RequestCtx {
	ctx := new(fasthttp.RequestCtx)
	ctx.Request.Header.SetMethod("POST")
	ctx.Request.Header.SetRequestURI(app3.target("POST", "/apps/3/events", body))
	ctx.Request.SetBodyString(body)
	return ctx
}

var benchSizes = []int{50, 1000, 10000}

// BenchmarkEvents is the whole handler but the hub.
func BenchmarkEvents(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			f, ctx := benchServer(b), benchContext(benchBody(size))
			runHandler(b, f.server.handle, ctx)
		})
	}
}

// BenchmarkEventsBare is the baseline of BenchmarkEvents.
func BenchmarkEventsBare(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) { runHandler(b, bare, benchContext(benchBody(size))) })
	}
}

func runHandler(b *testing.B, handle fasthttp.RequestHandler, ctx *fasthttp.RequestCtx) {
	b.ReportAllocs()
	for b.Loop() {
		ctx.Response.Reset()
		handle(ctx)
	}
	if got := string(ctx.Response.Body()); got != "{}" {
		b.Fatal(got)
	}
}

// BenchmarkAuth is parsing the query and all of authentication.
func BenchmarkAuth(b *testing.B) {
	f, ctx := benchServer(b), benchContext(benchBody(50))
	var c call
	id := []byte("3")
	b.ReportAllocs()
	for b.Loop() {
		c.reset(ctx, "")
		c.args[0] = id
		if err := f.server.authenticate(&c); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAuthBare is the MD5 and the HMAC that BenchmarkAuth cannot do without.
func BenchmarkAuthBare(b *testing.B) {
	body := []byte(benchBody(50))
	target := []byte("POST\n" + app3.target("POST", "/apps/3/events", string(body)))
	app := benchServer(b).apps.ByID("3")
	signature := []byte(strings.Repeat("0", 64))
	b.ReportAllocs()
	for b.Loop() {
		m := md5.Sum(body)
		var text [2 * md5.Size]byte
		hex.Encode(text[:], m[:])
		if app.Verify(signature, target) {
			b.Fatal("cannot be")
		}
	}
}

// BenchmarkEventsServed and its baseline put both handlers behind fasthttp and a
// loopback socket, as the budget is counted.
func BenchmarkEventsServed(b *testing.B) {
	f := benchServer(b)
	serveBench(b, f.server.fast)
}

// BenchmarkEventsServedBare is the baseline of BenchmarkEventsServed.
func BenchmarkEventsServedBare(b *testing.B) {
	serveBench(b, &fasthttp.Server{Handler: bare})
}

func serveBench(b *testing.B, server *fasthttp.Server) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go server.Serve(ln)
	defer server.Shutdown()
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	raw := []byte(app3.request("POST", "/apps/3/events", benchBody(50)))
	buf := make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := nc.Write(raw); err != nil {
			b.Fatal(err)
		}
		n, err := nc.Read(buf)
		if err != nil || !strings.HasSuffix(string(buf[:n]), "{}") {
			b.Fatalf("%q %v", buf[:n], err)
		}
	}
}
