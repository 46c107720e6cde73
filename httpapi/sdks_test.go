package httpapi

import (
	"fmt"
	"slices"
	"strings"
)

// sdk writes requests as one of the official server SDKs does: by its own signing
// steps, its own way to write a query, and its own JSON. Nothing here is code of
// ours that signs or decodes.
type sdk struct {
	name    string
	headers []string
	trigger string // the body of the event that all of them publish; see wantTrigger
	target  func(ask, credentials) string
}

// ask is what an application wants of its SDK, in the application's own words:
// nothing is escaped.
type ask struct {
	method, path string
	params       []string // "name=value"
	body         string
}

// wantTrigger is what sdk.trigger publishes.
var wantTrigger = [3]string{`App\Events\X`, `{"t":"<é/'=&>"}`, "private-a=@,;.b"}

// raw returns the request's bytes, signed with c.
func (k sdk) raw(a ask, c credentials) string {
	return request(a.method, k.target(a, c), a.body, k.headers...)
}

// auth is the parameters that every SDK adds to those of the application.
func (a ask) auth(c credentials) []string {
	list := []string{"auth_key=" + c.key, fmt.Sprintf("auth_timestamp=%d", c.at), "auth_version=1.0"}
	if a.body != "" {
		list = append(list, "body_md5="+hexMD5(a.body))
	}
	return list
}

// sorted returns parameters in order of their names.
func sorted(params ...[]string) []string { return byKey(slices.Concat(params...)) }

// sign signs what an SDK put together, unescaped.
func (a ask) sign(c credentials, params []string) string {
	return "auth_signature=" + hexHMAC(c.secret, a.method+"\n"+a.path+"\n"+strings.Join(params, "&"))
}

// written joins parameters, each name and value as the SDK's HTTP library writes it.
func written(escape func(string) string, params ...string) string {
	list := make([]string, len(params))
	for i, p := range params {
		name, value, _ := strings.Cut(p, "=")
		list[i] = escape(name) + "=" + escape(value)
	}
	return strings.Join(list, "&")
}

// keeping percent-encodes all but RFC 3986's unreserved characters and those of
// safe.
func keeping(safe string) func(string) string {
	const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	return func(s string) string {
		var b strings.Builder
		for i := range len(s) {
			if strings.IndexByte(unreserved+safe, s[i]) >= 0 {
				b.WriteByte(s[i])
			} else {
				fmt.Fprintf(&b, "%%%02X", s[i])
			}
		}
		return b.String()
	}
}

var (
	rfc3986 = keeping("")
	asURL   = keeping("!$%&'()*+,/:;=?@[]") // what a URL parser leaves of a query that was put together by hand
	asItem  = keeping("!$'()*+,/:;?@")      // Foundation's URLQueryItem: + stays, too
	asForm  = func(s string) string { return strings.ReplaceAll(keeping(" ")(s), " ", "+") }
	asIs    = func(s string) string { return s }
)

// sdks are written from PROTOCOL 5.1–5.6 and 8.17–8.23, and from what these SDKs do.
var sdks = []sdk{
	{
		name:    "PHP 7 (Guzzle)",
		headers: []string{"User-Agent: GuzzleHttp/7", "X-Pusher-Library: pusher-http-php 7.2.7"},
		trigger: `{"name":"App\\Events\\X","data":"{\"t\":\"<\u00e9\/'=&>\"}","channel":"private-a=@,;.b"}`,
		target: func(a ask, c credentials) string { // ksort, sign, http_build_query
			params := sorted(a.auth(c), a.params)
			return a.path + "?" + written(rfc3986, append(params, a.sign(c, params))...)
		},
	},
	{
		name:    "PHP 4 (curl)",
		headers: []string{"Accept: */*", "X-Pusher-Library: pusher-http-php 4.0.0", "Expect:"},
		trigger: `{"name":"App\\Events\\X","data":"{\"t\":\"<\u00e9\/'=&>\"}","channels":["private-a=@,;.b"],"socket_id":null}`,
		target: func(a ask, c credentials) string { // ksort, sign, ksort again, nothing escaped
			params := sorted(a.auth(c), a.params)
			return a.path + "?" + written(asIs, sorted(params, []string{a.sign(c, params)})...)
		},
	},
	{
		name:    "Ruby (httpclient)",
		headers: []string{"User-Agent: HTTPClient/1.0 (2.8.3, ruby 3.2.2)", "Date: Fri, 16 Nov 2012 17:49:39 GMT", "X-Pusher-Library: pusher-http-ruby 2.0.3"},
		trigger: `{"name":"App\\Events\\X","channels":["private-a=@,;.b"],"data":"{\"t\":\"<é/'=&>\"}"}`,
		target: func(a ask, c credentials) string { // the gem sorts what it signs, and sends its hash as it grew
			auth := a.auth(c)
			sent := slices.Concat(a.params, auth[3:], []string{auth[2], auth[0], auth[1]})
			return a.path + "?" + written(asForm, append(sent, a.sign(c, sorted(sent)))...)
		},
	},
	{
		name:    "Python (requests)",
		headers: []string{"User-Agent: python-requests/2.32.3", "Accept-Encoding: gzip, deflate", "Accept: */*", "X-Pusher-Library: pusher-http-python 3.3.3"},
		trigger: `{"name": "App\\Events\\X", "channels": ["private-a=@,;.b"], "data": "{\"t\":\"<\u00e9/'=&>\"}"}`,
		target: func(a ask, c credentials) string { // body_md5 always (PROTOCOL 5.10), users without the app (5.49)
			if strings.HasSuffix(a.path, "/terminate_connections") {
				a.path = strings.TrimPrefix(a.path, "/apps/3")
			}
			auth := append(a.auth(c)[:3], "body_md5="+hexMD5(a.body))
			params := sorted(auth, a.params)
			return a.path + "?" + written(asURL, sorted(params, []string{a.sign(c, params)})...)
		},
	},
	{
		name:    "Java (HttpClient)",
		headers: []string{"User-Agent: Apache-HttpClient/4.5.14 (Java/17)", "Accept-Encoding: gzip,deflate", "X-Pusher-Library: pusher-http-java 1.3.4"},
		trigger: `{"name":"App\\Events\\X","channels":["private-a\u003d@,;.b"],"data":"{\"t\":\"\u003cé/\u0027\u003d\u0026\u003e\"}","socket_id":null}`,
		target: func(a ask, c credentials) string { // a HashMap has no order
			params := sorted(a.auth(c), a.params)
			sent := append([]string{a.sign(c, params)}, params...)
			slices.Reverse(sent)
			return a.path + "?" + written(asForm, sent...)
		},
	},
	{
		name:    ".NET (HttpClient)",
		headers: []string{"Pusher-Library-Name: pusher-http-dotnet", "Pusher-Library-Version: 5.0.0.0"},
		trigger: `{"name":"App\\Events\\X","data":"{\"t\":\"<é/'=&>\"}","channels":["private-a=@,;.b"],"socket_id":null,"info":null}`,
		target: func(a ask, c credentials) string { // the signature stands first (PROTOCOL 5.6)
			params := sorted(a.auth(c), a.params)
			return a.path + "?" + written(asURL, append([]string{a.sign(c, params)}, params...)...)
		},
	},
	{
		name:    "Go (net/http)",
		headers: []string{"User-Agent: Go-http-client/1.1", "X-Pusher-Library: pusher-http-go 5.1.1", "Accept-Encoding: gzip"},
		trigger: `{"channels":["private-a=@,;.b"],"data":"{\"t\":\"\u003cé/'=\u0026\u003e\"}","name":"App\\Events\\X"}`,
		target: func(a ask, c credentials) string { // RawQuery, not escaped at all
			params := sorted(a.auth(c), a.params)
			return a.path + "?" + written(asIs, sorted(params, []string{a.sign(c, params)})...)
		},
	},
	{
		name:    "Node (node-fetch)",
		headers: []string{"x-pusher-library: pusher-http-node 5.2.0", "Accept: */*", "User-Agent: node-fetch/1.0 (+https://github.com/bitinn/node-fetch)", "Connection: close"},
		trigger: `{"name":"App\\Events\\X","data":"{\"t\":\"<é/'=&>\"}","channels":["private-a=@,;.b"]}`,
		target: func(a ask, c credentials) string {
			params := sorted(a.auth(c), a.params)
			return a.path + "?" + written(asURL, append(params, a.sign(c, params))...)
		},
	},
	{
		name:    "Swift (URLSession)",
		headers: []string{"User-Agent: CFNetwork/1494.0.7 Darwin/23.4.0", "Accept: */*", "Accept-Language: en-GB,en;q=0.9", "X-Pusher-Library: pusher-http-swift 0.1.0"},
		trigger: `{"channels":["private-a=@,;.b"],"data":"{\"t\":\"<é\/'=&>\"}","name":"App\\Events\\X"}`,
		target: func(a ask, c credentials) string { // signs in the order in which it sends; ; is escaped in the path after that
			params := slices.Concat(a.auth(c), a.params)
			return strings.ReplaceAll(a.path, ";", "%3B") + "?" + written(asItem, append(params, a.sign(c, params))...)
		},
	},
}
