package redis

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
)

// tlsFiles are what a URL's query says of TLS that go-redis does not know.
type tlsFiles struct {
	ca        string // tls_ca: PEM file of the authorities to trust, in place of the system's
	cert, key string // tls_cert, tls_key: PEM files of the certificate that is shown
}

// cutTLSFiles takes them out of a URL.
func cutTLSFiles(text string) (rest string, f tlsFiles, err error) {
	base, query, asked := strings.Cut(text, "?")
	if !asked {
		return text, f, nil
	}
	q, err := url.ParseQuery(query)
	if err != nil {
		return "", f, errors.New("what stands behind the ? can not be read")
	}
	f = tlsFiles{ca: q.Get("tls_ca"), cert: q.Get("tls_cert"), key: q.Get("tls_key")}
	for _, name := range []string{"tls_ca", "tls_cert", "tls_key"} {
		q.Del(name)
	}
	if rest = base; len(q) > 0 {
		rest += "?" + q.Encode()
	}
	return rest, f, nil
}

// apply has c use the files; c is nil without TLS.
func (f tlsFiles) apply(c *tls.Config) error {
	switch {
	case f == tlsFiles{}:
		return nil
	case c == nil:
		return errors.New("tls_ca, tls_cert and tls_key are for URLs with TLS, which begin with rediss")
	case (f.cert == "") != (f.key == ""):
		return errors.New("tls_cert and tls_key belong together")
	}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return fmt.Errorf("tls_ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("tls_ca: there is no certificate in %s", f.ca)
		}
	}
	if f.cert != "" {
		own, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return fmt.Errorf("tls_cert: %w", err)
		}
		c.Certificates = []tls.Certificate{own}
	}
	return nil
}
