package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"carillon/models"
)

const (
	MaxTries = 10 // failed log-ins per minute and address
	triesFor = time.Minute
)

// triesScript counts a try. It returns the number of tries in this minute, and what is left of the
// minute in ms.
var triesScript = redis.NewScript(`
local n = redis.call('INCR', KEYS[1])
if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return {n, redis.call('PTTL', KEYS[1])}
`)

// forgiveScript takes back a try that succeeded, unless its minute is over.
var forgiveScript = redis.NewScript(`if redis.call('EXISTS', KEYS[1]) == 1 then return redis.call('DECR', KEYS[1]) end return 0`)

// clientAddr is the caller's address. Behind trusted proxies, it is the last address in
// X-Forwarded-For that is not a trusted proxy's. The caller may have written everything before it.
func (g *Gate) clientAddr(r *http.Request) netip.Addr {
	addr := addrOf(r.RemoteAddr)
	if !within(g.Proxies, addr) {
		return addr
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop := addrOf(strings.TrimSpace(hops[i]))
		if !hop.IsValid() {
			return addr // not written by a proxy of ours
		}
		addr = hop
		if !within(g.Proxies, hop) {
			return hop
		}
	}
	return addr
}

// triesKey holds an address only as a keyed hash. For IPv6 it takes the /64, which one customer has
// whole.
func (g *Gate) triesKey(r *http.Request) string {
	addr := g.clientAddr(r)
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			addr = p.Addr()
		}
	}
	mac := hmac.New(sha256.New, []byte(g.Secret))
	mac.Write([]byte(addr.String()))
	return "carillon:tries:" + hex.EncodeToString(mac.Sum(nil)[:16])
}

// Throttled runs a log-in under a limit per address:
//
//   - A try is counted before anything of it is read.
//   - A failed try gets 429 if its address had too many tries in the last minute, in all processes
//     together. So nobody can tell one guess from another.
//   - A correct token is always accepted: others behind the same address must not lock its owner
//     out.
//   - While Redis is away there is no limit: the secret is the protection.
func (g *Gate) Throttled(in *In, logIn func() error) error {
	tooMany := g.countTry(in.R)
	err := logIn()
	switch {
	case err == nil && tooMany == nil:
		g.forgive(in.R)
	case err == nil, asAnswer(in.Context(), err).Code == models.CodeUnavailable:
	default:
		if tooMany != nil {
			err = tooMany
		}
		g.tellRefused(in.Context(), in.Call, err)
	}
	return err
}

// countTry counts a try. It returns an error when there are too many.
func (g *Gate) countTry(r *http.Request) error {
	key := g.triesKey(r)
	if rest := g.lockouts.remaining(key); rest > 0 {
		return tooManyTries(rest)
	}
	got, err := triesScript.Run(r.Context(), g.Redis, []string{key}, triesFor.Milliseconds()).Int64Slice()
	if err != nil || len(got) != 2 {
		g.Log.Warn("a try to log in could not be counted", "err", err)
		return nil
	}
	if got[0] <= MaxTries {
		return nil
	}
	rest := max(time.Second, time.Duration(got[1])*time.Millisecond)
	g.lockouts.lockUntil(key, time.Now().Add(rest))
	g.sayThrottled(r, rest)
	return tooManyTries(rest)
}

// sayThrottled logs, once a minute, whose tries are too many. The address tells an operator whom to
// ask, or that a proxy stands for all callers.
func (g *Gate) sayThrottled(r *http.Request, rest time.Duration) {
	peer := addrOf(r.RemoteAddr)
	log := g.Log.With("address", g.clientAddr(r).String(), "connectedFrom", peer.String(), "for", rest.Round(time.Second).String())
	if len(r.Header.Values("X-Forwarded-For")) > 0 && !within(g.Proxies, peer) {
		log = log.With("hint", "a proxy seems to stand before this; name it in CARILLON_TRUSTED_PROXIES, so that each caller counts alone")
	}
	log.Warn("log-ins that fail are throttled")
}

func tooManyTries(rest time.Duration) error {
	return &models.Error{Code: models.CodeTooManyRequests, Detail: "too many failed tries; wait a minute", RetryAfter: rest}
}

// forgive takes a try back.
func (g *Gate) forgive(r *http.Request) {
	if err := forgiveScript.Run(r.Context(), g.Redis, []string{g.triesKey(r)}).Err(); err != nil {
		g.Log.Warn("a log-in that succeeded stays counted as a try", "err", err)
	}
}
