package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
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

	"carillon/internal/testkit"
)

// TestBelowAPath: behind nginx with TLS and below a path, whether nginx takes the path away or not, all that a page names
// stands below the path and is there. So does all that a browser asks for: the log-in, live numbers, the monitor, the contract.
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
			if to := res.header.Get("Location"); res.status != http.StatusSeeOther || to != "/carillon/" {
				t.Fatalf("the log-in: %d to %q", res.status, to)
			}
			cookie := res.header.Get("Set-Cookie")
			for _, part := range []string{"Path=/carillon/;", "Secure", "HttpOnly", "SameSite=Lax"} {
				if !strings.Contains(cookie, part) {
					t.Errorf("the session's cookie has no %s", part)
				}
			}
			if printed := p.stdout.String(); !strings.Contains(printed, " "+direct+"/carillon/ ") {
				t.Errorf("it prints another address of the console: %s", printed)
			}
			b.furnish(direct+"/carillon", token)
			id := b.made("/carillon/v1/campaigns", token, `{"audience":{"all":true},"message":{"sendID":"imAdmin","contentType":101,"content":{"content":"hi"}}}`)
			p.completed(direct, token, id)
			b.made("/carillon/v1/schedules", token, `{"name":"x","cron":"0 9 * * *","timezone":"UTC","campaign":{"audience":{"all":true},"message":{"sendID":"imAdmin","contentType":101,"content":{"content":"hi"}}}}`)
			b.crawl("/carillon/", "/carillon/docs", "/carillon/login", "/carillon/campaigns/"+id, "/carillon/campaigns/"+id+"/failures", "/carillon/import", "/carillon/users/below-1",
				"/carillon/groups/"+demoGroup, "/carillon/search?q=e", "/carillon/try?user=below-1", "/carillon/monitor/api/queues", "/carillon/readyz", "/carillon/healthz")
			for _, path := range []string{"/carillon/no/such/page", "/carillon/campaigns/none"} {
				b.names(path, b.read(path, http.StatusNotFound))
			}
			if csv := b.read("/carillon/v1/campaigns/"+id+"/recipients.csv", http.StatusOK); !strings.Contains(csv, "below-1") {
				t.Errorf("the export is %q", csv)
			}
			if contract := b.read("/carillon/openapi.yaml", http.StatusOK); !strings.Contains(contract, "- url: /carillon\n") {
				t.Error("the contract does not name the path")
			}
			running := regexp.MustCompile(`"id":"([^"]+)"`).FindStringSubmatch(get(t, direct+"/v1/campaigns?name=Autumn", token).body)[1]
			b.inBrowser(token, running)
			// The command line goes there too, and the neighbours' checks go without the path.
			code, out, errs := finish(t, "campaigns", "show", id, "--server", direct+"/carillon", "--token", token)
			if code != 0 || !strings.Contains(out, id) {
				t.Errorf("the command line: %d %s %s", code, out, errs)
			}
			if to := b.send(http.MethodPost, "/carillon/logout", url.Values{}).header.Get("Location"); to != "/carillon/login" {
				t.Errorf("the log-out leads to %q", to)
			}
			res = b.send(http.MethodPost, "/carillon/pause/campaigns", url.Values{"a": {"b"}})
			b.names("/carillon/pause/campaigns", res.body) // the log-in, which keeps the form
		})
	}
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
