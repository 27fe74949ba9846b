package handlers

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
	maxTries = 10 // failed log-ins per minute and address
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
func (a *API) clientAddr(r *http.Request) netip.Addr {
	addr := addrOf(r.RemoteAddr)
	if !within(a.Proxies, addr) {
		return addr
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop := addrOf(strings.TrimSpace(hops[i]))
		if !hop.IsValid() {
			return addr // not written by a proxy of ours
		}
		addr = hop
		if !within(a.Proxies, hop) {
			return hop
		}
	}
	return addr
}

// triesKey holds an address only as a keyed hash. For IPv6 it takes the /64, which one customer has
// whole.
func (a *API) triesKey(r *http.Request) string {
	addr := a.clientAddr(r)
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			addr = p.Addr()
		}
	}
	mac := hmac.New(sha256.New, []byte(a.Secret))
	mac.Write([]byte(addr.String()))
	return "carillon:tries:" + hex.EncodeToString(mac.Sum(nil)[:16])
}

// throttled runs a log-in under a limit per address:
//
//   - A try is counted before anything of it is read.
//   - A failed try gets 429 if its address had too many tries in the last minute, in all processes
//     together. So nobody can tell one guess from another.
//   - A correct token is always accepted: others behind the same address must not lock its owner
//     out.
//   - While Redis is away there is no limit: the secret is the protection.
func (a *API) throttled(in *in, logIn func() error) error {
	tooMany := a.countTry(in.R)
	err := logIn()
	switch {
	case err == nil && tooMany == nil:
		a.forgive(in.R)
	case err == nil, asAnswer(in.Context(), err).Code == models.CodeUnavailable:
	default:
		if tooMany != nil {
			err = tooMany
		}
		a.tellRefused(in.Context(), in.call, err)
	}
	return err
}

// countTry counts a try. It returns an error when there are too many.
func (a *API) countTry(r *http.Request) error {
	key := a.triesKey(r)
	if rest := a.lockouts.remaining(key); rest > 0 {
		return tooManyTries(rest)
	}
	got, err := triesScript.Run(r.Context(), a.Redis, []string{key}, triesFor.Milliseconds()).Int64Slice()
	if err != nil || len(got) != 2 {
		a.Log.Warn("a try to log in could not be counted", "err", err)
		return nil
	}
	if got[0] <= maxTries {
		return nil
	}
	rest := max(time.Second, time.Duration(got[1])*time.Millisecond)
	a.lockouts.lockUntil(key, time.Now().Add(rest))
	a.sayThrottled(r, rest)
	return tooManyTries(rest)
}

// sayThrottled logs, once a minute, whose tries are too many. The address tells an operator whom to
// ask, or that a proxy stands for all callers.
func (a *API) sayThrottled(r *http.Request, rest time.Duration) {
	peer := addrOf(r.RemoteAddr)
	log := a.Log.With("address", a.clientAddr(r).String(), "connectedFrom", peer.String(), "for", rest.Round(time.Second).String())
	if len(r.Header.Values("X-Forwarded-For")) > 0 && !within(a.Proxies, peer) {
		log = log.With("hint", "a proxy seems to stand before this; name it in CARILLON_TRUSTED_PROXIES, so that each caller counts alone")
	}
	log.Warn("log-ins that fail are throttled")
}

func tooManyTries(rest time.Duration) error {
	return &models.Error{Code: models.CodeTooManyRequests, Detail: "too many failed tries; wait a minute", RetryAfter: rest}
}

// forgive takes a try back.
func (a *API) forgive(r *http.Request) {
	if err := forgiveScript.Run(r.Context(), a.Redis, []string{a.triesKey(r)}).Err(); err != nil {
		a.Log.Warn("a log-in that succeeded stays counted as a try", "err", err)
	}
}
