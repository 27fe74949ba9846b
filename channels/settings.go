package channels

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Settings are one channel's part of the settings: the Config of its folder. Each field is a setting, and has its whole
// name, default and help in its tags, as the fields of config.Config have. The tag `shown` says how a secret is shown:
// "no", or "host" for a URL of which nothing else is.
//
// A channel is in the program when its Config is a field of config.Config.
type Settings interface {
	// Name is the channel's, as it stands in campaigns.
	Name() string
	// IsSet: the channel is set up, and campaigns may go through it.
	IsSet() bool
	// Mistakes says what is wrong, one line each: the variable and the fix, and no secret. chosen: campaigns go through
	// this channel unless they say otherwise, so it must be set up.
	Mistakes(chosen bool) []string
	// Warnings are what an operator should hear of and may yet want.
	Warnings() []Finding
	// Place is where messages go, for people; "" = nowhere outside. It shows no secret.
	Place() string
	// PerSecond is the limit in recipients per second, over all processes; 0 = none.
	PerSecond() int
	// Open makes the channel of valid settings. rdb is shared by all processes and stays the caller's to close.
	Open(rdb redis.UniversalClient) (Channel, error)
	// Check is what the doctor asks of the provider. Nothing may be delivered by it. It ends by itself within seconds. rdb is as for Open, or nil: no other
	// process can reach the Redis inside a process.
	Check(ctx context.Context, rdb redis.UniversalClient) []Finding
}

// MaxClockApart is the largest harmless difference between the clocks of this machine, the stores and a provider. A larger
// one moves begins, ends and slots, and makes tokens invalid.
const MaxClockApart = 2 * time.Second

// minTimeout is the shortest timeout that a channel's setting may have.
const minTimeout = 100 * time.Millisecond

// CheckTimeout says, for Settings.Mistakes, what is wrong with a timeout of one request; nil = nothing.
func CheckTimeout(variable string, timeout time.Duration) []string {
	if timeout < minTimeout || timeout > MaxTimeout {
		return []string{fmt.Sprintf("%s must be %s to %s, with its unit, not %s", variable, minTimeout, MaxTimeout, timeout)}
	}
	return nil
}

// Finding is one thing that was looked at.
type Finding struct {
	Name   string // of what was looked at, e.g. the channel's
	State  State
	Detail string // what was found, and behind it what to do; no secret
}

// State is how well it is with a Finding.
type State int

const (
	// OK: nothing is to be done.
	OK State = iota
	// Warn: something works badly, or not yet.
	Warn
	// Fail: something cannot work before an operator mends it.
	Fail
)

// Closer is a Channel that keeps connections. Close drops the idle ones when the process ends.
type Closer interface{ Close() }
