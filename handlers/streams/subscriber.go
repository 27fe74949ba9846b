package streams

import "context"

// subscriber is one open stream as the hub sees it.
type subscriber struct {
	userID  string
	entry   int64              // the user's in the directory; the stream ends with it
	channel string             // the user's channel in Redis
	live    chan string        // messages for those online only, as they were published
	wake    chan struct{}      // holds a token when something may have been stored
	end     context.CancelFunc // ends the stream
}

// poke says that something may have been stored.
func (sub *subscriber) poke() {
	select {
	case sub.wake <- struct{}{}:
	default: // it will look anyway
	}
}
