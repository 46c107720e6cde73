package httpapi

import (
	"context"
	"errors"
	"net"
	"runtime/debug"
	"strconv"

	"dunlin/cluster"
	"dunlin/metrics"

	"github.com/valyala/fasthttp"
)

// refusal is an answer other than success: a status of the table in PROTOCOL 5i
// and a line for the developer who reads it.
type refusal struct {
	status     int
	text       string          // without the final newline (PROTOCOL 5.60)
	retryAfter int             // seconds; 0: no header
	allow      string          // for 405
	cause      metrics.Refusal // of a failed authentication
}

func (r *refusal) Error() string { return r.text }

// Answers that carry nothing of the request.
var (
	errNotFound    = &refusal{status: fasthttp.StatusNotFound, text: "Not found"}
	errUnknownApp  = &refusal{status: fasthttp.StatusNotFound, text: "Unknown app_id", cause: metrics.RefusedAPIApp}
	errDisabled    = &refusal{status: fasthttp.StatusForbidden, text: "App is disabled", cause: metrics.RefusedAPIDisabled}
	errUnavailable = &refusal{status: fasthttp.StatusServiceUnavailable, text: "Service unavailable, please retry", retryAfter: 1}
	errUncertain   = &refusal{status: fasthttp.StatusServiceUnavailable, text: "No answer in time: the events may have been published, and a retry may publish them again", retryAfter: 1}
	errInternal    = &refusal{status: fasthttp.StatusInternalServerError, text: "Internal server error"}
)

func badRequest(text string) *refusal {
	return &refusal{status: fasthttp.StatusBadRequest, text: text}
}

func unauthorized(cause metrics.Refusal, text string) *refusal {
	return &refusal{status: fasthttp.StatusUnauthorized, text: text, cause: cause}
}

func tooLarge(text string) *refusal {
	return &refusal{status: fasthttp.StatusRequestEntityTooLarge, text: text}
}

// refusalOf is the one place where an error becomes a status.
func (s *Server) refusalOf(err error) *refusal {
	var r *refusal
	switch {
	case errors.As(err, &r):
		return r
	case errors.Is(err, cluster.ErrUncertain):
		s.opts.Log.Debug("request without an outcome", "error", err)
		return errUncertain
	case errors.Is(err, cluster.ErrUnavailable),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		s.opts.Log.Debug("request refused, to be retried", "error", err)
		return errUnavailable
	default:
		s.opts.Log.Error("request failed", "error", err)
		return errInternal
	}
}

// refuse writes a refusal: plain text with a final newline (PROTOCOL 5.60, 5.61).
func refuse(ctx *fasthttp.RequestCtx, r *refusal) {
	h := &ctx.Response.Header
	ctx.SetStatusCode(r.status)
	h.SetContentTypeBytes(contentText)
	if r.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(r.retryAfter))
	}
	if r.allow != "" {
		h.Set("Allow", r.allow)
	}
	ctx.Response.SetBodyString(r.text)
	ctx.Response.AppendBodyString("\n")
}

// malformed answers what fasthttp could not read as a request. It closes the
// connection afterwards.
func (s *Server) malformed(ctx *fasthttp.RequestCtx, err error) {
	var small *fasthttp.ErrSmallBuffer
	var network net.Error
	r := badRequest("Bad request: this is not valid HTTP")
	switch {
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		r = tooLarge("The request body exceeds the allowed maximum (" + strconv.Itoa(s.opts.MaxRequestBytes) + " bytes)")
	case errors.As(err, &small):
		r = &refusal{status: fasthttp.StatusRequestHeaderFieldsTooLarge,
			text: "The request line and headers exceed the allowed maximum (" + strconv.Itoa(maxHeaderBytes) + " bytes)"}
	case errors.As(err, &network) && network.Timeout():
		r = &refusal{status: fasthttp.StatusRequestTimeout, text: "Request timeout"}
	}
	if c, ok := ctx.Conn().(*conn); ok {
		c.refuse.Store(true)
	}
	ctx.Response.Reset()
	cors(ctx)
	refuse(ctx, r)
	s.garbled.Answered(r.status, 0)
}

// recovered keeps a panic from being more than the end of one connection
// (fasthttp lets it end the process).
func (s *Server) recovered(ctx *fasthttp.RequestCtx) {
	v := recover()
	if v == nil {
		return
	}
	s.count(v)
	ctx.Response.Reset()
	cors(ctx)
	refuse(ctx, errInternal)
	ctx.SetConnectionClose()
}

// count counts and logs a panic that was recovered.
func (s *Server) count(v any) {
	s.opts.Counters.Shared().Drop(metrics.DropPanic)
	s.opts.Log.Error("panic in a request", "panic", v, "stack", string(debug.Stack()))
}
