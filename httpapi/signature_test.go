package httpapi

import (
	"strings"
	"testing"

	"dunlin/protocol"
)

// TestSignatureVectors signs the vectors.
//
// PROTOCOL 5.3.
func TestSignatureVectors(t *testing.T) {
	t.Parallel()
	const auth = "auth_key=" + testKey + "&auth_timestamp=1353088179&auth_version=1.0"
	for _, v := range []struct{ name, secret, method, path, query, want string }{
		{"trigger", testSecret, "POST", "/apps/3/events", auth + "&body_md5=ec365a775a4cd0599faeb73354201b6f",
			"da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"},
		{"channels", testSecret, "GET", "/apps/3/channels", auth + "&filter_by_prefix=presence-&info=user_count",
			"16819168891cb5dfd72b5c7a5d3d602605b26c6ba1930033b5e2eeeb65010291"},
		{"python", testSecret, "GET", "/apps/3/channels", auth + "&body_md5=d41d8cd98f00b204e9800998ecf8427e",
			"5c3cd75022c4f62c35ad22f6a9cce366c860477a3b7092ca790ecfc17e6af302"},
		{"gem", "secret", "POST", "/some/path", "auth_key=key&auth_timestamp=1234&auth_version=1.0&go=here&query=params",
			"3b237953a5ba6619875cbb2a2d43e8da9ef5824e8a2c689f6284ac85bc1ea0db"},
	} {
		for order, query := range map[string]string{"sorted": v.query, "reversed": reversed(v.query)} {
			var q parameters
			q.parse([]byte(query + "&auth_signature=" + v.want))
			signed := appendToSign(nil, []byte(v.method), []byte(v.path), &q, formDecoded)
			if got := protocol.NewSecret(v.secret).Sign(signed); got != v.want {
				t.Errorf("%s, %s: %s over %q, want %s", v.name, order, got, signed, v.want)
			}
		}
	}
}

// parameters is query where a variable has that name.
type parameters = query

func reversed(query string) string {
	parts := strings.Split(query, "&")
	for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	return strings.Join(parts, "&")
}

// TestStringToSign: keys lower-cased and sorted, values decoded once, arrays in order of
// appearance, nil values empty.
//
// PROTOCOL 5.2, 5.4, 5.5, 5.7.
func TestStringToSign(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		query string
		form  form
		want  string
	}{
		{"b=2&a=1", formDecoded, "a=1&b=2"},
		{"B=2&a=1&Auth_Signature=x", formDecoded, "a=1&b=2"},
		{"channels[]=z&channels[]=a&b=1", formDecoded, "b=1&channels[]=z&channels[]=a"},
		{"channels%5B%5D=z&channels%5b%5d=a", formDecoded, "channels[]=z&channels[]=a"},
		{"nil&a=1", formDecoded, "a=1&nil="},
		{"nil=&a=1&&", formDecoded, "a=1&nil="},
		{"a=x%3Dy%26z", formDecoded, "a=x=y&z"},
		{"a=x=y", formDecoded, "a=x=y"},
		{"a=1+2%2B3", formDecoded, "a=1 2+3"},
		{"a=1+2%2B3", formRaw, "a=1+2%2B3"},
		{"a=1+2%2B3", formPercents, "a=1+2+3"},
		{"a=100%&b=%zz&c=%4", formDecoded, "a=100%&b=%zz&c=%4"},
		{"a=%C3%A9é", formDecoded, "a=éé"},
		{"", formDecoded, ""},
		{"auth_signature=x", formDecoded, ""},
	} {
		var q query
		q.parse([]byte(v.query))
		if got := string(q.appendSigned(nil, v.form)); got != v.want {
			t.Errorf("%q form %d: %q, want %q", v.query, v.form, got, v.want)
		}
	}
}

// TestQueryReuse: a query holds nothing of the request before.
func TestQueryReuse(t *testing.T) {
	t.Parallel()
	var q query
	q.parse([]byte("A=%41&auth_signature=1&b=2"))
	q.parse([]byte("c=d"))
	if got := string(q.appendSigned(nil, formDecoded)); got != "c=d" || q.signature != -1 || q.escaped {
		t.Errorf("%q, signature at %d, escaped %v", got, q.signature, q.escaped)
	}
}

// TestDecodedTextSurvivesGrowth: values decoded first stay when memory grows.
func TestDecodedTextSurvivesGrowth(t *testing.T) {
	t.Parallel()
	var q query
	var parts, want []string
	for i := range 200 {
		k := string([]byte{'a' + byte(i/26), 'a' + byte(i%26)})
		parts = append(parts, k+"=%41+"+k)
		want = append(want, k+"=A "+k)
	}
	q.parse([]byte(strings.Join(parts, "&")))
	if got := string(q.appendSigned(nil, formDecoded)); got != strings.Join(want, "&") {
		t.Errorf("got %q", got)
	}
}

// TestInspect quotes as Ruby does.
//
// PROTOCOL 5.12.
func TestInspect(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"POST\n/apps":         `"POST\n/apps"`,
		`a"b\c`:               `"a\"b\\c"`,
		"\t\r\x1b\a\b\v\f":    `"\t\r\e\a\b\v\f"`,
		"#{x} #$x #@x # #x":   `"\#{x} \#$x \#@x # #x"`,
		"é€😀":                 `"é€😀"`,
		"\x00\x1f\x7f":        `"\u0000\u001F\x7F"`,
		"\u200b\U000e0001":    `"\u200B\u{E0001}"`,
		"\xff\xc3(":           `"\xFF\xC3("`,
		"":                    `""`,
		"channels[]=a&b=c d+": `"channels[]=a&b=c d+"`,
	} {
		if got := string(inspect(nil, []byte(in))); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}
