// Package testkit gives tests real stores: a fresh database and an own Redis for each of them, and private
// servers for the tests that stop theirs. `make test` starts the shared servers and names them in the
// environment.
package testkit

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"carillon/internal/embedded"
	"carillon/internal/testkit/services"
)

// The shared servers of a test run; runtests sets all three.
const (
	mysqlEnv   = "CARILLON_TEST_MYSQL_URL" // a user who may create databases
	redisEnv   = "CARILLON_TEST_REDIS_URL" // 1024 databases
	requireEnv = "CARILLON_TEST_REQUIRE"   // 1: a missing server is a failure, as with CI=true
)

// redisDatabases is how many database numbers tests share; number 0 holds the counter that hands them out.
const redisDatabases = 1023

// Stores is where one test keeps its data.
type Stores struct {
	Name        string // "embedded" or "mariadb+redis"
	DatabaseURL string
	RedisURL    string
}

// quiet keeps the Redis client from printing what it also returns as errors: tests take servers away on purpose.
var quiet = sync.OnceFunc(func() { redis.SetLogger(silence{}) })

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// EachStore runs f twice, in parallel, on fresh stores: as the subtests "embedded" and "mariadb+redis".
func EachStore(t *testing.T, f func(t *testing.T, s Stores)) {
	t.Helper()
	quiet()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		f(t, Stores{
			Name:        "embedded",
			DatabaseURL: "sqlite:" + filepath.Join(t.TempDir(), "carillon.db"),
			RedisURL:    EmbeddedRedisURL(t),
		})
	})
	t.Run("mariadb+redis", func(t *testing.T) {
		t.Parallel()
		f(t, Stores{Name: "mariadb+redis", DatabaseURL: MySQLURL(t), RedisURL: RedisURL(t)})
	})
}

// EachRedis is EachStore for what needs Redis alone: it runs f on the embedded Redis and on a real one.
func EachRedis(t *testing.T, f func(t *testing.T, redisURL string)) {
	t.Helper()
	quiet()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		f(t, EmbeddedRedisURL(t))
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		f(t, RedisURL(t))
	})
}

// MySQLURL makes an empty database for this test and drops it at the end.
func MySQLURL(tb testing.TB) string {
	tb.Helper()
	dbURL, drop, err := services.CreateDatabase(shared(tb, mysqlEnv))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := drop(); err != nil {
			tb.Errorf("%v (did the test leave a transaction open?)", err)
		}
	})
	return dbURL
}

// RedisURL gives this test an empty database of the shared Redis. Numbers come round again after 1,023 tests.
//
// Two things reach across numbers: FLUSHALL, for which there is PrivateRedis, and publish/subscribe, so tests
// that subscribe use names that no other test has.
func RedisURL(tb testing.TB) string {
	tb.Helper()
	server := shared(tb, redisEnv)
	count, err := services.RedisDo(server, "INCR", "carillon:test:databases")
	if err != nil {
		tb.Fatal(err)
	}
	n, err := strconv.Atoi(count)
	if err != nil {
		tb.Fatal(err)
	}
	u, err := url.Parse(server)
	if err != nil {
		tb.Fatal(err)
	}
	u.Path = "/" + strconv.Itoa(n%redisDatabases+1)
	if _, err := services.RedisDo(u.String(), "FLUSHDB"); err != nil {
		tb.Fatal(err)
	}
	return u.String()
}

// EmbeddedRedisURL starts an in-process Redis as the embedded stores have it: with a password, and with a
// clock that moves its expiries once a second.
func EmbeddedRedisURL(tb testing.TB) string {
	tb.Helper()
	embedded.SmallStacks()
	m := miniredis.NewMiniRedis()
	password := rand.Text()
	m.RequireAuth(password)
	if err := m.Start(); err != nil {
		tb.Fatal(err)
	}
	stop := make(chan struct{})
	var clock sync.WaitGroup
	clock.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				m.FastForward(time.Second)
			}
		}
	})
	tb.Cleanup(func() {
		close(stop)
		clock.Wait()
		m.Close()
	})
	return "redis://:" + password + "@" + m.Addr() + "/0"
}

// shared is the URL of a server of the test run. Without it the test cannot run: on a developer's machine it
// is skipped, loudly; where results count it fails.
func shared(tb testing.TB, env string) string {
	tb.Helper()
	v := os.Getenv(env)
	if v == "" {
		missing(tb, env+" is not set: run make test, which starts MariaDB and Redis")
	}
	return v
}

func missing(tb testing.TB, why string) {
	tb.Helper()
	if os.Getenv("CI") == "true" || os.Getenv(requireEnv) == "1" {
		tb.Fatal(why)
	}
	tb.Skip("NOT TESTED: " + why)
}
