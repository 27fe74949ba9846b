package handlers

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"carillon/handlers/web"
	"carillon/internal/testkit"
	"carillon/models"
)

const sendPath = "/msg/batch_send_msg"

func (s *server) send(body any, headers ...string) (int, reply) {
	s.t.Helper()
	return s.do(http.MethodPost, sendPath, body, append([]string{"operationID", "op-1"}, headers...)...)
}

// stored is how many campaigns there are.
func (s *server) stored() int {
	s.t.Helper()
	list, err := s.Store.Campaigns(s.t.Context(), models.CampaignFilter{Limit: 1000})
	if err != nil {
		s.t.Fatal(err)
	}
	return len(list)
}

func TestContractExample(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("u1", "u2", "u3")
		status, got := s.send(contractExample)
		var data map[string]any
		got.into(t, &data)
		if status != 200 || got.ErrCode != 0 || got.ErrMsg != "" || got.ErrDlt != "" || data["status"] != "running" || data["total"] != 3.0 ||
			data["results"] != nil || data["failedUserIDs"] != nil {
			t.Fatalf("%d %s", status, got.Raw)
		}
		status, got = s.do(http.MethodGet, "/v1/campaigns/"+data["campaignID"].(string), nil)
		var c CampaignView
		got.into(t, &c)
		if status != 200 || string(c.Message.Content) != `{"content":"hello world!"}` || c.Message.SenderNickname != "Gordon" ||
			c.Message.OfflinePushInfo.Title != "send message" || c.OperationID != "op-1" || c.CreatedBy != "imAdmin" || c.Counts.Pending != 3 || c.Audience.Type != "all" {
			t.Fatalf("%d %s", status, got.Raw)
		}
		status, got = s.send(strings.Replace(contractExample, "openIMAdmin", "nobody", 1))
		if want := `{"errCode":1004,"errMsg":"RecordNotFoundError","errDlt":"sendID is neither a user of the directory nor an admin: [1004]RecordNotFoundError"}`; status != 200 || string(got.Raw) != want {
			t.Fatalf("an unknown sender: %d %s", status, got.Raw)
		}
		status, got = s.do(http.MethodPost, "/v1/campaigns", `{"message":{"sendID":"nobody","content":{"content":"x"},"contentType":101},"audience":{"all":true}}`)
		if status != 422 || got.ErrCode != 1004 || got.fields(t)["message.sendID"] == "" {
			t.Fatalf("an unknown sender on /v1: %d %s", status, got.Raw)
		}
	})
}

// The table of parsed fields, over HTTP: status, code, text and field, and nothing stored.
func TestContractTable(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores, func(a *API) { a.Admins = append(a.Admins, strings.Repeat("a", 64), "/ .. % é") })
		s.users("u1")
		for _, c := range messageCases {
			name := c.field + "=" + c.value[:min(40, len(c.value))]
			before := s.stored()
			status, got := s.send(okBatch.but(jsonFields{c.field: c.value}).body())
			if c.want == "" {
				if status != 200 || got.ErrCode != 0 || s.stored() != before+1 {
					t.Errorf("%s: %d %s", name, status, got.Raw)
				}
				continue
			}
			wantStatus := 200
			if c.bind {
				wantStatus = 400
			}
			field, _, _ := strings.Cut(c.want, " ")
			if status != wantStatus || got.ErrCode != 1001 || got.ErrMsg != "ArgsError" || got.ErrDlt != c.want+": [1001]ArgsError" {
				t.Errorf("%s: %d %s, want %d %q", name, status, got.Raw, wantStatus, c.want)
			}
			if got.fields(t)[field] == "" {
				t.Errorf("%s: the field %s is not named in %s", name, field, got.Raw)
			}
			if s.stored() != before {
				t.Errorf("%s was refused and stored", name)
			}
		}
	})
}

func TestHeadersAndTokens(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("u1")
		sign := func(method jwt.SigningMethod, key any, c jwt.MapClaims) string {
			token, err := jwt.NewWithClaims(method, c).SignedString(key)
			if err != nil {
				t.Fatal(err)
			}
			return token
		}
		now := time.Now().Unix()
		good := jwt.MapClaims{"UserID": "imAdmin", "PlatformID": 10, "exp": now + 60, "iat": now, "nbf": now - 300}
		other := func(name string, value any) jwt.MapClaims {
			c := jwt.MapClaims{}
			for k, v := range good {
				c[k] = v
			}
			c[name] = value
			return c
		}
		key := []byte(testSecret)
		for name, c := range map[string]struct {
			headers []string
			code    models.Code
			text    string
		}{
			"the original's own token":  {[]string{"token", sign(jwt.SigningMethodHS256, key, good)}, 0, ""},
			"Bearer":                    {[]string{"token", "", "Authorization", "Bearer " + sign(jwt.SigningMethodHS256, key, good)}, 0, ""},
			"no operationID":            {[]string{"operationID", ""}, 1001, "header must have operationID: [1001]ArgsError"},
			"no token":                  {[]string{"token", ""}, 1001, "header must have token: [1001]ArgsError"},
			"long operationID":          {[]string{"operationID", strings.Repeat("x", 129)}, 1001, ""},
			"garbage":                   {[]string{"token", "garbage"}, 1503, ""},
			"expired":                   {[]string{"token", sign(jwt.SigningMethodHS256, key, other("exp", now-1))}, 1501, ""},
			"no exp":                    {[]string{"token", sign(jwt.SigningMethodHS256, key, jwt.MapClaims{"UserID": "imAdmin"})}, 1502, ""},
			"from the future":           {[]string{"token", sign(jwt.SigningMethodHS256, key, other("nbf", now+60))}, 1504, ""},
			"forged":                    {[]string{"token", sign(jwt.SigningMethodHS256, []byte("another secret"), good)}, 1505, ""},
			"alg=none":                  {[]string{"token", sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, good)}, 1505, ""},
			"HS512":                     {[]string{"token", sign(jwt.SigningMethodHS512, key, good)}, 1505, ""},
			"RS256":                     {[]string{"token", sign(jwt.SigningMethodRS256, rsaKey(t), good)}, 1505, ""},
			"a user's, of the original": {[]string{"token", sign(jwt.SigningMethodHS256, key, other("PlatformID", 1))}, 1002, "only an admin may do this: [1002]NoPermissionError"},
			"not an admin":              {[]string{"token", s.token("u1")}, 1002, ""},
			"nobody":                    {[]string{"token", sign(jwt.SigningMethodHS256, key, other("UserID", ""))}, 1502, ""},
		} {
			status, got := s.send(okBatch.body(), c.headers...)
			if status != 200 || got.ErrCode != c.code || c.text != "" && got.ErrDlt != c.text {
				t.Errorf("%s: %d %s, want %d %s", name, status, got.Raw, c.code, c.text)
			}
			if strings.Contains(string(got.Raw), testSecret) {
				t.Errorf("%s: the answer holds the secret", name)
			}
		}
		if n := s.stored(); n != 2 {
			t.Errorf("%d campaigns stored, 2 were accepted", n)
		}
		// the admin is checked before the body is read
		if status, got := s.send(`{"sendID":1}`, "token", s.token("u1")); status != 200 || got.ErrCode != 1002 {
			t.Errorf("%d %s", status, got.Raw)
		}
		if status, got := s.do(http.MethodGet, "/v1/campaigns", nil, "token", ""); status != 401 || got.ErrCode != 1507 {
			t.Errorf("no token on /v1: %d %s", status, got.Raw)
		}
	})
}

func TestAdminAndUserTokens(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("u1")
		ask := func(path, body string, headers ...string) (int, reply) {
			return s.do(http.MethodPost, path, body, append([]string{"operationID", "op"}, headers...)...)
		}
		status, got := ask("/auth/get_admin_token", fmt.Sprintf(`{"secret":%q,"userID":"openIMAdmin"}`, testSecret), "token", "")
		var data struct {
			Token             string
			ExpireTimeSeconds int64
		}
		got.into(t, &data)
		if status != 200 || data.ExpireTimeSeconds != 7776000 {
			t.Fatalf("%d %s", status, got.Raw)
		}
		if status, got := s.send(okBatch.body(), "token", data.Token); status != 200 || got.ErrCode != 0 {
			t.Fatalf("%d %s", status, got.Raw)
		}
		if _, got := ask("/auth/get_user_token", `{"userID":"u1","platformID":1}`); got.ErrCode != 0 {
			t.Fatalf("%s", got.Raw)
		} else {
			got.into(t, &data)
		}
		if _, got := s.send(okBatch.body(), "token", data.Token); got.ErrCode != 1002 {
			t.Errorf("a user's token sends: %s", got.Raw)
		}
		for name, c := range map[string]struct {
			body string
			code models.Code
		}{
			"an admin's":          {`{"userID":"imAdmin","platformID":1}`, 1002},
			"unknown user":        {`{"userID":"nobody","platformID":1}`, 1004},
			"an admin's platform": {`{"userID":"u1","platformID":10}`, 1001},
			"platform 11":         {`{"userID":"u1","platformID":11}`, 1001},
			"empty user":          {`{"userID":"","platformID":1}`, 1001},
			"wrong type":          {`{"userID":1}`, 1001},
			"duplicate field":     {`{"userID":"u1","userID":"u1"}`, 1001},
		} {
			if _, got := ask("/auth/get_user_token", c.body); got.ErrCode != c.code {
				t.Errorf("%s: %s", name, got.Raw)
			}
		}
		if _, got := ask("/auth/get_user_token", `{"userID":"u1"}`, "token", s.token("u1")); got.ErrCode != 1002 {
			t.Errorf("a user makes a token: %s", got.Raw)
		}
		for range web.MaxTries {
			if _, got := ask("/auth/get_admin_token", `{"secret":"wrong","userID":"imAdmin"}`, "token", ""); got.ErrCode != 1002 {
				t.Fatalf("%s", got.Raw)
			}
		}
		// the limit is one for all processes
		second := newServer(t, stores, func(a *API) { a.Store, a.Redis = s.Store, s.Redis })
		if status, got := second.do(http.MethodPost, "/auth/get_admin_token", `{"secret":"wrong","userID":"imAdmin"}`, "operationID", "op"); status != 429 || got.Header.Get("Retry-After") == "" {
			t.Errorf("after ten failed tries: %d %s", status, got.Raw)
		}
	})
}

// post writes a raw request and reads the status line that comes back.
func (s *server) post(t *testing.T, request string, then func(net.Conn)) (int, string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	then(conn)
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	raw, _ := io.ReadAll(conn)
	var status int
	_, _ = fmt.Sscanf(string(raw), "HTTP/1.1 %d", &status)
	return status, string(raw)
}

func TestBadBodies(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("u1")
		ok := okBatch.body()
		for name, c := range map[string]struct {
			body   string
			status int
			code   models.Code
		}{
			"empty":            {"", 400, 1001},
			"not JSON":         {"hello", 400, 1001},
			"cut in half":      {ok[:len(ok)/2], 400, 1001},
			"trailing":         {ok + "{}", 400, 1001},
			"10,000 levels":    {okBatch.but(jsonFields{"content": strings.Repeat(`{"a":`, 10000) + "1" + strings.Repeat("}", 10000)}).body(), 400, 1001},
			"10,000 brackets":  {strings.Repeat("[", 10000), 400, 1001},
			"raw NUL":          {okBatch.but(jsonFields{"sendID": "\"a\x00b\""}).body(), 400, 1001},
			"escaped NUL":      {okBatch.but(jsonFields{"content": `{"content":"a\u0000b"}`}).body(), 400, 1001},
			"invalid UTF-8":    {okBatch.but(jsonFields{"sendID": "\"\xff\""}).body(), 400, 1001},
			"duplicate key":    {`{"sendID":"imAdmin",` + ok[1:], 400, 1001},
			"1 MB text":        {okBatch.but(jsonFields{"content": `{"content":"` + strings.Repeat("x", 1<<20) + `"}`}).body(), 200, 1001},
			"65-character ID":  {okBatch.but(jsonFields{"recvIDs": `["` + strings.Repeat("x", 65) + `"]`}).body(), 200, 1001},
			"100,001 recvIDs":  {okBatch.but(jsonFields{"recvIDs": idList(100_001)}).body(), 413, 3004},
			"17 MiB":           {okBatch.but(jsonFields{"ex": `"` + strings.Repeat("x", 17<<20) + `"`}).body(), 413, 3004},
			"all and a list":   {okBatch.but(jsonFields{"isSendAll": "true"}).body(), 200, 1001},
			"neither":          {okMessage.body(), 200, 1001},
			"unknown type 999": {okBatch.but(jsonFields{"contentType": "999"}).body(), 200, 1001},
		} {
			// a body this large may be refused before it was read to the end
			status, got := s.send(c.body)
			if status != c.status || got.ErrCode != c.code || got.ErrDlt == "" {
				t.Errorf("%s: %d %.300s, want %d %d", name, status, got.Raw, c.status, c.code)
			}
			if strings.Contains(string(got.Raw), "goroutine") || strings.Contains(string(got.Raw), "json:") || strings.Contains(string(got.Raw), "models.") {
				t.Errorf("%s: the answer shows internals: %.300s", name, got.Raw)
			}
		}
		if status, got := s.send([]byte(ok), "Content-Encoding", "gzip"); status != 415 || got.ErrCode != 1001 {
			t.Errorf("gzip: %d %s", status, got.Raw)
		}
		head := "POST " + sendPath + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\noperationID: op\r\ntoken: " + s.adminToken() + "\r\nContent-Length: 1000\r\n\r\n"
		if status, raw := s.post(t, head+`{"sendID"`, func(c net.Conn) { _ = c.(*net.TCPConn).CloseWrite() }); status != 400 || !strings.Contains(raw, "cut short") {
			t.Errorf("half a body: %d %s", status, raw)
		}
		hurried := newServer(t, stores, func(a *API) { a.Store, a.BodyTime = s.Store, 300*time.Millisecond })
		if status, raw := hurried.post(t, head+"{", func(net.Conn) {}); status != 408 || !strings.Contains(raw, "did not arrive") {
			t.Errorf("a body that stops: %d %s", status, raw)
		}
		drip := func(c net.Conn) {
			tick := time.NewTicker(20 * time.Millisecond) // the pace of this client, not a wait of the test
			defer tick.Stop()
			for range 40 {
				<-tick.C
				if _, err := c.Write([]byte("x")); err != nil {
					return
				}
			}
		}
		if status, raw := hurried.post(t, head, drip); status != 408 || !strings.Contains(raw, "did not arrive") {
			t.Errorf("a byte at a time: %d %s", status, raw)
		}
		if n := s.stored(); n != 0 {
			t.Errorf("%d campaigns were stored by refused requests", n)
		}
		if status, got := s.send(okBatch.but(jsonFields{"recvIDs": `["u1","u1","/ .. %","u1"]`}).body()); status != 200 || got.ErrCode != 0 {
			t.Errorf("odd but right IDs: %d %s", status, got.Raw)
		}
	})
}

func TestIdempotentPost(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		var mu sync.Mutex
		enqueued := 0
		s := newServer(t, stores, func(a *API) {
			a.Enqueue = func(context.Context, models.Created) error {
				mu.Lock()
				defer mu.Unlock()
				enqueued++
				return nil
			}
		})
		s.users("u1")
		body := okBatch.body()
		answers := make([][]byte, 50)
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() {
				status, got := s.send(body, "Idempotency-Key", "key-1")
				if status != 200 || got.ErrCode != 0 {
					t.Errorf("%d %s", status, got.Raw)
				}
				answers[i] = got.Raw
			})
		}
		wg.Wait()
		for _, a := range answers {
			if !bytes.Equal(a, answers[0]) {
				t.Errorf("%s, not %s", a, answers[0])
			}
		}
		if n := s.stored(); n != 1 || enqueued != 1 {
			t.Errorf("%d campaigns, enqueued %d times", n, enqueued)
		}
		if status, got := s.send(body+" ", "Idempotency-Key", "key-1"); status != 422 || got.ErrCode != 3002 {
			t.Errorf("another body: %d %s", status, got.Raw)
		}
		if status, got := s.send(body, "Idempotency-Key", strings.Repeat("k", 256)); got.ErrCode != 1001 {
			t.Errorf("a long key: %d %s", status, got.Raw)
		}
		// on another route the key is another key
		v1 := `{"message":{"sendID":"imAdmin","content":{"content":"x"},"contentType":101},"audience":{"userIDs":["u1"]}}`
		status, first := s.do(http.MethodPost, "/v1/campaigns", v1, "Idempotency-Key", "key-1")
		_, second := s.do(http.MethodPost, "/v1/campaigns", v1, "Idempotency-Key", "key-1")
		if status != 202 || first.Header.Get("Location") == "" || !bytes.Equal(first.Raw, second.Raw) || first.Header.Get("Location") != second.Header.Get("Location") {
			t.Errorf("%d %s, %s", status, first.Raw, second.Raw)
		}
		// a refused request leaves its key free
		if _, got := s.send(okMessage.body(), "Idempotency-Key", "key-2"); got.ErrCode != 1001 {
			t.Fatalf("%s", got.Raw)
		}
		if _, got := s.send(body, "Idempotency-Key", "key-2"); got.ErrCode != 0 {
			t.Errorf("the key of a refused request: %s", got.Raw)
		}
	})
}

func rsaKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
