package pacing

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// State is what all processes together know of a channel's provider.
type State struct {
	Open    bool          // the breaker is open
	Rest    time.Duration // how much longer the provider asked to be left alone; 0 = it did not
	Ceiling float64       // recipients a second; 0 = there is none
}

// States reads the states of these channels' providers, in the same order.
func (h *Health) States(ctx context.Context, channels []string) ([]State, error) {
	pipe := h.rdb.Pipeline()
	clock := pipe.Time(ctx)
	read := make([]*redis.SliceCmd, len(channels))
	for i, name := range channels {
		read[i] = pipe.HMGet(ctx, healthKey(name), "open", "rest", "ceil")
	}
	_, err := pipe.Exec(ctx)
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, err
	}
	states := make([]State, len(channels))
	for i, cmd := range read {
		v := cmd.Val()
		s := State{Open: v[0] != nil}
		if ceiling, ok := v[2].(string); ok {
			s.Ceiling, _ = strconv.ParseFloat(ceiling, 64)
		}
		if rest := millisOf(v[1]) - clock.Val().UnixMilli(); s.Open && rest > 0 {
			s.Rest = time.Duration(rest) * time.Millisecond
		}
		states[i] = s
	}
	return states, nil
}
