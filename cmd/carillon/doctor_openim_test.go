package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// The doctor says whether OpenIM can be used, or which of the ways to get it wrong this is. It shows no secret.
func TestDoctorAsksOpenIM(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Secret, UserID string }
		_ = json.NewDecoder(r.Body).Decode(&in)
		switch {
		case r.URL.Path == "/user/get_users" && r.Header.Get("token") == "given":
			fmt.Fprint(w, `{"errCode":0,"data":{"total":8,"users":[]}}`)
		case r.URL.Path != "/auth/get_admin_token":
			http.NotFound(w, r)
		case in.Secret != "topsecret-of-openim":
			fmt.Fprint(w, `{"errCode":1002,"errMsg":"NoPermissionError","errDlt":"secret invalid"}`)
		case in.UserID != "imAdmin":
			fmt.Fprint(w, `{"errCode":1001,"errMsg":"ArgsError","errDlt":"userID is error."}`)
		default:
			fmt.Fprint(w, `{"errCode":0,"data":{"token":"given","expireTimeSeconds":7776000}}`)
		}
	}))
	t.Cleanup(server.Close)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }))
	t.Cleanup(page.Close)
	for name, c := range map[string]struct {
		url, secret, admin, want string
	}{
		"well":         {server.URL, "topsecret-of-openim", "imAdmin", "ok    openim          reachable, token accepted, 8 users; "},
		"wrong secret": {server.URL, "topsecret-other", "imAdmin", "FAIL  openim          OpenIM gives no admin token (1002 NoPermissionError): CARILLON_OPENIM_SECRET must be"},
		"no admin":     {server.URL, "topsecret-of-openim", "u000001", "FAIL  openim          OpenIM does not take the user for an admin"},
		"a web page":   {page.URL, "topsecret-of-openim", "imAdmin", "FAIL  openim          /auth/get_admin_token was answered by something that is no OpenIM API"},
		"nobody":       {"http://127.0.0.1:1", "topsecret-of-openim", "imAdmin", "FAIL  openim          OpenIM did not answer /auth/get_admin_token: connection refused"},
		"no scheme":    {"openim:10002", "topsecret-of-openim", "imAdmin", "FAIL  settings        CARILLON_OPENIM_URL must be an absolute http or https URL"},
	} {
		code, out := examine(t, "--data-dir", t.TempDir(), "--openim-url", c.url, "--openim-secret", c.secret, "--openim-admin", c.admin)
		if !strings.Contains(out, c.want) || (code == exitFailed) != strings.HasPrefix(c.want, "FAIL") {
			t.Errorf("%s: exit code %d\n%s", name, code, out)
		}
	}
}
