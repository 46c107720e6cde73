package httpapi

import "github.com/valyala/fasthttp"

var (
	methodGet   = []byte("GET")
	contentJSON = []byte("application/json")
	contentText = []byte("text/plain; charset=utf-8")

	headerOrigin = []byte(fasthttp.HeaderAccessControlAllowOrigin)
	anyOrigin    = []byte("*")
)

// cors lets a page of any origin read the answer. Requests are signed and carry
// no cookies, so there is nothing to protect from pages.
func cors(ctx *fasthttp.RequestCtx) {
	ctx.Response.Header.SetCanonical(headerOrigin, anyOrigin)
}

// preflight answers OPTIONS, on any path (PROTOCOL 7.4).
func preflight(ctx *fasthttp.RequestCtx) {
	h := &ctx.Response.Header
	h.Set(fasthttp.HeaderAccessControlAllowMethods, "POST, GET, HEAD, OPTIONS")
	h.Set(fasthttp.HeaderAccessControlAllowHeaders, "Content-Type, X-Pusher-Library, X-Requested-With")
	h.Set(fasthttp.HeaderAccessControlMaxAge, "86400")
	ctx.SetStatusCode(fasthttp.StatusNoContent)
}

// answer sends JSON. body is copied.
func answer(c *call, body []byte) error {
	c.ctx.Response.Header.SetContentTypeBytes(contentJSON)
	c.ctx.Response.SetBody(body)
	return nil
}

// answerEmpty is the answer to what was done: exactly {} (PROTOCOL 5.20).
func answerEmpty(c *call) error {
	c.ctx.Response.Header.SetContentTypeBytes(contentJSON)
	c.ctx.Response.SetBodyString("{}")
	return nil
}

func answerText(c *call, text string) error {
	c.ctx.Response.Header.SetContentTypeBytes(contentText)
	c.ctx.Response.SetBodyString(text)
	return nil
}
