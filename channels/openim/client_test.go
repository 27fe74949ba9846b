package openim

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"carillon/internal/testkit"
	double "carillon/internal/testkit/openim"
	"carillon/models"
)

func TestCalls(t *testing.T) {
	k := newKit(t, 5, double.Fault{Kind: double.Refuses, Users: "u000002"})
	c := k.client(redisAt(t, testkit.EmbeddedRedisURL(t)))
	total, users, err := c.Users(t.Context(), 1, 4) // the admin comes first
	if err != nil || total != 6 || len(users) != 4 || users[1].UserID != "u000001" || users[1].Nickname != "User 1" || users[1].FaceURL == "" {
		t.Fatalf("%d %+v %v", total, users, err)
	}
	if users[1].Refuses() || !users[2].Refuses() {
		t.Errorf("%+v", users)
	}
	if _, users, err = c.Users(t.Context(), 3, 4); err != nil || len(users) != 0 {
		t.Errorf("behind the last page: %v %v", users, err)
	}
	exists, err := c.AccountCheck(t.Context(), []string{"u000005", "nobody", "imAdmin"})
	if err != nil || fmt.Sprint(exists) != "map[imAdmin:true nobody:false u000005:true]" {
		t.Errorf("%v %v", exists, err)
	}
	pong, err := c.Ping(t.Context())
	if err != nil || pong.Users != 6 || !pong.Timed || pong.Ahead.Abs() > time.Second {
		t.Errorf("%+v %v", pong, err)
	}
	text, err := k.Token(t.Context(), double.TokenFor{UserID: "u000004", PlatformID: 2})
	if err != nil {
		t.Fatal(err)
	}
	user, platform, ends, err := c.ParseToken(t.Context(), text)
	if err != nil || user != "u000004" || platform != 2 || time.Until(ends) < 80*24*time.Hour {
		t.Errorf("%s %d %s %v", user, platform, ends, err)
	}
	_, _, _, err = c.ParseToken(t.Context(), text+"x")
	if e := (*Error)(nil); !errors.As(err, &e) || e.Kind != Token || e.Code != models.CodeTokenUnknown || strings.Contains(err.Error(), text) {
		t.Errorf("%v", err)
	}
	for _, l := range k.lines("") {
		if l.OperationID == "" && !strings.HasPrefix(l.Route, "/double/") {
			t.Errorf("a call without operationID: %+v", l)
		}
	}
}

// Each way to fail says which it is and what to do, and tells no secret.
func TestCallErrors(t *testing.T) {
	envelope := func(status int, body string) string {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}))
		t.Cleanup(srv.Close)
		return srv.URL
	}
	selfSigned := httptest.NewUnstartedServer(http.NotFoundHandler())
	selfSigned.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that fail
	selfSigned.StartTLS()
	t.Cleanup(selfSigned.Close)
	k := newKit(t, 1)
	quoting := fmt.Sprintf(`{"errCode":20007,"errMsg":"no %s and eyJhbGciOiJIUzI1NiJ9.eyJVc2VyIn0.c2ln here","errDlt":"u1"}`, secret)
	for _, tc := range []struct {
		name string
		cfg  Config
		kind Kind
		says string
	}{
		{"nobody listens", Config{URL: "http://127.0.0.1:1"}, Network, "OpenIM did not answer /auth/get_admin_token: connection refused"},
		{"no such host", Config{URL: "http://openim.invalid"}, Network, "the host name of CARILLON_OPENIM_URL cannot be resolved"},
		{"unknown CA", Config{URL: selfSigned.URL}, Network, "its TLS certificate is not trusted: add the authority that signed it to this system's, or name a file with it in SSL_CERT_FILE"},
		{"no TLS", Config{URL: strings.Replace(envelope(200, ""), "http:", "https:", 1)}, Network, "it does not speak TLS: CARILLON_OPENIM_URL must begin with http://"},
		{"HTML", Config{URL: envelope(200, "<html>It works!</html>")}, Foreign, "/auth/get_admin_token was answered by something that is no OpenIM API (HTTP 200 OK): CARILLON_OPENIM_URL must be the address of OpenIM's API, by default port 10002"},
		{"JSON of another", Config{URL: envelope(200, `{"status":"ok"}`)}, Foreign, "no OpenIM API"},
		{"data of another", Config{URL: envelope(200, `{"errCode":0,"data":{"token":["x"]}}`)}, Foreign, "no OpenIM API"},
		{"no route", Config{URL: k.URL + "/api"}, Foreign, "(HTTP 404 Not Found)"},
		{"redirect", Config{URL: envelope(302, "")}, Foreign, "(HTTP 302 Found)"},
		{"wrong secret", Config{URL: k.URL, Secret: "another-secret"}, Secret, "OpenIM gives no admin token (1002 NoPermissionError): CARILLON_OPENIM_SECRET must be the secret of OpenIM's share.yml"},
		{"no admin", Config{URL: k.URL, Admin: "u000001"}, Admin, "CARILLON_OPENIM_ADMIN must be one of imAdminUserID in OpenIM's share.yml"},
		{"v3.8's no admin", Config{URL: envelope(200, `{"errCode":1001,"errMsg":"ArgsError","errDlt":"userID is error."}`)}, Admin, "(1001 ArgsError)"},
		{"proxy's 502", Config{URL: envelope(502, "<html>")}, Later, "OpenIM cannot answer /auth/get_admin_token now (HTTP 502 Bad Gateway)"},
		{"429", Config{URL: envelope(429, `{"errCode":429,"errMsg":"slow down"}`)}, Later, "(429 slow down)"},
		{"database", Config{URL: envelope(200, `{"errCode":90002,"errMsg":"DatabaseError"}`)}, Later, "(90002 DatabaseError)"},
		{"quoting", Config{URL: envelope(200, quoting)}, Admin, "(20007 no … and … here)"},
		{"cut", Config{URL: cut(t)}, Network, "the connection broke before the answer was complete"},
		{"no answer in time", Config{URL: silent(t), Timeout: 50 * time.Millisecond}, Network, "no whole answer within 50ms"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.cfg.Secret == "" {
				tc.cfg.Secret = secret
			}
			c, err := NewClient(tc.cfg, away(t))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.Close)
			_, err = c.Ping(t.Context())
			e := (*Error)(nil)
			if !errors.As(err, &e) || e.Kind != tc.kind || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %+v: %v", e, err)
			}
			for _, never := range []string{tc.cfg.Secret, "eyJ", "127.0.0.1", "u000001"} {
				if strings.Contains(fmt.Sprint(err), never) {
					t.Errorf("the error holds %q: %v", never, err)
				}
			}
			if e != nil && e.Kind == Later && e.HTTP != 200 && e.RetryAfter != 7*time.Second {
				t.Errorf("to come again in %s", e.RetryAfter)
			}
		})
	}
}

// cut answers the half of an envelope.
func cut(t *testing.T) string {
	p := testkit.NewRawProvider(t, func(c net.Conn, _ int32, r *http.Request) bool {
		testkit.ReadAll(r)
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"errCode\":0,")
		return false
	})
	return p.URL
}

// silent answers nothing as long as the client waits.
func silent(t *testing.T) string {
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		testkit.ReadAll(r)
		<-r.Context().Done()
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestConfigErrors(t *testing.T) {
	for _, tc := range []struct {
		cfg  Config
		says string
	}{
		{Config{URL: "openim:10002", Secret: secret}, "OpenIM URL: must be an absolute http or https URL, such as http://openim:10002"},
		{Config{URL: "", Secret: secret}, "OpenIM URL: must be an absolute"},
		{Config{URL: "http://u:p@openim", Secret: secret}, "OpenIM URL: must hold no user"},
		{Config{URL: "http://openim/?a=b", Secret: secret}, "OpenIM URL: must hold no user"},
		{Config{URL: "http://openim"}, "OpenIM secret: is missing"},
		{Config{URL: "http://openim", Secret: secret, Timeout: time.Minute}, "OpenIM timeout: must be more than 0 and at most 8s"},
	} {
		_, err := NewClient(tc.cfg, away(t))
		if err == nil || !strings.HasPrefix(err.Error(), tc.says) || strings.Contains(err.Error(), secret) {
			t.Errorf("%+v: %v", tc.cfg, err)
		}
	}
}
