package inbox

import (
	"context"

	"github.com/redis/go-redis/v9"

	"carillon/channels"
)

// Config is the channel's settings.
type Config struct {
	Rate int `group:"settings" name:"inbox-rate" default:"0" help:"Recipients per second of the inbox channel, over all processes; 0 = no limit."`
}

var _ channels.Settings = Config{}

// Name is the channel's.
func (Config) Name() string { return Name }

// IsSet: it needs nothing.
func (Config) IsSet() bool { return true }

// Mistakes: there are none but those of the rate, which is checked like that of any channel.
func (Config) Mistakes(bool) []string { return nil }

// Warnings are none.
func (Config) Warnings() []channels.Finding { return nil }

// Place is none.
func (Config) Place() string { return "" }

// PerSecond is the limit.
func (c Config) PerSecond() int { return c.Rate }

// Open is New.
func (Config) Open(rdb redis.UniversalClient) (channels.Channel, error) { return New(rdb), nil }

// Check: there is no provider.
func (Config) Check(context.Context, redis.UniversalClient) []channels.Finding { return nil }
