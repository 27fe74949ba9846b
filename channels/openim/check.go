package openim

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"carillon/channels"
)

// Check asks OpenIM for a token and for the number of its users. It sends no message.
func (c Config) Check(ctx context.Context, rdb redis.UniversalClient) []channels.Finding {
	if !c.IsSet() {
		return nil
	}
	say := func(state channels.State, format string, args ...any) []channels.Finding {
		return []channels.Finding{{Name: Name, State: state, Detail: fmt.Sprintf(format, args...)}}
	}
	client, err := NewClient(c, rdb)
	if err != nil {
		return say(channels.Fail, "%v", err)
	}
	defer client.Close()
	found, err := client.Ping(ctx)
	switch {
	case err != nil:
		return say(channels.Fail, "%v", err)
	case found.Timed && found.Ahead.Abs() > channels.MaxClockApart:
		return say(channels.Warn, "reachable, token accepted, %d users; clocks apart: its clock is %s ahead of this machine's: let NTP set both", found.Users, found.Ahead)
	}
	return say(channels.OK, "reachable, token accepted, %d users; its API does not tell its version", found.Users)
}
