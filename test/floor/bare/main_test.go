package main

import (
	"testing"

	"github.com/valyala/fasthttp"
)

func TestBare(t *testing.T) {
	t.Parallel()
	var ctx fasthttp.RequestCtx
	ctx.Request.Header.SetMethod(fasthttp.MethodPost)
	ctx.Request.SetRequestURI("/apps/a/events?auth_key=k")
	ctx.Request.SetBodyString("{}")
	if handle(&ctx); ctx.Response.StatusCode() != fasthttp.StatusOK || string(ctx.Response.Body()) != "{}" {
		t.Errorf("answer %s", &ctx.Response)
	}
}
