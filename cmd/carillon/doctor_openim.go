package main

import (
	"context"

	"github.com/redis/go-redis/v9"

	"carillon/channels/openim"
	"carillon/internal/config"
)

// openim asks OpenIM for a token and for the number of its users. It sends no message.
func (x *examination) openim() {
	cfg := x.a.cfg
	if cfg.OpenIMURL == "" {
		return
	}
	var rdb redis.UniversalClient // nil: the Redis inside carillon serve cannot be reached from here
	if !cfg.EmbeddedRedis() {
		if conn, err := config.Redis(cfg.RedisURL); err == nil {
			rdb = conn.MakeRedisClient().(redis.UniversalClient) //nolint:forcetypeassert // so it is documented
			defer func() { _ = rdb.Close() }()
		}
	}
	client, err := openim.NewClient(cfg.OpenIM(), rdb)
	if err != nil {
		x.add("openim", stateFail, "%v", err)
		return
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(x.a.ctx, 2*cfg.OpenIMTimeout) // a token and a page of users
	defer cancel()
	found, err := client.Ping(ctx)
	switch {
	case err != nil:
		x.add("openim", stateFail, "%v", err)
	case found.Timed && found.Ahead.Abs() > maxApart:
		x.add("openim", stateWarn, "reachable, token accepted, %d users; clocks apart: its is %s ahead of this machine's: let NTP set both", found.Users, found.Ahead)
	default:
		x.add("openim", stateOK, "reachable, token accepted, %d users; its API does not tell its version", found.Users)
	}
}
