package config

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Redis may be away for long. Nothing should wait for it: a caller that finds Redis away says so
// and tries again later.
const (
	redisDial    = time.Second
	redisIO      = 3 * time.Second
	redisRetries = 1 // for a pooled connection that Redis has closed meanwhile
	redisPool    = 64
)

// RedisConn makes clients of one Redis. Each client is a redis.UniversalClient. It is an
// asynq.RedisConnOpt.
type RedisConn interface{ MakeRedisClient() any }

// Redis turns a URL into the way to a Redis; it opens no connection. Its error completes the sentence
// "CARILLON_REDIS_URL …" and does not quote the URL.
//
//	redis[s]://[user]:password@host:6379/0
//	redis-sentinel://[user]:password@host:26379,host:26379/0?master=name[&sentinel_password=…]
func Redis(rawURL string) (RedisConn, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" {
		return nil, errors.New("must look like redis://:password@host:6379/0, special characters of the password percent-encoded")
	}
	switch u.Scheme {
	case "redis", "rediss":
		o, err := redis.ParseURL(rawURL)
		if err != nil { // the error's text could quote the password
			return nil, errors.New("must look like redis://:password@host:6379/0; after the host only the database's number can stand")
		}
		return single(*o), nil
	case "redis-sentinel":
		return parseSentinel(u)
	}
	return nil, errors.New("must begin with redis://, rediss:// or redis-sentinel://")
}

// single is one Redis server.
type single redis.Options

// RedisInside is the way to a Redis inside this process, which has no address: dial makes each
// connection.
func RedisInside(dial func() (net.Conn, error)) RedisConn {
	return single{Addr: "embedded", Dialer: func(context.Context, string, string) (net.Conn, error) { return dial() }}
}

// MakeRedisClient gives a new client, a *redis.Client.
func (s single) MakeRedisClient() any {
	o := redis.Options(s)
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = redisDial, redisIO, redisIO
	o.MaxRetries, o.DialerRetries, o.PoolSize = redisRetries, 1, redisPool
	o.ContextTimeoutEnabled = true
	return redis.NewClient(&o)
}

// sentinel is the server that the sentinels call the master at the time.
type sentinel redis.FailoverOptions

// MakeRedisClient gives a new client, a *redis.Client.
func (s sentinel) MakeRedisClient() any {
	o := redis.FailoverOptions(s)
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = redisDial, redisIO, redisIO
	o.MaxRetries, o.DialerRetries, o.PoolSize = redisRetries, 1, redisPool
	o.ContextTimeoutEnabled = true
	return redis.NewFailoverClient(&o)
}

// parseSentinel reads what neither go-redis nor asynq can read: a list of hosts with a user's name.
func parseSentinel(u *url.URL) (RedisConn, error) {
	o := redis.FailoverOptions{MasterName: u.Query().Get("master"), Username: u.User.Username()}
	o.Password, _ = u.User.Password()
	o.SentinelPassword = u.Query().Get("sentinel_password")
	if o.MasterName == "" {
		return nil, errors.New("must name the master: redis-sentinel://host:26379,host:26379/0?master=name")
	}
	if db := strings.Trim(u.Path, "/"); db != "" {
		n, err := strconv.Atoi(db)
		if err != nil || n < 0 {
			return nil, errors.New("must have a database's number after the hosts: redis-sentinel://host,host/0?master=name")
		}
		o.DB = n
	}
	for host := range strings.SplitSeq(u.Host, ",") {
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(host, "26379")
		}
		o.SentinelAddrs = append(o.SentinelAddrs, host)
	}
	return sentinel(o), nil
}
