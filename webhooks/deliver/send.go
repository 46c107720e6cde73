package deliver

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"dunlin/apps"
	"dunlin/internal/tracing"
	"dunlin/metrics"
)

// Headers of a request. The first three are those of hosted Pusher (PROTOCOL
// 6.2), in canonical case (6.4).
const (
	HeaderKey       = "X-Pusher-Key"
	HeaderSignature = "X-Pusher-Signature"
	contentType     = "application/json" // exactly, without a charset

	// HeaderDelivery names what a request delivers: equal in all its repetitions.
	HeaderDelivery = "X-Dunlin-Delivery-Id"
	// HeaderAttempt counts the attempts, from 1.
	HeaderAttempt = "X-Dunlin-Attempt"
	// HeaderEvents lists the ids of the body's events, in their order.
	HeaderEvents = "X-Dunlin-Event-Ids"
)

// Bounds of an answer. Nothing in it is of use but its status and Retry-After.
const (
	maxAnswerHeader = 16 << 10
	maxAnswerBody   = 64 << 10
)

// answer is how an attempt ended.
type answer struct {
	outcome metrics.Attempt
	reason  string        // of a failure, for people; never holds a secret
	asked   time.Duration // wait that the endpoint asked for
}

// sender posts bodies.
type sender struct {
	tracer  *tracing.Tracer
	client  *fasthttp.Client
	timeout time.Duration
	now     func() time.Time
}

func newSender(o *Options) *sender {
	return &sender{tracer: o.Tracer, timeout: o.Timeout, now: o.Now, client: &fasthttp.Client{
		Name:                      o.Agent,
		DialTimeout:               dialer(o.AllowPrivate),
		TLSConfig:                 tlsConfig(o.TLS),
		MaxConnsPerHost:           1 << 16, // endpoints bound their own requests
		MaxIdleConnDuration:       4 * time.Second,
		MaxIdemponentCallAttempts: 1 << 16,
		RetryIfErr:                unsent,
		ReadBufferSize:            maxAnswerHeader,
		MaxResponseBodySize:       maxAnswerBody,
		DisablePathNormalizing:    true,
		// No read or write timeout: those would count anew for each step. The request's
		// own one bounds connecting, TLS, writing and reading together.
	}}
}

// unsent says whether the client may try again by itself: when nothing was written.
// All other attempts are counted here.
func unsent(_ *fasthttp.Request, _ int, err error) (resetTimeout, again bool) {
	return false, errors.Is(err, errStale)
}

func tlsConfig(c *tls.Config) *tls.Config {
	if c == nil {
		c = &tls.Config{}
	}
	c = c.Clone()
	c.MinVersion = tls.VersionTLS12
	return c
}

// post sends a batch once. The secret is looked up now, so that it is the present
// one, and stands in no queue.
func (s *sender) post(app *apps.App, w *apps.Webhook, b *batch) answer {
	span := s.tracer.StartAfter("webhook", tracing.Client, b.traces)
	defer span.End()
	a := s.request(app, w, b, span.Header())
	span.Set("dunlin.app", app.ID)
	span.Set("dunlin.outcome", a.outcome.String())
	span.Set("dunlin.attempt", b.attempts)
	if a.outcome != metrics.AttemptDelivered {
		span.Fail(a.reason)
	}
	return a
}

// request is post with the traceparent header that goes along, "" for none.
func (s *sender) request(app *apps.App, w *apps.Webhook, b *batch, trace string) answer {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	setURL(req, w.URL)
	req.Header.SetMethod(fasthttp.MethodPost)
	for _, h := range w.Headers {
		req.Header.Set(h.Name, h.Value.Reveal())
	}
	// After the endpoint's own headers, which replace none of these.
	req.Header.SetContentType(contentType)
	req.Header.Set(HeaderKey, app.Key)
	req.Header.Set(HeaderSignature, app.HookSecret().Sign(b.body))
	req.Header.Set(HeaderDelivery, b.delivery)
	req.Header.Set(HeaderAttempt, strconv.Itoa(b.attempts))
	req.Header.Set(HeaderEvents, b.ids)
	if trace != "" {
		req.Header.Set(tracing.HeaderName, trace)
	}
	req.SetBodyRaw(b.body)
	err := s.client.DoTimeout(req, resp, s.timeout)
	if err != nil && !errors.Is(err, fasthttp.ErrBodyTooLarge) { // then the status is known
		return s.failure(err)
	}
	status := resp.StatusCode()
	if status/100 == 2 {
		return answer{outcome: metrics.AttemptDelivered}
	}
	a := answer{outcome: metrics.AttemptStatus, reason: fmt.Sprintf("answered %d", status)}
	if text := fasthttp.StatusMessage(status); text != "" && text != "Unknown Status Code" {
		a.reason += " " + text
	}
	if status/100 == 3 {
		a.reason += "; redirects are not followed"
	}
	a.asked = retryAfter(string(resp.Header.Peek(fasthttp.HeaderRetryAfter)), s.now())
	return a
}

// setURL sets where a request goes. A user and a password in the URL are Basic
// authentication; fasthttp would take them with their escapes.
func setURL(req *fasthttp.Request, address string) {
	if u, err := url.Parse(address); err == nil && u.User != nil {
		password, _ := u.User.Password()
		credentials := u.User.Username() + ":" + password
		req.Header.Set(fasthttp.HeaderAuthorization, "Basic "+base64.StdEncoding.EncodeToString([]byte(credentials)))
		u.User = nil
		address = u.String()
	}
	req.SetRequestURI(address)
}

// failure explains an attempt that had no answer.
func (s *sender) failure(err error) answer {
	var timed net.Error
	var small *fasthttp.ErrSmallBuffer
	switch {
	case errors.Is(err, errTarget):
		return answer{outcome: metrics.AttemptRefused, reason: err.Error()}
	case errors.Is(err, fasthttp.ErrTimeout), errors.As(err, &timed) && timed.Timeout():
		return answer{outcome: metrics.AttemptTimeout, reason: fmt.Sprintf("no answer within %s", s.timeout)}
	case errors.Is(err, fasthttp.ErrConnectionClosed):
		return answer{outcome: metrics.AttemptNetwork, reason: "closed the connection without an answer"}
	case errors.As(err, &small):
		return answer{outcome: metrics.AttemptNetwork, reason: fmt.Sprintf("answered with headers of more than %d bytes", maxAnswerHeader)}
	}
	return answer{outcome: metrics.AttemptNetwork, reason: clip(err.Error())}
}

// clip bounds a reason, which may quote what an endpoint sent.
func clip(text string) string {
	const most = 300
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
