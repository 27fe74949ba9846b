package streams

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"
)

// A stream with a gap would be worse than one that ends: its client comes back.
func TestStreamThatCannotTakeAMessageEnds(t *testing.T) {
	t.Parallel()
	ctx, end := context.WithCancel(t.Context())
	defer end()
	full, free := &subscriber{live: make(chan string, 1), end: end}, &subscriber{live: make(chan string, 2), end: func() { t.Error("the other stream is ended too") }}
	f := Hub{online: map[string]*presence{"bob": {streams: map[*subscriber]struct{}{full: {}, free: {}}}}}
	f.dispatch(&redis.Message{Channel: "bob", Payload: "first"})
	if ctx.Err() != nil {
		t.Error("ended with room left")
	}
	f.dispatch(&redis.Message{Channel: "bob", Payload: "second"})
	if ctx.Err() == nil || len(free.live) != 2 {
		t.Errorf("ended: %v; the other stream got %d messages", ctx.Err(), len(free.live))
	}
}
