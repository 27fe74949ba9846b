package pacing

import (
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
)

// Pacer is all of pacing of one process.
type Pacer struct {
	Params
	Places *Places
	Rates  *Rates
	Health *Health
}

// New makes a pacer of a process that holds up to slots pages. channelRates are recipients a second
// by channel, over all processes; 0 or none = no limit.
func New(rdb redis.UniversalClient, p Params, channelRates map[string]int, slots int, log *slog.Logger) *Pacer {
	s := newSharedState(rdb, p)
	h := newHealth(s, log)
	return &Pacer{Params: p, Places: NewPlaces(p, slots), Rates: &Rates{sharedState: s, health: h, channels: channelRates}, Health: h}
}

// sharedState is what all processes share through Redis.
type sharedState struct {
	Params
	rdb                       redis.UniversalClient
	takeScript, observeScript *redis.Script
	at                        func() int64     // unix milliseconds; nil = Redis' own clock. For tests.
	now                       func() time.Time // this process' clock
}

func newSharedState(rdb redis.UniversalClient, p Params) *sharedState {
	return &sharedState{Params: p, rdb: rdb, takeScript: script(p, takeFiles), observeScript: script(p, observeFiles), now: time.Now}
}

// clock is what a script takes for the time: 0 = Redis' own.
func (s *sharedState) clock() int64 {
	if s.at == nil {
		return 0
	}
	return s.at()
}

// Recipient is what pacing needs to know of a recipient.
type Recipient struct {
	ID           string
	Counted      int       // attempts that count against the recipient
	FailingSince time.Time // its first try that failed, by this process' clock; zero = none did
}
