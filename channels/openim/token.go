package openim

import (
	"context"
	"crypto/rand"
	"errors"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// A token is renewed when a tenth of its life is left, but at most earlyAtMost before its end.
	earlyAtMost = time.Hour

	// After a failed renewal nobody asks OpenIM for a token again for so long: neither this process nor, as far as Redis
	// is there, another one.
	renewPause = time.Second

	// The lock outlives the request that it is held for, so that nobody asks beside the holder.
	lockMargin = time.Second

	lockPoll = 20 * time.Millisecond
)

// token is an admin token that OpenIM gave out.
type token struct {
	text    string
	id      string    // of this renewal: OpenIM gives out the same text twice within one second
	own     bool      // this process got it from OpenIM; else it comes out of Redis
	renewAt time.Time // from then on it is renewed
	ends    time.Time
}

// tokens keeps the one admin token that all processes share, in Redis. The rules:
//
//   - A process uses the token that it knows until the token is old or OpenIM refuses it.
//   - Then the process takes a newer one out of Redis, if another process was quicker.
//   - Else one process, which holds a short lock in Redis, asks OpenIM; the others wait for what it brings.
//
// So OpenIM is asked once, however many requests were refused in however many processes. Without Redis each process
// asks for itself, once for each token that is refused.
//
// A token is encrypted in Redis (see seal.go): whoever reads Redis, its dump or its traffic cannot send in our name.
type tokens struct {
	rdb     redis.UniversalClient
	key     string
	seal    *seal
	limit   time.Duration // of one request to OpenIM
	ask     func(context.Context) (text string, life time.Duration, err error)
	current atomic.Pointer[token] // nil = none is known
	turn    chan struct{}         // holds one while somebody renews; what follows is the holder's
	failed  error                 // of the last renewal; nil = it went well
	failedT time.Time
}

func newTokens(base string, cfg Config, rdb redis.UniversalClient, ask func(context.Context) (string, time.Duration, error)) (*tokens, error) {
	s, name, err := newSeal(base, cfg)
	if err != nil {
		return nil, err
	}
	return &tokens{rdb: rdb, key: "carillon:openim:token:" + name, seal: s, limit: cfg.Timeout, ask: ask, turn: make(chan struct{}, 1)}, nil
}

// get is a token that stands, as far as anybody knows.
func (t *tokens) get(ctx context.Context) (*token, error) {
	now, known := time.Now(), t.current.Load()
	if known == nil || !now.Before(known.ends) {
		return t.renew(ctx, known)
	}
	if now.Before(known.renewAt) {
		return known, nil
	}
	select {
	case t.turn <- struct{}{}: // one renews it early; the others go on with what they have
	default:
		return known, nil
	}
	defer t.release()
	if t.current.Load() == known {
		_, _ = t.renewed(ctx, known) // where that fails, known still stands
	}
	return t.current.Load(), nil
}

// renew is a token other than bad, which OpenIM refused. bad nil = there was none.
func (t *tokens) renew(ctx context.Context, bad *token) (*token, error) {
	select {
	case t.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer t.release()
	if known := t.current.Load(); known.isOtherThan(bad) {
		return known, nil
	}
	return t.renewed(ctx, bad)
}

// renewals counts how often one request's token was renewed. Once is enough, with one exception. OpenIM gives out the same
// text twice within one second. What another process got in that second may then be the very text that was refused.
type renewals struct {
	n    int
	same bool // the last one brought the text that was refused, out of Redis
}

func (r *renewals) left() bool { return r.n == 0 || r.n == 1 && r.same }

func (r *renewals) renew(ctx context.Context, t *tokens, bad *token) (*token, error) {
	newer, err := t.renew(ctx, bad)
	if err == nil {
		r.n, r.same = r.n+1, newer.text == bad.text && !newer.own
	}
	return newer, err
}

func (t *tokens) release() { <-t.turn }

// isOtherThan is true for a token that stands and is not bad.
func (t *token) isOtherThan(bad *token) bool {
	return t != nil && (bad == nil || t.id != bad.id) && time.Now().Before(t.ends)
}

// renewed brings a token other than bad, from Redis or from OpenIM. Its caller has the turn.
func (t *tokens) renewed(ctx context.Context, bad *token) (*token, error) {
	if t.failed != nil && time.Since(t.failedT) < renewPause {
		return nil, t.failed
	}
	newer, err := t.shared(ctx, bad)
	switch {
	case err == nil:
		t.current.Store(newer)
		t.failed = nil
	case ctx.Err() == nil: // the end of one caller's context is no failure of the others
		t.failed, t.failedT = err, time.Now()
	}
	return newer, err
}

// shared takes a newer token out of Redis, or asks OpenIM under the lock.
func (t *tokens) shared(ctx context.Context, bad *token) (*token, error) {
	lock, giveUp := rand.Text(), time.Now().Add(t.limit+lockMargin)
	for {
		newer, err := t.read(ctx)
		if err == nil && newer.isOtherThan(bad) {
			return newer, nil
		}
		if err != nil {
			return t.fromOpenIM(ctx) // Redis is away: each process for itself
		}
		locked, err := t.rdb.SetNX(ctx, t.key+":lock", lock, t.limit+lockMargin).Result()
		if err != nil {
			return t.fromOpenIM(ctx)
		}
		if locked {
			return t.underLock(ctx, lock, bad)
		}
		if time.Now().After(giveUp) {
			return nil, &Error{Kind: Later, Route: routeAdminToken, Said: "another process asks for the token and gets no answer"}
		}
		if err := sleep(ctx, lockPoll); err != nil {
			return nil, err
		}
	}
}

// underLock asks OpenIM and stores the token. After a failure the lock stays for a moment, so that the other processes do
// not ask one after another.
func (t *tokens) underLock(ctx context.Context, lock string, bad *token) (*token, error) {
	// The holder before may have stored a token between the reading and the lock.
	newer, err := t.read(ctx)
	if err != nil || !newer.isOtherThan(bad) { // guard: openim-token-read
		if newer, err = t.fromOpenIM(ctx); err == nil {
			t.store(ctx, newer)
		}
	}
	pause := time.Duration(0)
	if err != nil {
		pause = renewPause
	}
	// The caller's context may have ended. The lock would run out by itself where this fails.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.limit)
	defer cancel()
	_ = unlockScript.Run(ctx, t.rdb, []string{t.key + ":lock"}, lock, pause.Milliseconds()).Err()
	return newer, err
}

// unlockScript ends a lock that is still its holder's: at once, or after ARGV[2] milliseconds.
var unlockScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`)

// fromOpenIM asks OpenIM.
func (t *tokens) fromOpenIM(ctx context.Context) (*token, error) {
	now := time.Now()
	text, life, err := t.ask(ctx)
	if err != nil {
		if e := (*Error)(nil); errors.As(err, &e) {
			e.at = now
		}
		return nil, err
	}
	ends := now.Add(life)
	return &token{text: text, id: rand.Text(), own: true, ends: ends, renewAt: ends.Add(-min(life/10, earlyAtMost))}, nil
}

// read is the token in Redis; nil when there is none that this process can read. An error means that Redis is away.
func (t *tokens) read(ctx context.Context) (*token, error) {
	if t.rdb == nil {
		return nil, errors.New("there is no Redis")
	}
	sealed, err := t.rdb.Get(ctx, t.key).Bytes()
	switch {
	case errors.Is(err, redis.Nil):
		return nil, nil //nolint:nilnil // none is no fault
	case err != nil:
		return nil, err
	}
	return t.seal.open(sealed), nil
}

// store puts a token into Redis for as long as it lives. Where Redis is away, this process alone has the token.
func (t *tokens) store(ctx context.Context, one *token) {
	if life := time.Until(one.ends); life > 0 {
		_ = t.rdb.Set(ctx, t.key, t.seal.close(one), life).Err()
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
