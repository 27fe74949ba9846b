package handlers

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"carillon/channels"
	"carillon/channels/inbox"
	"carillon/handlers/web"
	"carillon/internal/testkit"
	"carillon/internal/testkit/contract"
	"carillon/models"
)

const testSecret = "a secret for tests only"

// server is the API on fresh stores, behind a real HTTP server.
type server struct {
	*API
	t   testing.TB
	URL string
}

// newServer serves a whole API until the test ends: a migrated ledger, its own Redis, the channel inbox, an
// Enqueue that does nothing, nothing wrong on /readyz, and much patience. change may replace any of that before it serves.
func newServer(t testing.TB, stores testkit.Stores, change ...func(*API)) *server {
	t.Helper()
	conn, err := asynq.ParseRedisURI(stores.RedisURL)
	if err != nil {
		t.Fatal(err)
	}
	rdb := conn.MakeRedisClient().(redis.UniversalClient)
	t.Cleanup(func() { _ = rdb.Close() })
	a := &API{
		Gate: web.Gate{
			Store:    testkit.OpenStore(t, stores.DatabaseURL),
			Redis:    rdb,
			Patience: testkit.Patience, // the product's own is for a machine that runs one server, not all tests at once
			Secret:   testSecret,
			Admins:   []string{"openIMAdmin", "imAdmin"},
			Log:      slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
		},
		RedisConn: conn,
		Enqueue:   func(context.Context, models.Created) error { return nil },
		Describe:  func([]byte) string { return "" },
		Ready:     func(context.Context) []Problem { return nil },
		Channels:  []channels.Traits{inbox.New(nil).Traits()},
		Zone:      "UTC",
	}
	for _, f := range change {
		f(a)
	}
	serving := httptest.NewServer(a.Routes())
	t.Cleanup(func() {
		serving.CloseClientConnections() // ends the streams that Close would wait for
		serving.Close()
	})
	return &server{API: a, t: t, URL: serving.URL}
}

func (s *server) adminToken() string { return s.token("imAdmin") }

func (s *server) token(userID string) string {
	s.t.Helper()
	var token string
	var err error
	if slices.Contains(s.Admins, userID) {
		token, err = web.AdminToken(s.Secret, userID)
	} else {
		user, unknown := s.Store.User(s.t.Context(), userID)
		if unknown != nil {
			user = models.User{UserID: userID, AddedRev: 1 << 40}
		}
		token, err = web.UserToken(s.Secret, user, 1)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

// users puts users with these IDs into the directory.
func (s *server) users(ids ...string) {
	s.t.Helper()
	users := make([]models.UserChange, len(ids))
	for i, id := range ids {
		users[i].UserID = id
	}
	if _, err := s.Store.UpsertUsers(s.t.Context(), users); err != nil {
		s.t.Fatal(err)
	}
}

// reply is an answer. Raw is its whole body; the envelope's fields are set when that is JSON.
type reply struct {
	ErrCode models.Code     `json:"errCode"`
	ErrMsg  string          `json:"errMsg"`
	ErrDlt  string          `json:"errDlt"`
	Data    json.RawMessage `json:"data"`
	Raw     []byte          `json:"-"`
	Header  http.Header     `json:"-"`
}

// into decodes the envelope's data.
func (r reply) into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal(r.Data, v); err != nil {
		t.Fatalf("data of %s: %v", r.Raw, err)
	}
}

// fields are the refused fields by name, with their reasons.
func (r reply) fields(t testing.TB) map[string]string {
	t.Helper()
	var data struct{ Fields []models.FieldError }
	if len(r.Data) > 0 {
		r.into(t, &data)
	}
	fields := map[string]string{}
	for _, f := range data.Fields {
		fields[f.Field] = f.Reason
	}
	return fields
}

// do sends a request and reads the whole answer. A body is nil, a string, bytes, a Reader, or a value to be
// sent as JSON. headers are names and values in turn; without a token among them it goes out with an admin's,
// with an empty one without any. Redirects are not followed. The request is raw, since these tests also send what the
// product's client cannot, and read answers byte by byte.
func (s *server) do(method, path string, body any, headers ...string) (status int, got reply) {
	s.t.Helper()
	var from io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		from = bytes.NewReader([]byte(b))
	case []byte:
		from = bytes.NewReader(b)
	case io.Reader:
		from = b
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			s.t.Fatal(err)
		}
		from = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.URL+path, from)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("token", s.adminToken())
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	if req.Header.Get("token") == "" {
		req.Header.Del("token")
	}
	res, err := contract.Transport(s.t, http.DefaultTransport).RoundTrip(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	got.Header = res.Header
	if got.Raw, err = io.ReadAll(res.Body); err != nil {
		s.t.Fatal(err)
	}
	_ = json.Unmarshal(got.Raw, &got)
	return res.StatusCode, got
}
