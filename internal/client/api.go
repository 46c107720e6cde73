package client

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"dunlin/protocol"
)

// API calls the HTTP API of one app and signs for it, as a backend does. It may
// be used by any number of goroutines.
type API struct {
	// HTTPClient and Now may be replaced before the first call.
	HTTPClient *http.Client
	Now        func() time.Time

	base   string // with the path prefix, without the last slash
	app    string
	key    string
	secret *protocol.Secret
}

// NewAPI returns a client for one app. base is an http or https URL, path prefix
// included.
func NewAPI(base, appID, key string, secret *protocol.Secret) *API {
	return &API{
		HTTPClient: http.DefaultClient, Now: time.Now,
		base: strings.TrimRight(base, "/"), app: appID, key: key, secret: secret,
	}
}

// Publication is one event for Trigger or Batch (PROTOCOL 5.16, 5.30).
type Publication struct {
	Name     string   `json:"name"`
	Data     string   `json:"data"`
	Channel  string   `json:"channel,omitempty"`
	Channels []string `json:"channels,omitempty"` // Trigger only
	SocketID string   `json:"socket_id,omitempty"`
	Info     string   `json:"info,omitempty"`
}

// ChannelInfo holds the attributes that were asked for; the others are nil.
type ChannelInfo struct {
	UserCount         *int `json:"user_count"`
	SubscriptionCount *int `json:"subscription_count"`
}

// Trigger publishes one event. The map is nil unless p.Info asks for something.
func (a *API) Trigger(ctx context.Context, p Publication) (map[string]ChannelInfo, error) {
	var answer struct {
		Channels map[string]ChannelInfo `json:"channels"`
	}
	err := a.post(ctx, "/events", p, &answer)
	return answer.Channels, err
}

// Batch publishes events in order, all or none. The infos stand in the events'
// order and are nil unless an event asks for some.
func (a *API) Batch(ctx context.Context, batch ...Publication) ([]ChannelInfo, error) {
	var answer struct {
		Batch []ChannelInfo `json:"batch"`
	}
	err := a.post(ctx, "/batch_events", map[string]any{"batch": batch}, &answer)
	return answer.Batch, err
}

func (a *API) post(ctx context.Context, path string, body, out any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode the body of %s: %w", path, err)
	}
	return a.call(ctx, http.MethodPost, path, nil, b, out)
}

// Get reads a path below /apps/{id}, such as "/channels", into out.
func (a *API) Get(ctx context.Context, path string, params url.Values, out any) error {
	return a.call(ctx, http.MethodGet, path, params, nil, out)
}

// call does what Do does, takes any status but 200 for an error, and decodes the
// answer.
func (a *API) call(ctx context.Context, method, path string, params url.Values, body []byte, out any) error {
	r, err := a.Do(ctx, method, path, params, body)
	if err != nil {
		return err
	}
	if r.Status != http.StatusOK {
		return r.Refusal()
	}
	if err := json.Unmarshal(r.Body, out); err != nil {
		return fmt.Errorf("answer to %s %s: %w", method, path, err)
	}
	return nil
}

// Response is an answer of the HTTP API, whatever its status.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do signs and sends a request for a path below /apps/{id}. An answer of any
// status is no error.
func (a *API) Do(ctx context.Context, method, path string, params url.Values, body []byte) (Response, error) {
	target, err := url.Parse(a.base + "/apps/" + a.app + path)
	if err != nil {
		return Response{}, fmt.Errorf("path %q: %w", path, err)
	}
	target.RawQuery = a.signed(method, target.EscapedPath(), params, body).Encode()
	req, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(body))
	if err != nil {
		return Response{}, err
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := a.HTTPClient.Do(req)
	if err != nil {
		// The error's text names the URL, which holds a signature good for ten minutes.
		return Response{}, fmt.Errorf("%s %s: %w", method, path, hideQuery(err))
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return Response{}, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return Response{res.StatusCode, res.Header, b}, nil
}

func hideQuery(err error) error {
	if u, ok := err.(*url.Error); ok {
		return u.Err
	}
	return err
}

// signed returns params with the authentication of a request (PROTOCOL 5.1).
func (a *API) signed(method, path string, params url.Values, body []byte) url.Values {
	q := url.Values{}
	maps.Copy(q, params)
	q.Set("auth_key", a.key)
	q.Set("auth_timestamp", strconv.FormatInt(a.Now().Unix(), 10))
	q.Set("auth_version", "1.0")
	if len(body) > 0 {
		sum := md5.Sum(body)
		q.Set("body_md5", hex.EncodeToString(sum[:]))
	}
	q.Set("auth_signature", a.secret.Sign([]byte(toSign(method, path, q))))
	return q
}

// toSign is METHOD, PATH and QUERY on a line each: keys in lower case and sorted,
// values not escaped (PROTOCOL 5.2).
func toSign(method, path string, q url.Values) string {
	pairs := make([]string, 0, len(q))
	for _, k := range slices.SortedFunc(maps.Keys(q), func(x, y string) int {
		return strings.Compare(strings.ToLower(x), strings.ToLower(y))
	}) {
		for _, v := range q[k] {
			pairs = append(pairs, strings.ToLower(k)+"="+v)
		}
	}
	return method + "\n" + path + "\n" + strings.Join(pairs, "&")
}

// Authorize signs a subscription as a backend's authorisation endpoint does
// (PROTOCOL 2.13, 2.14). channelData is "" for channels without members.
func (a *API) Authorize(socketID, channel, channelData string) Authorization {
	text := socketID + ":" + channel
	if channelData != "" {
		text += ":" + channelData
	}
	return Authorization{Auth: a.key + ":" + a.secret.Sign([]byte(text)), ChannelData: channelData}
}

// StatusError is a refusal by the HTTP API.
type StatusError struct {
	Status     int
	Text       string        // the body without its newline
	RetryAfter time.Duration // 0 when the server gave none
}

// Refusal is the error that an answer of any status but 200 is.
func (r Response) Refusal() *StatusError {
	e := &StatusError{Status: r.Status, Text: strings.TrimSuffix(string(r.Body), "\n")}
	if s, err := strconv.Atoi(r.Header.Get("Retry-After")); err == nil {
		e.RetryAfter = time.Duration(s) * time.Second
	}
	return e
}

func (e *StatusError) Error() string { return strconv.Itoa(e.Status) + " " + e.Text }
