package openim

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"carillon/channels"
	double "carillon/internal/testkit/openim"
)

const secret = "openIM-secret-123"

// kit is a double of OpenIM.
type kit struct {
	double.Client
	t   *testing.T
	log string
}

func newKit(t *testing.T, users int, faults ...double.Fault) *kit {
	t.Helper()
	k := &kit{t: t, log: filepath.Join(t.TempDir(), "log")}
	d, err := double.Start(double.Options{Log: k.log, Secret: secret, Users: users, Manners: double.Manners{Faults: faults}})
	if err != nil {
		t.Fatal(err)
	}
	k.Client = double.Client{URL: d.URL()}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

// seen is what the double has done.
func (k *kit) seen() double.Seen {
	k.t.Helper()
	s, err := k.Seen(k.t.Context())
	if err != nil {
		k.t.Fatal(err)
	}
	return s
}

// lines is the double's log of one route; "" = of all.
func (k *kit) lines(route string) (all []double.Line) {
	k.t.Helper()
	err := double.ReadLog(k.log, func(l double.Line) {
		if route == "" || l.Route == route {
			all = append(all, l)
		}
	})
	if err != nil {
		k.t.Fatal(err)
	}
	return all
}

// config is that of a client of the double.
func (k *kit) config() Config {
	return Config{URL: k.URL, Secret: secret, Admin: defaultAdmin, Timeout: channels.MaxTimeout}
}

func (k *kit) client(rdb redis.UniversalClient, change ...func(*Config)) *Client {
	k.t.Helper()
	cfg := k.config()
	for _, c := range change {
		c(&cfg)
	}
	c, err := NewClient(cfg, rdb)
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(c.Close)
	return c
}

// redisAt is a client of its own, as a process has one.
func redisAt(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	o.DialTimeout, o.MaxRetries, o.DialerRetries = time.Second, -1, 1
	rdb := redis.NewClient(o)
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// away is a Redis that nobody reaches.
func away(t *testing.T) redis.UniversalClient { return redisAt(t, "redis://127.0.0.1:1/0") }
