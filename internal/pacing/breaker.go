package pacing

import (
	"context"
	"hash/fnv"
	"log/slog"
	"math"
	"time"
)

// providerState is what all processes together know of a channel's provider.
type providerState int

const (
	healthy providerState = iota
	suspect               // requests fail in a row, and it is not yet sure that none is answered elsewhere
	away                  // the breaker is open: requests fail
	resting               // the breaker is open: the provider asked for rest
)

// tally is what one process saw of a channel's provider since it last published. All numbers are of
// requests, but for recipients and askedRest.
type tally struct {
	answered    int           // requests that were answered
	began       time.Time     // the start of the latest of them
	ended       time.Time     // the latest answer
	recipients  int           // of the answered requests
	askedRest   int           // recipients whose answer asks for rest
	rest        time.Duration // how long, at most
	who         string        // one of these recipients
	servedAgain bool          // somebody was served who had failed before
	ownFault    bool          // an answer that speaks of the provider was its recipient's alone
	failed      evidence      // failures that came at once
	slow        evidence      // failures that took SlowFailure or longer
	slowAsked   time.Time     // the start of the latest of those
	logTook     float64       // sum of the logarithms of the good answers' milliseconds: a few slow ones do not move their mean
	timed       int           // good answers that were measured
	requests    int           // whatever became of them
	errors      int           // of those, the ones that were no good
}

// evidence is failures that cannot be a matter of the recipients alone: how many, and their weight.
// The weight of failures before the tally's last answer is zero.
type evidence struct{ n, weight int }

func (t tally) empty() bool { return t == tally{} }

// sharedView is what all processes together know of a provider.
type sharedView struct {
	state             providerState
	served, recovered time.Time // as in channelHealth; zero = not known
	ownAway           time.Time // the same

	event            providerEvent // what this process is to log
	requests, errors int64         // since the provider's first error
	since            time.Duration // the same
}

// providerEvent is what the log tells of a provider. Whoever brings it about logs it, so all
// processes log it once.
type providerEvent int

const (
	noEvent providerEvent = iota
	beganToFail
	askedForRest
	cameBack
)

// logEvent logs the view's event.
func (v sharedView) logEvent(log *slog.Logger, channel string) {
	args := []any{"channel", channel, "requests", v.requests, "errors", v.errors, "seconds", math.Round(v.since.Seconds()*10) / 10}
	switch v.event {
	case noEvent:
	case beganToFail:
		log.Warn("the provider answers nothing but errors", args...)
	case askedForRest:
		log.Warn("the provider asks everybody for rest", args...)
	case cameBack:
		log.Info("the provider is back", args...)
	}
}

// observe adds what this process saw to the shared state, and returns what all processes together
// know.
func (s *sharedState) observe(ctx context.Context, channel string, t tally) (sharedView, error) {
	age := func(at time.Time) int64 {
		if at.IsZero() {
			return 0
		}
		return s.now().Sub(at).Milliseconds()
	}
	got, err := s.observeScript.Run(ctx, s.rdb, []string{healthKey(channel)}, s.clock(), t.answered, age(t.began), age(t.ended), t.recipients,
		t.askedRest, t.failed.n, t.failed.weight, t.slow.n, t.slow.weight, age(t.slowAsked), t.logTook, t.timed,
		t.rest.Milliseconds(), recipientHash(t.who), flag(t.servedAgain), t.requests, t.errors, flag(t.ownFault)).Int64Slice()
	if err != nil {
		return sharedView{}, err
	}
	at := func(ago int64) time.Time {
		if ago < 0 {
			return time.Time{}
		}
		return s.now().Add(-time.Duration(ago) * time.Millisecond)
	}
	return sharedView{
		state: providerState(got[0]), served: at(got[1]), recovered: at(got[2]), ownAway: at(got[3]),
		event: providerEvent(got[4]), requests: got[5], errors: got[6], since: time.Duration(got[7]) * time.Millisecond,
	}, nil
}

// EndRest lets a channel go on at once although its provider asked for rest or does not answer,
// because an operator says so. A provider that still asks for rest is heard again.
func (h *Health) EndRest(ctx context.Context, channel string) error {
	return h.rdb.HDel(ctx, healthKey(channel), "open", "probe", "rest", "asked", "by", "whole", "tested", "who").Err()
}

// recipientHash stands for a recipient in Redis, where no IDs are kept; 0 = nobody.
func recipientHash(id string) uint32 {
	if id == "" {
		return 0
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return max(1, h.Sum32())
}
