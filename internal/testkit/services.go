package testkit

import (
	"path/filepath"
	"testing"

	"carillon/internal/testkit/services"
)

// MariaDB, Redis and Nginx are private servers with Start, Stop, Kill, Pause, Resume, URL and Log.
type (
	MariaDB = services.MariaDB
	Redis   = services.Redis
	Nginx   = services.Nginx
)

// PrivateMariaDB starts a server for this test alone, with MariaDB's default durability unless flags say
// otherwise (services.FastDurability). Its URL names no database: services.CreateDatabase makes one.
func PrivateMariaDB(tb testing.TB, flags ...string) *MariaDB {
	tb.Helper()
	needStores(tb)
	return private(tb, "mariadb", func(dir string) (*MariaDB, error) { return services.StartMariaDB(dir, flags...) })
}

// PrivateRedis starts a server for this test alone; settings are lines of a redis.conf.
func PrivateRedis(tb testing.TB, settings ...string) *Redis {
	quiet()
	tb.Helper()
	needStores(tb)
	return private(tb, "redis", func(dir string) (*Redis, error) { return services.StartRedis(dir, settings...) })
}

// PrivateNginx starts an nginx for this test alone. site is what stands in its http block; it listens on 127.0.0.1:port.
func PrivateNginx(tb testing.TB, site func(port int) string) *Nginx {
	tb.Helper()
	if err := services.NginxRuns(); err != nil {
		missing(tb, err.Error()+": run make test, which gets nginx")
	}
	return private(tb, "nginx", func(dir string) (*Nginx, error) { return services.StartNginx(dir, site) })
}

// Promtool is the path of Prometheus' promtool.
func Promtool(tb testing.TB) string {
	tb.Helper()
	path, err := services.Promtool()
	if err != nil {
		missing(tb, err.Error()+": run make test, which gets it")
	}
	return path
}

// Chromium is the path of a browser that needs no screen.
func Chromium(tb testing.TB) string {
	tb.Helper()
	path, err := services.Chromium()
	if err != nil {
		missing(tb, err.Error()+": run make test, which installs it")
	}
	return path
}

func needStores(tb testing.TB) {
	tb.Helper()
	if err := services.Available(); err != nil {
		missing(tb, err.Error()+": run make test, which installs MariaDB and Redis")
	}
}

type server interface {
	Kill() error
	LogTail() string
}

func private[S server](tb testing.TB, name string, start func(dir string) (S, error)) S {
	tb.Helper()
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
