// Package streams sends users their messages as they come, and makes them online while it does.
package streams

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"carillon/handlers/web"
	"carillon/models"
)

const (
	heartbeat   = 15 * time.Second
	newsEvery   = 500 * time.Millisecond // between two reads of the ledger for stored messages
	readsAtOnce = 4                      // inboxes that one process reads for its streams at the same time
	readLimit   = 50                     // messages of one such read
	liveBuffer  = 64                     // online-only messages that wait for a slow client
	pingEvery   = time.Second            // between two pings on the subscribing connection
	deafAfter   = 4 * time.Second        // without any answer, that connection is made anew
	maxStreams  = 5                      // that a user may hold open, over all processes
)

// Hub is all the streams that this process holds open. Messages come to them in two ways:
//
//   - messages for those online only: by one subscription in Redis;
//   - stored messages: by one regular read of the ledger for all streams.
//
// The zero value is ready. It connects when the first stream opens.
type Hub struct {
	Beat time.Duration // between heartbeats; 0 = heartbeat

	mu      sync.Mutex
	online  map[string]*presence // by the name of the Redis channel
	dirty   map[string]bool      // names whose subscription may be out of date
	changed chan struct{}        // holds a token when dirty has names
	joined  bool                 // a stream was opened since endDeparted last looked
	closed  bool
	pubsub  *redis.PubSub
	stop    context.CancelFunc
	reads   chan struct{} // holds a token for each read under way
	streams sync.WaitGroup
	loops   sync.WaitGroup
}

// presence is one user's streams in this process. While it stands in Hub.online, the hub
// subscribes to the user's channel. The subscription makes the user online for all processes.
type presence struct {
	userID  string
	streams map[*subscriber]struct{}
	waiting []chan struct{} // each is closed when Redis next confirms the subscription
}

// Close ends all streams and what feeds them, and waits for them. It may be called twice.
func (f *Hub) Close() {
	f.mu.Lock()
	f.closed = true
	for _, p := range f.online {
		for sub := range p.streams {
			sub.end()
		}
	}
	stop, pubsub := f.stop, f.pubsub
	f.mu.Unlock()
	if stop == nil {
		return
	}
	stop()
	f.streams.Wait()
	_ = pubsub.Close() // the second Close reports that it is closed
	f.loops.Wait()
}

// closingOr returns the error that this process is closing, if it is: the true cause of any
// failure. Else it returns err.
func (f *Hub) closingOr(err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return web.ErrClosing
	}
	return err
}

func (f *Hub) heartbeatEvery() time.Duration {
	if f.Beat > 0 {
		return f.Beat
	}
	return heartbeat
}

// join adds a stream and returns when Redis has confirmed its user's subscription. Each stream asks
// for a confirmation of its own: an older one may be from before a lost connection.
func (f *Hub) join(ctx context.Context, g *web.Gate, sub *subscriber) error {
	confirmed := make(chan struct{})
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return web.ErrClosing
	}
	f.start(g)
	p := f.online[sub.channel]
	if p == nil {
		p = &presence{userID: sub.userID, streams: map[*subscriber]struct{}{}}
		f.online[sub.channel] = p
	}
	p.streams[sub] = struct{}{}
	f.joined = true // the user may have been deleted since the directory was read
	p.waiting = append(p.waiting, confirmed)
	f.markDirty(sub.channel)
	f.streams.Add(1)
	f.mu.Unlock()

	select {
	case <-confirmed:
		return nil
	case <-ctx.Done():
		f.leave(sub)
		return ctx.Err()
	}
}

// leave removes a stream. When the last one leaves, its user goes offline.
func (f *Hub) leave(sub *subscriber) {
	defer f.streams.Done()
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.online[sub.channel]
	delete(p.streams, sub)
	if len(p.streams) == 0 {
		delete(f.online, sub.channel)
		f.markDirty(sub.channel)
	}
}

// markDirty notes that online has changed for a channel. mu must be held.
func (f *Hub) markDirty(channel string) {
	f.dirty[channel] = true
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// syncSubscriptions brings the subscriptions up to date. Nothing else changes them. So the last
// command to Redis matches the last change, and no stream waits for a Redis that hangs.
//
// A command that could not be sent is not lost. A new connection subscribes to everything that was
// ever subscribed to and not unsubscribed from.
func (f *Hub) syncSubscriptions(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.changed:
		}
		var wanted, unwanted []string
		f.mu.Lock()
		for channel := range f.dirty {
			if f.online[channel] != nil {
				wanted = append(wanted, channel)
			} else {
				unwanted = append(unwanted, channel)
			}
		}
		clear(f.dirty)
		f.mu.Unlock()
		if len(unwanted) > 0 { // an empty list would mean all
			_ = f.pubsub.Unsubscribe(ctx, unwanted...)
		}
		if len(wanted) > 0 {
			_ = f.pubsub.Subscribe(ctx, wanted...)
		}
	}
}

// start sets up, once, what all streams share.
func (f *Hub) start(g *web.Gate) {
	if f.stop != nil {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	f.online, f.dirty, f.changed = map[string]*presence{}, map[string]bool{}, make(chan struct{}, 1)
	f.reads = make(chan struct{}, readsAtOnce)
	f.pubsub = g.Redis.Subscribe(ctx)
	f.loops.Go(func() { f.listen(ctx) })
	f.loops.Go(func() { f.ping(ctx) })
	f.loops.Go(func() { f.syncSubscriptions(ctx) })
	f.loops.Go(func() { f.pollNews(ctx, g.Store, g.Log) })
}

// listen receives what comes from Redis. A server that hangs, or a connection that a firewall
// forgot, never closes. So after a silence the connection is closed, and the next read makes a new
// one with all subscriptions. go-redis's own check sends a ping and waits for no answer.
func (f *Hub) listen(ctx context.Context) {
	for ctx.Err() == nil {
		within, cancel := context.WithTimeout(ctx, deafAfter)
		msg, err := f.pubsub.Receive(within)
		cancel()
		switch {
		case err == nil:
			f.dispatch(msg)
		case errors.Is(err, redis.ErrClosed):
			return
		default:
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
}

// ping makes Redis answer when no messages come.
func (f *Hub) ping(ctx context.Context) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		within, cancel := context.WithTimeout(ctx, pingEvery)
		_ = f.pubsub.Ping(within) // listen notices a failure
		cancel()
	}
}

// dispatch hands one message from Redis to the streams. It never waits. A stream whose buffer is
// full is ended, and its client comes back with its cursor.
func (f *Hub) dispatch(msg any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch msg := msg.(type) {
	case *redis.Subscription:
		p := f.online[msg.Channel]
		if p == nil || msg.Kind != "subscribe" {
			return
		}
		for _, confirmed := range p.waiting {
			close(confirmed)
		}
		p.waiting = nil
	case *redis.Message:
		p := f.online[msg.Channel]
		if p == nil {
			return
		}
		for sub := range p.streams {
			select {
			case sub.live <- msg.Payload:
			default:
				sub.end()
			}
		}
	}
}

// pollNews asks the ledger what is new for all open streams at once, and wakes the streams
// concerned.
func (f *Hub) pollNews(ctx context.Context, store *models.Store, log *slog.Logger) {
	tick := time.NewTicker(newsEvery)
	defer tick.Stop()
	var since models.Millis // when the last successful read was made; 0 = there was nobody to read for
	told := map[models.InboxNews]bool{}
	failing := false
	var rev int64 // the directory's revision when endDeparted last looked
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		users := f.Online()
		if len(users) == 0 {
			since, told = 0, nil
			continue
		}
		news, now, err := readNews(ctx, store, users, since)
		if err == nil {
			rev, err = f.endDeparted(ctx, store, users, rev)
		}
		if err != nil {
			if !failing && ctx.Err() == nil {
				log.Warn("the streams cannot be told of stored messages", "err", err)
			}
			failing = true
			continue
		}
		failing = false
		since = now
		told = f.wakeStreams(news, told)
	}
}

func readNews(ctx context.Context, store *models.Store, users []string, since models.Millis) ([]models.InboxNews, models.Millis, error) {
	now, err := store.Now(ctx)
	if err != nil {
		return nil, 0, err
	}
	if since == 0 {
		since = now
	}
	news, err := store.InboxNews(ctx, users, since)
	return news, now, err
}

// endDeparted ends the streams of users who have left the directory, even if they came back since.
// It looks only when streams were opened or the directory has changed since revision rev. It
// returns the revision at which it has looked.
func (f *Hub) endDeparted(ctx context.Context, store *models.Store, users []string, rev int64) (int64, error) {
	dir, err := store.Directory(ctx)
	if err != nil {
		return rev, err
	}
	f.mu.Lock()
	joined := f.joined
	f.joined = false
	f.mu.Unlock()
	if dir.Rev == rev && !joined {
		return rev, nil
	}
	known := map[string]models.KnownUser{}
	for batch := range slices.Chunk(users, 500) {
		some, err := store.KnownUsers(ctx, batch)
		if err != nil {
			return 0, err // the next call looks again, whatever the revision
		}
		maps.Copy(known, some)
	}
	asked := make(map[string]bool, len(users))
	for _, id := range users {
		asked[id] = true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.online {
		for sub := range p.streams {
			if asked[p.userID] && known[p.userID].AddedRev != sub.entry {
				sub.end()
			}
		}
	}
	return dir.Rev, nil
}

// wakeStreams wakes the streams of users with news since the last call. It returns the news told
// now: the only news that the next read can repeat.
func (f *Hub) wakeStreams(news []models.InboxNews, told map[models.InboxNews]bool) map[models.InboxNews]bool {
	now := make(map[models.InboxNews]bool, len(news))
	users := map[string]bool{}
	for _, n := range news {
		now[n] = true
		if !told[n] {
			users[n.UserID] = true
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.online {
		if !users[p.userID] {
			continue
		}
		for sub := range p.streams {
			sub.poke()
		}
	}
	return now
}

// Online are the users with a stream in this process.
func (f *Hub) Online() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	users := make([]string, 0, len(f.online))
	for _, p := range f.online {
		users = append(users, p.userID)
	}
	return users
}

// read reads one stream's inbox, at most readsAtOnce at the same time.
func (f *Hub) read(ctx context.Context, store *models.Store, userID string, after models.InboxCursor) ([]models.InboxMessage, error) {
	select {
	case f.reads <- struct{}{}:
		defer func() { <-f.reads }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return store.Inbox(ctx, userID, after, readLimit)
}
