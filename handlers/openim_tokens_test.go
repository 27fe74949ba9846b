package handlers

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	channel "carillon/channels/openim"
	"carillon/handlers/web"
	"carillon/internal/testkit"
	"carillon/internal/testkit/openim"
	"carillon/models"
)

const openIMSecret = "the secret of the OpenIM server"

// original is a double of OpenIM, and how often it was asked about tokens.
type original struct {
	openim.Client
	asked atomic.Int64
	parse web.ParseToken
}

func newOriginal(t *testing.T) *original {
	t.Helper()
	d, err := openim.Start(openim.Options{Log: filepath.Join(t.TempDir(), "log"), Secret: openIMSecret, Users: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	client, err := channel.NewClient(channel.Config{URL: d.URL(), Secret: openIMSecret}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	o := &original{Client: openim.Client{URL: d.URL()}}
	o.parse = func(ctx context.Context, token string) (string, int, time.Time, error) {
		o.asked.Add(1)
		userID, platformID, expires, err := client.ParseToken(ctx, token)
		var refused *channel.Error
		if errors.As(err, &refused) && refused.Kind == channel.Token {
			err = models.Errorf(refused.Code, "OpenIM refuses the token")
		}
		return userID, platformID, expires, err
	}
	return o
}

// token is one that the original gives out.
func (o *original) token(t *testing.T, userID string, platformID int) string {
	t.Helper()
	token, err := o.Token(t.Context(), openim.TokenFor{UserID: userID, PlatformID: platformID})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// noMore checks how often the original was asked since the last look.
func (o *original) noMore(t *testing.T, what string, than int64) {
	t.Helper()
	if n := o.asked.Swap(0); n != than {
		t.Errorf("%s: OpenIM was asked %d times, not %d", what, n, than)
	}
}

// forged is a token of the claims with somebody's signature.
func forged(t *testing.T, userID string, platformID int, life time.Duration, more string) string {
	t.Helper()
	c := jwt.MapClaims{"UserID": userID, "PlatformID": platformID, "exp": time.Now().Add(life).Unix(), "more": more}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString([]byte("somebody's own secret"))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestTokensThatOpenIMKnows: an admin's token of OpenIM's opens what our own opens, and is asked about once.
func TestTokensThatOpenIMKnows(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		o := newOriginal(t)
		s := newServer(t, stores, func(a *API) { a.ParseToken = o.parse })
		s.users("u1")
		good := o.token(t, "imAdmin", web.AdminPlatform)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if status, got := s.send(okBatch.body(), "token", good); status != http.StatusOK || got.ErrCode != 0 {
					t.Errorf("%d %s", status, got.Raw)
				}
			})
		}
		all.Wait()
		o.noMore(t, "20 requests with one token", 1)
		for _, c := range []struct {
			what, token string
			code        models.Code
			asked       int64
		}{
			{"a user's token", o.token(t, "u000001", 1), models.CodeTokenUnknown, 0},
			{"an admin of theirs who is none here", o.token(t, "u000001", web.AdminPlatform), models.CodeTokenUnknown, 0},
			{"a forged one", forged(t, "imAdmin", web.AdminPlatform, time.Hour, ""), models.CodeTokenUnknown, 1},
			{"the same again", forged(t, "imAdmin", web.AdminPlatform, time.Hour, ""), models.CodeTokenUnknown, 0},
			{"one that has expired", forged(t, "imAdmin", web.AdminPlatform, -time.Minute, ""), models.CodeTokenExpired, 0},
			{"no token", "garbage", models.CodeTokenMalformed, 0},
			{"our own", s.adminToken(), 0, 0},
		} {
			if _, got := s.send(okBatch.body(), "token", c.token); got.ErrCode != c.code {
				t.Errorf("%s: %s, want %d", c.what, got.Raw, c.code)
			}
			o.noMore(t, c.what, c.asked)
		}
		s.SetAdmins([]string{"openIMAdmin"})
		if _, got := s.send(okBatch.body(), "token", good); got.ErrCode == 0 {
			t.Error("who is no admin any more sends")
		}
		if status, got := s.logIn(good, ""); status == http.StatusSeeOther {
			t.Errorf("a session outlives the token: %s", got.Raw)
		}
	})
}

// TestAKickedToken: two processes ask each for itself, and each refuses a kicked token when its minute is over.
func TestAKickedToken(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		o := newOriginal(t)
		var passes runningClock
		first := newServer(t, stores, func(a *API) { a.ParseToken, a.Clock = o.parse, passes.now })
		second := newServer(t, stores, func(a *API) { a.ParseToken, a.Store, a.Redis = o.parse, first.Store, first.Redis })
		good := o.token(t, "imAdmin", web.AdminPlatform)
		ask := func(s *server) (int, reply) {
			return s.do(http.MethodGet, "/v1/campaigns", nil, "token", good)
		}
		if status, got := ask(first); status != http.StatusOK {
			t.Fatalf("%d %s", status, got.Raw)
		}
		if n, err := o.Kick(t.Context()); err != nil || n == 0 {
			t.Fatal(n, err)
		}
		if status, got := ask(second); status != http.StatusUnauthorized || got.ErrCode != models.CodeTokenKicked {
			t.Errorf("a process that sees it for the first time: %d %s", status, got.Raw)
		}
		passes.tick(time.Minute)
		if status, got := ask(first); status != http.StatusUnauthorized || got.ErrCode != models.CodeTokenKicked {
			t.Errorf("a minute later: %d %s", status, got.Raw)
		}
		o.noMore(t, "two processes", 3)
	})
}

// runningClock is a clock that runs, and that a test may move on.
type runningClock struct{ ahead atomic.Int64 }

func (c *runningClock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *runningClock) tick(by time.Duration) { c.ahead.Add(int64(by)) }

// TestGuessesDoNotReachOpenIM: an address has its ten tries, over all processes. A token that has stood is none of them.
func TestGuessesDoNotReachOpenIM(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		o := newOriginal(t)
		var passes runningClock
		first := newServer(t, stores, func(a *API) { a.ParseToken, a.Clock = o.parse, passes.now })
		second := newServer(t, stores, func(a *API) { a.ParseToken, a.Store, a.Redis = o.parse, first.Store, first.Redis })
		first.users("u1")
		good, unseen := o.token(t, "imAdmin", web.AdminPlatform), o.token(t, "openIMAdmin", web.AdminPlatform)
		if _, got := first.send(okBatch.body(), "token", good); got.ErrCode != 0 {
			t.Fatalf("%s", got.Raw)
		}
		o.noMore(t, "a good token", 1)
		var refused, throttled int
		for i := range 3 * web.MaxTries {
			s := []*server{first, second}[i%2]
			switch status, got := s.send(okBatch.body(), "token", forged(t, "imAdmin", web.AdminPlatform, time.Hour, strconv.Itoa(i))); {
			case status == http.StatusOK && got.ErrCode == models.CodeTokenUnknown:
				refused++
			case status == http.StatusTooManyRequests && got.ErrCode == models.CodeTooManyRequests && got.Header.Get("Retry-After") != "":
				throttled++
			default:
				t.Errorf("guess %d: %d %s", i, status, got.Raw)
			}
		}
		if refused != web.MaxTries || throttled != 2*web.MaxTries {
			t.Errorf("%d refused, %d throttled", refused, throttled)
		}
		o.noMore(t, "guesses", web.MaxTries)
		if status, _ := first.send(okBatch.body(), "token", unseen); status != http.StatusTooManyRequests {
			t.Errorf("a token that nobody has seen: %d", status)
		}
		passes.tick(time.Minute)
		if _, got := first.send(okBatch.body(), "token", good); got.ErrCode != 0 {
			t.Errorf("whose token has stood is locked out: %s", got.Raw)
		}
		o.noMore(t, "the good token again", 1)
	})
}

// TestOpenIMAwayOpensNothing: 503 and no more than one question a second. What OpenIM said before counts on.
func TestOpenIMAwayOpensNothing(t *testing.T) {
	t.Parallel()
	o := newOriginal(t)
	var log logged
	var passes runningClock
	s := newServer(t, embedded(t), func(a *API) {
		a.Clock, a.ParseToken, a.Log = passes.now, o.parse, slog.New(slog.NewTextHandler(&log, nil))
	})
	s.users("u1")
	good, other := o.token(t, "imAdmin", web.AdminPlatform), o.token(t, "openIMAdmin", web.AdminPlatform)
	if _, got := s.send(okBatch.body(), "token", good); got.ErrCode != 0 {
		t.Fatalf("%s", got.Raw)
	}
	for what, fault := range map[string]openim.Fault{
		"a web page": {Kind: openim.Malformed}, "cut": {Kind: openim.Cut}, "closed": {Kind: openim.Closed},
		"502": {Kind: openim.Status, Status: 502}, "its own trouble": {Kind: openim.Code, Code: 500, Text: "no database"},
	} {
		fault.Route = "/auth/parse_token"
		if err := o.Behave(t.Context(), openim.Manners{Faults: []openim.Fault{fault}}); err != nil {
			t.Fatal(err)
		}
		o.asked.Store(0)
		for range web.MaxTries + 2 { // an outage of OpenIM's uses up nobody's tries
			status, got := s.send(okBatch.body(), "token", other)
			if status != http.StatusServiceUnavailable || got.ErrCode != models.CodeUnavailable || got.Header.Get("Retry-After") == "" {
				t.Errorf("%s: %d %s", what, status, got.Raw)
			}
		}
		if n := o.asked.Load(); n == 0 || n > web.MaxTries {
			t.Errorf("%s: OpenIM was asked %d times", what, n)
		}
		if _, got := s.send(okBatch.body(), "token", good); got.ErrCode != 0 {
			t.Errorf("%s: what it said before: %s", what, got.Raw)
		}
		passes.tick(time.Second)
	}
	if err := o.Behave(t.Context(), openim.Manners{}); err != nil {
		t.Fatal(err)
	}
	passes.tick(time.Second)
	if _, got := s.send(okBatch.body(), "token", other); got.ErrCode != 0 {
		t.Errorf("when OpenIM is back: %s", got.Raw)
	}
	if text := log.String(); !strings.Contains(text, "OpenIM") || strings.Contains(text, good) || strings.Contains(text, other) || strings.Contains(text, "eyJ") {
		t.Errorf("the log: %s", text)
	}
}

// logged is a log that may be read while it is written.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
