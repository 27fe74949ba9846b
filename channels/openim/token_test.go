package openim

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/internal/testkit"
	double "carillon/internal/testkit/openim"
)

// crowd makes calls with every client at once, several each, and returns the errors.
func crowd(t *testing.T, clients []*Client, calls int) (errs []error) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, c := range clients {
		for range calls {
			wg.Go(func() {
				_, _, err := c.Users(t.Context(), 1, 1)
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			})
		}
	}
	wg.Wait()
	return errs
}

// Two processes share one token: OpenIM is asked once in the beginning and once for each kick, whoever notices it.
func TestOneTokenForAll(t *testing.T) {
	testkit.EachRedis(t, func(t *testing.T, url string) {
		k := newKit(t, 3)
		clients := []*Client{k.client(redisAt(t, url)), k.client(redisAt(t, url))}
		for round := range 3 {
			if err := errors.Join(crowd(t, clients, 10)...); err != nil {
				t.Fatal(err)
			}
			if s := k.seen(); s.Issued != round+1 || s.Requests[routeAdminToken] != round+1 {
				t.Fatalf("after %d kicks OpenIM was asked for %d tokens in %d calls", round, s.Issued, s.Requests[routeAdminToken])
			}
			if n, err := k.Kick(t.Context()); err != nil || n != 1 {
				t.Fatal(n, err)
			}
		}
	})
}

// Who gets the lock after another process has stored a token takes that token, and does not ask OpenIM.
func TestTokenStoredBeforeTheLock(t *testing.T) {
	testkit.EachRedis(t, func(t *testing.T, url string) {
		k := newKit(t, 1)
		first, second := k.client(redisAt(t, url)), k.client(redisAt(t, url))
		if _, err := first.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, err := second.tokens.underLock(t.Context(), "second", nil)
		if err != nil || got.text != first.tokens.current.Load().text {
			t.Errorf("%+v, %v", got, err)
		}
		if n := k.seen().Requests[routeAdminToken]; n != 1 {
			t.Errorf("OpenIM was asked for %d tokens", n)
		}
	})
}

// Nothing that is in Redis is a token, and another secret cannot read it.
func TestTokenInRedisIsSealed(t *testing.T) {
	k := newKit(t, 1)
	url := testkit.EmbeddedRedisURL(t)
	rdb := redisAt(t, url)
	c := k.client(rdb)
	if _, err := c.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, keys := c.tokens.current.Load().text, rdb.Keys(t.Context(), "*").Val()
	if len(keys) != 1 || !strings.HasPrefix(keys[0], "carillon:openim:token:") { // the lock is gone
		t.Fatalf("keys: %q", keys)
	}
	raw := rdb.Get(t.Context(), keys[0]).Val()
	if strings.Contains(raw, text) || strings.Contains(raw, "eyJ") || strings.Contains(keys[0], secret) {
		t.Errorf("Redis holds the token: %q", raw)
	}
	if one := c.tokens.seal.open([]byte(raw)); one == nil || one.text != text {
		t.Fatal("the token cannot be read again")
	}
	for name, change := range map[string]func(*Config){
		"secret": func(c *Config) { c.Secret += "x" }, "URL": func(c *Config) { c.URL += "/x" }, "admin": func(c *Config) { c.Admin = "x" },
	} {
		cfg := k.config()
		change(&cfg)
		other, key, err := newSeal(cfg.URL, cfg)
		if err != nil || strings.HasSuffix(keys[0], key) || other.open([]byte(raw)) != nil {
			t.Errorf("another %s opens the token: %v", name, err)
		}
	}
	if ttl := rdb.TTL(t.Context(), keys[0]).Val(); ttl <= 0 || ttl > 91*24*time.Hour {
		t.Errorf("the token stays in Redis for %s", ttl)
	}
	if err := rdb.Set(t.Context(), keys[0], "garbage", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := k.client(redisAt(t, url)).Ping(t.Context()); err != nil { // garbage is as good as nothing
		t.Error(err)
	}
}

// Without Redis each process asks for itself: once, and once for each token that is refused.
func TestTokenWithoutRedis(t *testing.T) {
	k := newKit(t, 3)
	c := k.client(away(t))
	for round := range 2 {
		if err := errors.Join(crowd(t, []*Client{c}, 10)...); err != nil {
			t.Fatal(err)
		}
		if s := k.seen(); s.Issued != round+1 {
			t.Fatalf("after %d kicks %d tokens", round, s.Issued)
		}
		if _, err := k.Kick(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// A renewal that fails is not tried again by everybody who waits for it, in this process or another.
func TestFailedRenewalIsSharedToo(t *testing.T) {
	k := newKit(t, 1)
	url := testkit.EmbeddedRedisURL(t)
	wrong := func(c *Config) { c.Secret = "wrong-secret" }
	clients := []*Client{k.client(redisAt(t, url), wrong), k.client(redisAt(t, url), wrong)}
	began := time.Now()
	for _, err := range crowd(t, clients, 20) {
		if e := (*Error)(nil); !errors.As(err, &e) || e.Kind != Secret {
			t.Fatal(err)
		}
	}
	n := k.seen().Requests[routeAdminToken]
	if most := 2 + int(time.Since(began)/renewPause); n < 1 || n > most {
		t.Errorf("%d calls, at most %d", n, most)
	}
}

// A token is renewed before its end, by one call, and what is under way goes on with the old one.
func TestTokenIsRenewedEarly(t *testing.T) {
	k := newKit(t, 1)
	rdb := redisAt(t, testkit.EmbeddedRedisURL(t))
	c := k.client(rdb)
	old, err := c.tokens.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if life := time.Until(old.ends); life < 80*24*time.Hour || old.ends.Sub(old.renewAt) != earlyAtMost {
		t.Errorf("lives %s, is renewed %s before its end", life, old.ends.Sub(old.renewAt))
	}
	aged := *old
	aged.renewAt = time.Now().Add(-time.Second)
	c.tokens.current.Store(&aged)
	c.tokens.store(t.Context(), &aged)
	c.tokens.turn <- struct{}{} // somebody renews it
	if got, err := c.tokens.get(t.Context()); err != nil || got != &aged {
		t.Errorf("%v, %v: does not go on with the old token", got, err)
	}
	c.tokens.release()
	if err := errors.Join(crowd(t, []*Client{c, k.client(rdb)}, 5)...); err != nil {
		t.Fatal(err)
	}
	if s := k.seen(); s.Issued != 2 {
		t.Errorf("%d tokens", s.Issued)
	}
	if got := c.tokens.current.Load(); got.id == old.id {
		t.Error("was not renewed")
	}
	aged.ends = time.Now().Add(time.Hour)
	c.tokens.current.Store(&aged)
	if err := k.Behave(t.Context(), double.Manners{Faults: []double.Fault{{Kind: double.Status, Status: 503, Route: routeAdminToken}}}); err != nil {
		t.Fatal(err)
	}
	if err := rdb.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if got, err := c.tokens.get(t.Context()); err != nil || got != &aged {
		t.Errorf("%v, %v: an early renewal that fails must not matter", got, err)
	}
}

// Whoever gives up waiting leaves, and the renewal of another is not disturbed.
func TestRenewalGivenUp(t *testing.T) {
	k := newKit(t, 1)
	c := k.client(redisAt(t, testkit.EmbeddedRedisURL(t)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.tokens.renew(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := c.Ping(t.Context()); err != nil { // nobody's end is remembered as a failure
		t.Error(err)
	}
}

// A holder of the lock who was killed stops nobody for longer than the lock lives.
func TestLockOfTheDead(t *testing.T) {
	k := newKit(t, 1)
	rdb := redisAt(t, testkit.EmbeddedRedisURL(t))
	c := k.client(rdb, func(c *Config) { c.Timeout = time.Second })
	if err := rdb.Set(t.Context(), c.tokens.key+":lock", "dead", 700*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	// A lock that is not ours is left alone.
	if err := rdb.Set(t.Context(), c.tokens.key+":lock", "another", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	if n, err := unlockScript.Run(t.Context(), rdb, []string{c.tokens.key + ":lock"}, "mine", 0).Int(); err != nil || n != 0 {
		t.Error(n, err)
	}
}
