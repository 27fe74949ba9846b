package testkit

import (
	"path/filepath"
	"testing"

	"carillon/internal/testkit/services"
)

// MariaDB and Redis are private servers with Start, Stop, Kill, Pause, Resume, URL and Log.
type (
	MariaDB = services.MariaDB
	Redis   = services.Redis
)

// PrivateMariaDB starts a server for this test alone, with MariaDB's default durability unless flags say
// otherwise (services.FastDurability). Its URL names no database: services.CreateDatabase makes one.
func PrivateMariaDB(tb testing.TB, flags ...string) *MariaDB {
	tb.Helper()
	return private(tb, "mariadb", func(dir string) (*MariaDB, error) { return services.StartMariaDB(dir, flags...) })
}

// PrivateRedis starts a server for this test alone; settings are lines of a redis.conf.
func PrivateRedis(tb testing.TB, settings ...string) *Redis {
	quiet()
	tb.Helper()
	return private(tb, "redis", func(dir string) (*Redis, error) { return services.StartRedis(dir, settings...) })
}

type server interface {
	Kill() error
	LogTail() string
}

func private[S server](tb testing.TB, name string, start func(dir string) (S, error)) S {
	tb.Helper()
	if err := services.Available(); err != nil {
		missing(tb, err.Error()+": run make test, which installs MariaDB and Redis")
	}
	s, err := start(filepath.Join(tb.TempDir(), name))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		// The data goes with the test, so nothing is gained by an orderly stop.
		if err := s.Kill(); err != nil {
			tb.Error(err)
		}
		if tb.Failed() {
			tb.Logf("end of the log of %s:\n%s", name, s.LogTail())
		}
	})
	return s
}
