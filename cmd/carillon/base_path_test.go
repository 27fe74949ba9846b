package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"carillon/internal/testkit"
)

// TestBelowAPath: behind nginx with TLS and below a path, whether nginx takes the path away or not, the log-in, pages,
// their files, live numbers, exports, the monitor and the contract work, and nothing leads out of the path.
func TestBelowAPath(t *testing.T) {
	t.Parallel()
	file := string(must(os.ReadFile("../../deploy/nginx-console.conf")))
	certificate, key, roots := selfSigned(t)
	for name, pass := range map[string]string{"passed on": "http://carillon_console;", "taken away": "http://carillon_console/;"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := serve(t, "--data-dir", filepath.Join(t.TempDir(), "data"), "--secret", testSecret, "--base-path", "/carillon", "--trusted-proxies", "127.0.0.1")
			direct := p.ready()
			token := adminToken(t)
			site := file
			for from, to := range map[string]string{
				"127.0.0.1:8080": address(direct), "/etc/ssl/carillon.pem": certificate, "/etc/ssl/carillon.key": key, "http://carillon_console;": pass,
			} {
				if strings.Count(site, from) != 1 {
					t.Fatalf("deploy/nginx-console.conf names %s %d times", from, strings.Count(site, from))
				}
				site = strings.Replace(site, from, to, 1)
			}
			nginx := testkit.PrivateNginx(t, func(port int) string {
				return strings.Replace(site, "listen 443 ssl;", fmt.Sprintf("listen 127.0.0.1:%d ssl;", port), 1)
			})
			b := &pathReader{t: t, site: strings.Replace(nginx.URL(), "http:", "https:", 1), client: &http.Client{
				Jar: must(cookiejar.New(nil)), Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
				CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			}}
			b.leads("/carillon", "/carillon/")
			b.leads("/carillon/", "/carillon/login?next=%2F")
			res := b.send(http.MethodPost, "/carillon/login", url.Values{"token": {token}, "next": {"/"}})
			if to := res.Header.Get("Location"); res.StatusCode != http.StatusSeeOther || to != "/carillon/" {
				t.Fatalf("the log-in: %d to %q", res.StatusCode, to)
			}
			cookie := res.Header.Get("Set-Cookie")
			for _, part := range []string{"Path=/carillon/;", "Secure", "HttpOnly", "SameSite=Lax"} {
				if !strings.Contains(cookie, part) {
					t.Errorf("the session's cookie has no %s", part)
				}
			}
			if r := call(t, http.MethodPost, direct+"/v1/users", token, `{"users":[{"userID":"below-1"}]}`); r.status != http.StatusOK {
				t.Fatal(r.body)
			}
			r := call(t, http.MethodPost, direct+"/v1/campaigns", token, `{"audience":{"all":true},"message":{"sendID":"imAdmin","contentType":101,"content":{"content":"hi"}}}`)
			id := regexp.MustCompile(`"id":"([^"]+)"`).FindStringSubmatch(r.body)[1]
			p.completed(direct, token, id)
			for _, path := range []string{"/", "/campaigns", "/campaigns/" + id, "/monitor/", "/docs", "/login"} {
				b.whole("/carillon" + path)
			}
			if live := b.firstEvent("/carillon/campaigns/" + id + "/live"); !strings.Contains(live, "data:") {
				t.Errorf("the first event is %q", live)
			}
			if csv := b.read("/carillon/v1/campaigns/" + id + "/recipients.csv"); !strings.Contains(csv, "below-1") {
				t.Errorf("the export is %q", csv)
			}
			if contract := b.read("/carillon/openapi.yaml"); !strings.Contains(contract, "- url: /carillon\n") {
				t.Error("the contract does not name the path")
			}
			// The command line goes there too, and the neighbours' checks go without the path.
			code, out, errs := finish(t, "campaigns", "show", id, "--server", direct+"/carillon", "--token", token)
			if code != 0 || !strings.Contains(out, id) {
				t.Errorf("the command line: %d %s %s", code, out, errs)
			}
		})
	}
}

// pathReader goes through nginx, without JavaScript.
type pathReader struct {
	t      *testing.T
	site   string
	client *http.Client
}

func (b *pathReader) send(method, path string, form url.Values) *http.Response {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.site+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", b.site)
	}
	res, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func (b *pathReader) read(path string) string {
	b.t.Helper()
	res := b.send(http.MethodGet, path, nil)
	raw, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		b.t.Errorf("%s: %d %v", path, res.StatusCode, err)
	}
	return string(raw)
}

func (b *pathReader) leads(path, to string) {
	b.t.Helper()
	res := b.send(http.MethodGet, path, nil)
	if got := res.Header.Get("Location"); strings.TrimPrefix(got, b.site) != to {
		b.t.Errorf("%s leads to %q, not %q", path, got, to)
	}
}

// whole opens a page: nothing that it names stands outside of the path, and what it loads is there.
func (b *pathReader) whole(path string) {
	b.t.Helper()
	page, err := goquery.NewDocumentFromReader(strings.NewReader(b.read(path)))
	if err != nil {
		b.t.Fatal(err)
	}
	here := must(url.Parse(b.site + path))
	page.Find("[href], [src], [action], [spec-url], [hx-get], [hx-post]").Each(func(_ int, one *goquery.Selection) {
		for _, name := range []string{"href", "src", "action", "spec-url", "hx-get", "hx-post"} {
			link, ok := one.Attr(name)
			if !ok || strings.HasPrefix(link, "data:") || strings.HasPrefix(link, "#") {
				continue
			}
			to, err := here.Parse(link)
			switch {
			case err != nil:
				b.t.Errorf("%s: %q: %v", path, link, err)
			case to.Host != here.Host:
				if goquery.NodeName(one) != "a" && !strings.Contains(link, "fonts.g") { // which the monitor's policy refuses
					b.t.Errorf("%s loads %s", path, link)
				}
			case !strings.HasPrefix(to.Path, "/carillon/"):
				b.t.Errorf("%s leads out of the path: %s", path, link)
			case name == "src" || goquery.NodeName(one) == "link":
				b.read(to.RequestURI())
			}
		}
	})
}

// firstEvent reads a stream up to its first data.
func (b *pathReader) firstEvent(path string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.site+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	res, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "data:") {
			return lines.Text()
		}
	}
	return ""
}

// selfSigned makes a certificate for 127.0.0.1: its files, and who trusts it.
func selfSigned(t *testing.T) (certificate, key string, roots *x509.CertPool) {
	t.Helper()
	secret := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, &secret.PublicKey, secret))
	dir := t.TempDir()
	certificate, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{
		certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(secret))},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots = x509.NewCertPool()
	roots.AddCert(must(x509.ParseCertificate(der)))
	return certificate, key, roots
}
