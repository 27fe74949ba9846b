package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"carillon/internal/testkit"
	"carillon/internal/testkit/contract"
	"carillon/internal/testkit/openim"
)

// asDouble makes the test binary be a double of OpenIM.
const asDouble = "as-double"

// originalSecret is that of OpenIM.
const originalSecret = "the secret of OpenIM's share.yml"

// front is Carillon in front of OpenIM, as docs/openim.md has it: the channel openim, and nginx with deploy/nginx.conf before both.
type front struct {
	url      string // of nginx
	carillon string
	original *openim.Process
}

// newFront starts all of it. The secret is Carillon's.
func newFront(t *testing.T, s testkit.Stores, secret string, more ...string) *front {
	t.Helper()
	d, err := openim.StartProcess(openim.Options{Log: filepath.Join(t.TempDir(), "log"), Secret: originalSecret, Users: 3}, os.Args[0], asDouble)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Kill() })
	flags := []string{"--data-dir", filepath.Join(t.TempDir(), "data")}
	if s.Name != "embedded" {
		flags = []string{"--database-url", migrated(t, s.DatabaseURL), "--redis-url", s.RedisURL}
	}
	flags = append(flags, "--secret", secret, "--trusted-proxies", "127.0.0.1", "--batch-wait", "60s",
		"--channel", "openim", "--openim-url", d.URL, "--openim-secret", originalSecret, "--openim-sync", "0s")
	flags = append(flags, more...)
	f := &front{carillon: serve(t, flags...).ready(), original: d}
	rest := webSockets(t, d.URL)
	site := string(must(os.ReadFile("../../deploy/nginx.conf")))
	for example, here := range map[string]string{"127.0.0.1:8080": address(f.carillon), "127.0.0.1:10002": address(rest)} {
		if strings.Count(site, example) != 1 {
			t.Fatalf("deploy/nginx.conf names %s %d times", example, strings.Count(site, example))
		}
		site = strings.Replace(site, example, here, 1)
	}
	f.url = testkit.PrivateNginx(t, func(port int) string {
		return strings.Replace(site, "listen 80;", fmt.Sprintf("listen 127.0.0.1:%d;", port), 1)
	}).URL()
	return f
}

// address is the host and port of a URL.
func address(rawURL string) string { return must(url.Parse(rawURL)).Host }

// webSockets stands before the double: it says yes to whoever asks for a WebSocket, and echoes. All else is the double's.
func webSockets(t *testing.T, double string) string {
	t.Helper()
	rest := httputil.NewSingleHostReverseProxy(must(url.Parse(double)))
	rest.Transport = &http.Transport{DisableKeepAlives: true}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" || !strings.EqualFold(r.Header.Get("Connection"), "upgrade") {
			rest.ServeHTTP(w, r)
			return
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		_, _ = io.Copy(conn, rw)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// sdk is a client that was written for OpenIM and knows nothing of Carillon: its base URL is all that is set.
type sdk struct {
	t           *testing.T
	base, token string
}

// sdkResult is one of OpenIM's results.
type sdkResult struct {
	ServerMsgID string `json:"serverMsgID"`
	ClientMsgID string `json:"clientMsgID"`
	SendTime    int64  `json:"sendTime"`
	RecvID      string `json:"recvID"`
}

// sdkBatch is the data of OpenIM's answer to a batch.
type sdkBatch struct {
	Results   []*sdkResult `json:"results"`
	FailedIDs []string     `json:"failedUserIDs"`
}

// post makes a call as OpenIM's clients do. whole is the answer's body.
func (c *sdk) post(route, body string, into any, headers ...string) (status int, whole string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+route, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for _, name := range headers {
		req.Header.Set(name, map[string]string{"operationID": "op-of-the-client", "token": c.token}[name])
	}
	var way http.RoundTripper = &http.Transport{DisableKeepAlives: true}
	if route == "/msg/batch_send_msg" { // the one route of Carillon's; the others are OpenIM's own
		way = contract.Transport(c.t, way)
	}
	res, err := way.RoundTrip(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if into != nil {
		if err := json.Unmarshal(raw, &struct{ Data any }{into}); err != nil {
			c.t.Fatalf("%s: %v: %s", route, err, raw)
		}
	}
	return res.StatusCode, string(raw)
}

// logIn gets an admin's token.
func (c *sdk) logIn() {
	c.t.Helper()
	var data struct{ Token string }
	c.post("/auth/get_admin_token", `{"secret":"`+originalSecret+`","userID":"imAdmin"}`, &data, "operationID")
	c.token = data.Token
}

// batch is a body of batch_send_msg; more begins with a comma.
func batch(recvIDs, more string) string {
	if !strings.Contains(more, "sendID") {
		more += `,"sendID":"imAdmin"`
	}
	return `{"recvIDs":` + recvIDs + more + `,"senderNickname":"Gordon","senderPlatformID":1,"content":{"content":"hello"},"contentType":101,"sessionType":1}`
}

// TestAClientOfOpenIM needs nothing changed but its base URL. Its batches go to Carillon, and all its other calls to OpenIM.
// Carillon's secret is another than OpenIM's, so it asks OpenIM about the client's token.
func TestAClientOfOpenIM(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		f := newFront(t, s, testSecret, "--openim-tokens", "parse")
		c := &sdk{t: t, base: f.url}
		c.logIn()
		var sent sdkBatch
		status, whole := c.post("/msg/batch_send_msg", batch(`["u000002","nobody","u000001"]`, `,"pad":"`+strings.Repeat("x", 15<<20)+`"`), &sent, "operationID", "token")
		if status != http.StatusOK || len(sent.Results) != 2 || len(sent.FailedIDs) != 1 || sent.FailedIDs[0] != "nobody" || sent.Results[0].RecvID != "u000002" || sent.Results[1].ServerMsgID == "" {
			t.Fatalf("%d %s", status, whole)
		}
		list := get(t, f.carillon+"/v1/campaigns", adminToken(t))
		if n := strings.Count(list.body, `"operationID":"op-of-the-client"`); n != 1 {
			t.Errorf("%d campaigns with the client's operationID: %s", n, list.body)
		}
		var one sdkResult
		if status, whole := c.post("/msg/send_msg", strings.Replace(batch(`[]`, ""), `"recvIDs":[]`, `"recvID":"u000001"`, 1), &one, "operationID", "token"); status != http.StatusOK || one.ServerMsgID == "" {
			t.Errorf("%d %s", status, whole)
		}
		seen, err := f.original.Seen(t.Context())
		if err != nil || seen.Requests["/msg/batch_send_msg"] != 0 || seen.Delivered != 3 || seen.Repeats != 0 ||
			seen.Requests["/auth/get_admin_token"] != 2 || seen.Requests["/auth/parse_token"] != 1 {
			t.Errorf("OpenIM got %+v, %v", seen, err)
		}
		f.upgrades(t)
	})
}

// signedToken is one with the claims of OpenIM's tokens.
func signedToken(secret, userID string, platform int, life time.Duration) (string, error) {
	c := jwt.MapClaims{"UserID": userID, "PlatformID": platform, "exp": time.Now().Add(life).Unix(), "iat": time.Now().Unix()}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString([]byte(secret))
}

// upgrades checks that a WebSocket goes through nginx to OpenIM.
func (f *front) upgrades(t *testing.T) {
	t.Helper()
	conn, err := net.Dial("tcp", address(f.url))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "GET /?token=x HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n\r\n", address(f.url))
	lines := bufio.NewReader(conn)
	res, err := http.ReadResponse(lines, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("no WebSocket: %v %+v", err, res)
	}
	_ = res.Body.Close()
	fmt.Fprint(conn, "there and back\n")
	if line, err := lines.ReadString('\n'); err != nil || line != "there and back\n" {
		t.Errorf("%q %v", line, err)
	}
}

// TestAnswersAreTheOriginals puts the same requests to OpenIM and to Carillon, and compares the answers key by key: status,
// names and their order, types, nulls, codes, and IDs of users.
func TestAnswersAreTheOriginals(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		f := newFront(t, s, originalSecret)
		c := &sdk{t: t, base: f.original.URL}
		c.logIn()
		admin := c.token
		users := must(f.original.Token(t.Context(), openim.TokenFor{UserID: "u000001", PlatformID: 1}))
		both := []string{"operationID", "token"}
		for _, one := range []struct {
			what, body, token string
			headers           []string
			carillon          string // the shape of Carillon's answer where it is another; "" = the same
		}{
			{"a list", batch(`["u000002","nobody","u000001"]`, ""), admin, both, ""},
			{"a list that all get", batch(`["u000001","u000002"]`, ""), admin, both, ""},
			{"a list that nobody gets", batch(`["nobody","no-one"]`, ""), admin, both, ""},
			{"an empty list", batch(`[]`, ""), admin, both, ""},
			{"a stamp", batch(`["u000001"]`, `,"sendTime":1700000000000`), admin, both, ""},
			{"no token", batch(`["u000001"]`, ""), "", both[:1], ""},
			{"no operationID", batch(`["u000001"]`, ""), admin, both[1:], ""},
			{"a token of garbage", batch(`["u000001"]`, ""), "garbage", both, ""},
			{"a token with another signature", batch(`["u000001"]`, ""), must(signedToken("somebody's secret", "imAdmin", 10, time.Hour)), both, ""},
			{"a token that has expired", batch(`["u000001"]`, ""), must(signedToken(originalSecret, "imAdmin", 10, -time.Hour)), both, ""},
			{"a user's token", batch(`["u000001"]`, ""), users, both, ""},
			{"half a body", `{"recvIDs":["u000001"]`, admin, both, ""},
			{"a type as text", strings.Replace(batch(`["u000001"]`, ""), "101", `"101"`, 1), admin, both, ""},
			{"no sender", batch(`["u000001"]`, `,"sendID":""`), admin, both, ""},
			// Where we differ, and docs/openim.md says so.
			{"an unknown sender", batch(`["u000001"]`, `,"sendID":"nobody"`), admin, both, `200 {"errCode":1004,"errMsg":"RecordNotFoundError","errDlt":"…: [1004]RecordNotFoundError"}`},
			{"a repeat", batch(`["u000001","u000001"]`, ""), admin, both,
				`200 {"errCode":0,"errMsg":"","errDlt":"","data":{"results":[{"serverMsgID":"…","clientMsgID":"…","sendTime":…,"recvID":"u000001"}],"failedUserIDs":null}}`},
		} {
			c.token, c.base = one.token, f.original.URL
			original := shape(t)(c.post("/msg/batch_send_msg", one.body, nil, one.headers...))
			c.base = f.url
			ours := shape(t)(c.post("/msg/batch_send_msg", one.body, nil, one.headers...))
			if one.carillon != "" && ours == original {
				t.Errorf("%s: there is no difference any more", one.what)
			}
			if want := cmp.Or(one.carillon, original); ours != want {
				t.Errorf("%s:\n%s, not\n%s", one.what, ours, want)
			}
		}
	})
}

// Values that differ from answer to answer. Details are Carillon's own words; data of a refusal is more than OpenIM says.
var (
	drawnValues = regexp.MustCompile(`("(?:serverMsgID|clientMsgID)":)"[^"]+"`)
	drawnTimes  = regexp.MustCompile(`("sendTime":)1[0-9]{12}\b`)
	itsDetail   = regexp.MustCompile(`("errDlt":")[^"]*(: \[[0-9]+\])`)
	refusedData = regexp.MustCompile(`^(\{"errCode":[1-9].*?),"data":\{"fields":\[.*\]\}\}$`)
)

// shape is an answer's status and its text without these.
func shape(t *testing.T) func(status int, whole string) string {
	return func(status int, whole string) string {
		t.Helper()
		var compact bytes.Buffer
		if err := json.Compact(&compact, []byte(whole)); err != nil || compact.String() != whole {
			t.Errorf("%v: %s", err, whole)
		}
		whole = refusedData.ReplaceAllString(whole, "$1}")
		whole = drawnValues.ReplaceAllString(whole, `$1"…"`)
		whole = drawnTimes.ReplaceAllString(whole, `$1…`)
		return fmt.Sprintf("%d %s", status, itsDetail.ReplaceAllString(whole, `$1…$2`))
	}
}

// TestThePageShowsTheProxiesFiles: docs/openim.md shows deploy/nginx.conf and deploy/Caddyfile as they are.
func TestThePageShowsTheProxiesFiles(t *testing.T) {
	t.Parallel()
	page := string(must(os.ReadFile("../../docs/openim.md")))
	for file, language := range map[string]string{"nginx.conf": "nginx", "Caddyfile": "caddy"} {
		text := string(must(os.ReadFile("../../deploy/" + file)))
		if strings.Count(page, "```"+language+"\n"+text+"```\n") != 1 {
			t.Errorf("docs/openim.md does not show deploy/%s as it is", file)
		}
	}
}
