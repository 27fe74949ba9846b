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
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	channel "carillon/channels/openim"
	"carillon/internal/testkit"
	"carillon/internal/testkit/openim"
	"carillon/models"
)

const openIMSecret = "the secret of the OpenIM server"

// original is a double of OpenIM, and how often it was asked about tokens.
type original struct {
	openim.Client
	asked atomic.Int64
	parse ParseToken
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
		good := o.token(t, "imAdmin", AdminPlatform)
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
			{"an admin of theirs who is none here", o.token(t, "u000001", AdminPlatform), models.CodeTokenUnknown, 0},
			{"a forged one", forged(t, "imAdmin", AdminPlatform, time.Hour, ""), models.CodeTokenUnknown, 1},
			{"the same again", forged(t, "imAdmin", AdminPlatform, time.Hour, ""), models.CodeTokenUnknown, 0},
			{"one that has expired", forged(t, "imAdmin", AdminPlatform, -time.Minute, ""), models.CodeTokenExpired, 0},
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
		first := newServer(t, stores, func(a *API) { a.ParseToken = o.parse })
		second := newServer(t, stores, func(a *API) { a.ParseToken, a.Store, a.Redis = o.parse, first.Store, first.Redis })
		good := o.token(t, "imAdmin", AdminPlatform)
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
		first.openIM.age(askedFor)
		if status, got := ask(first); status != http.StatusUnauthorized || got.ErrCode != models.CodeTokenKicked {
			t.Errorf("a minute later: %d %s", status, got.Raw)
		}
		o.noMore(t, "two processes", 3)
	})
}

// age lets time pass for what OpenIM has said.
func (o *openIMTokens) age(by time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for hash, c := range o.stand {
		c.ExpiresAt = jwt.NewNumericDate(c.ExpiresAt.Add(-by))
		o.stand[hash] = c
	}
	for hash, one := range o.refused {
		one.until = one.until.Add(-by)
		o.refused[hash] = one
	}
	o.until = o.until.Add(-by)
}

// TestAnAnswerCountsForAMinute: not a moment longer, and no longer than the token itself.
func TestAnAnswerCountsForAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var o openIMTokens
		parse := func(life time.Duration) ParseToken {
			return func(context.Context, string) (string, int, time.Time, error) {
				time.Sleep(2 * time.Second) // the token may be kicked while the answer is under way
				return "imAdmin", AdminPlatform, time.Now().Add(life), nil
			}
		}
		for i, c := range []struct{ life, counts time.Duration }{{time.Hour, 58 * time.Second}, {20 * time.Second, 20 * time.Second}} {
			hash := tokenHash{byte(i)}
			asked, got, err := o.ask(t.Context(), parse(c.life), "token")
			if err != nil {
				t.Fatal(err)
			}
			o.keep(hash, &got, asked)
			time.Sleep(c.counts - time.Second)
			if _, ok, _ := o.said(hash); !ok {
				t.Errorf("life %s: asked again before %s", c.life, c.counts)
			}
			time.Sleep(time.Second)
			if _, ok, _ := o.said(hash); ok || !o.stood(hash) {
				t.Errorf("life %s: counts for more than %s", c.life, c.counts)
			}
		}
	})
}

// TestGuessesDoNotReachOpenIM: an address has its ten tries, over all processes. A token that has stood is none of them.
func TestGuessesDoNotReachOpenIM(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		o := newOriginal(t)
		first := newServer(t, stores, func(a *API) { a.ParseToken = o.parse })
		second := newServer(t, stores, func(a *API) { a.ParseToken, a.Store, a.Redis = o.parse, first.Store, first.Redis })
		first.users("u1")
		good, unseen := o.token(t, "imAdmin", AdminPlatform), o.token(t, "openIMAdmin", AdminPlatform)
		if _, got := first.send(okBatch.body(), "token", good); got.ErrCode != 0 {
			t.Fatalf("%s", got.Raw)
		}
		o.noMore(t, "a good token", 1)
		var refused, throttled int
		for i := range 3 * maxTries {
			s := []*server{first, second}[i%2]
			switch status, got := s.send(okBatch.body(), "token", forged(t, "imAdmin", AdminPlatform, time.Hour, strconv.Itoa(i))); {
			case status == http.StatusOK && got.ErrCode == models.CodeTokenUnknown:
				refused++
			case status == http.StatusTooManyRequests && got.ErrCode == models.CodeTooManyRequests && got.Header.Get("Retry-After") != "":
				throttled++
			default:
				t.Errorf("guess %d: %d %s", i, status, got.Raw)
			}
		}
		if refused != maxTries || throttled != 2*maxTries {
			t.Errorf("%d refused, %d throttled", refused, throttled)
		}
		o.noMore(t, "guesses", maxTries)
		if status, _ := first.send(okBatch.body(), "token", unseen); status != http.StatusTooManyRequests {
			t.Errorf("a token that nobody has seen: %d", status)
		}
		first.openIM.age(askedFor)
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
	s := newServer(t, embedded(t), func(a *API) { a.ParseToken, a.Log = o.parse, slog.New(slog.NewTextHandler(&log, nil)) })
	s.users("u1")
	good, other := o.token(t, "imAdmin", AdminPlatform), o.token(t, "openIMAdmin", AdminPlatform)
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
		for range maxTries + 2 { // an outage of OpenIM's uses up nobody's tries
			status, got := s.send(okBatch.body(), "token", other)
			if status != http.StatusServiceUnavailable || got.ErrCode != models.CodeUnavailable || got.Header.Get("Retry-After") == "" {
				t.Errorf("%s: %d %s", what, status, got.Raw)
			}
		}
		if n := o.asked.Load(); n == 0 || n > maxTries {
			t.Errorf("%s: OpenIM was asked %d times", what, n)
		}
		if _, got := s.send(okBatch.body(), "token", good); got.ErrCode != 0 {
			t.Errorf("%s: what it said before: %s", what, got.Raw)
		}
		s.openIM.age(awayFor)
	}
	if err := o.Behave(t.Context(), openim.Manners{}); err != nil {
		t.Fatal(err)
	}
	s.openIM.age(awayFor)
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

// TestRememberedTokensAreFew: neither list grows without end.
func TestRememberedTokensAreFew(t *testing.T) {
	t.Parallel()
	var o openIMTokens
	for i := range 3*maxAsked + 1 {
		hash := tokenHash{byte(i), byte(i >> 8)}
		c := claims{RegisteredClaims: jwt.RegisteredClaims{ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour))}}
		o.keep(hash, &c, time.Now())
		hash[2] = 1
		o.refuse(hash, models.Errorf(models.CodeTokenUnknown, "no"))
	}
	if len(o.stand) > maxAsked || len(o.refused) > maxAsked {
		t.Errorf("%d and %d", len(o.stand), len(o.refused))
	}
}
