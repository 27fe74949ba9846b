package web

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/sync/singleflight"

	"carillon/models"
)

const (
	// askedFor is how long OpenIM's word that a token stands counts, from the question on. A token that was kicked meanwhile
	// opens nothing after that.
	askedFor = time.Minute
	// refusedFor is the same of a token that does not stand.
	refusedFor = 10 * time.Second
	// awayFor is how long nobody asks an OpenIM that did not answer.
	awayFor = time.Second
	// askWithin is for one question.
	askWithin = 5 * time.Second
	// maxAsking is how many questions are under way at once.
	maxAsking = 4
	// maxAsked is how many tokens that stand are remembered, and how many that do not.
	maxAsked = 1000
)

// openIMTokens is what OpenIM has said of tokens. Each process asks for itself. A token is kept as its hash alone. The zero
// value is ready.
type openIMTokens struct {
	flight singleflight.Group // one question for all who bring the same token
	asking chan struct{}      // a place for each of maxAsking

	mu      sync.Mutex
	stand   map[tokenHash]claims // until the token ends; beyond ExpiresAt the token is asked about again
	refused map[tokenHash]refusedToken
	away    error // why OpenIM did not answer,
	until   time.Time
}

type tokenHash [sha256.Size]byte

type refusedToken struct {
	why   error
	until time.Time
}

// claimsAtOpenIM says whose a token is that no secret of ours has signed, and else why not. OpenIM is asked about a token that
// calls itself an admin's, and about no other.
func (g *Gate) claimsAtOpenIM(r *http.Request, token string, why error) (claims, error) {
	if g.ParseToken == nil {
		return claims{}, why
	}
	ends, ok := g.namesAdmin(token)
	switch {
	case !ok:
		return claims{}, why
	case time.Until(ends) <= 0:
		return claims{}, models.Errorf(models.CodeTokenExpired, "the token has expired; get a new one")
	}
	hash := tokenHash(sha256.Sum256([]byte(token)))
	if c, ok, err := g.openIM.said(hash, g.now()); ok {
		return c, err
	}
	got, err, _ := g.openIM.flight.Do(string(hash[:]), func() (any, error) { return g.askOpenIM(r, hash, token) })
	c, _ := got.(claims)
	return c, err
}

// now is the time by which OpenIM's words age.
func (g *Gate) now() time.Time {
	if g.Clock != nil {
		return g.Clock()
	}
	return time.Now()
}

// namesAdmin is true for a token whose text names an admin, whoever has signed it. ends is when the text says it does.
func (g *Gate) namesAdmin(token string) (ends time.Time, ok bool) {
	var c claims
	t, _, err := jwt.NewParser().ParseUnverified(token, &c)
	if err != nil || t.Method != jwt.SigningMethodHS256 || c.Session != "" || c.PlatformID != AdminPlatform || !g.IsAdmin(c.UserID) || c.ExpiresAt == nil {
		return ends, false
	}
	return c.ExpiresAt.Time, true
}

// askOpenIM asks about one token. A token that has never stood counts as a try of its address, as at a log-in: OpenIM is not
// asked about the guesses of one address more than MaxTries times in a minute.
func (g *Gate) askOpenIM(r *http.Request, hash tokenHash, token string) (claims, error) {
	if c, ok, err := g.openIM.said(hash, g.now()); ok { // since we looked
		return c, err
	}
	known := g.openIM.stood(hash)
	if !known { // guard: token-tries
		if err := g.countTry(r); err != nil {
			return claims{}, err
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), askWithin)
	defer cancel()
	asked, c, err := g.openIM.ask(ctx, g.now, g.ParseToken, token)
	var refused *models.Error
	if err != nil && errors.As(err, &refused) {
		g.openIM.refuse(hash, err, g.now())
		return claims{}, err
	}
	if !known {
		g.forgive(r)
	}
	if err != nil {
		g.openIM.rest(err, g.now())
		return claims{}, openIMAway(err)
	}
	g.openIM.keep(hash, &c, asked)
	return c, nil
}

func openIMAway(err error) error {
	return &models.Error{Code: models.CodeUnavailable, Detail: "OpenIM does not answer, which knows this token", RetryAfter: UnavailableWait, Cause: err}
}

// ask waits for its place and asks.
func (o *openIMTokens) ask(ctx context.Context, now func() time.Time, parse ParseToken, token string) (asked time.Time, c claims, err error) {
	o.mu.Lock()
	if o.asking == nil {
		o.asking = make(chan struct{}, maxAsking)
	}
	places := o.asking
	o.mu.Unlock()
	select {
	case places <- struct{}{}:
		defer func() { <-places }()
	case <-ctx.Done():
		return asked, c, errors.New("too many tokens are asked about at once")
	}
	asked = now()
	userID, platformID, expires, err := parse(ctx, token)
	return asked, claims{UserID: userID, PlatformID: platformID, RegisteredClaims: jwt.RegisteredClaims{ExpiresAt: jwt.NewNumericDate(expires)}}, err
}

// said is what OpenIM has said of a token not long ago, or that OpenIM does not answer.
func (o *openIMTokens) said(hash tokenHash, now time.Time) (c claims, ok bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c, ok = o.stand[hash]; ok && now.Before(c.ExpiresAt.Time) { // guard: token-age
		return c, true, nil
	}
	if one := o.refused[hash]; now.Before(one.until) {
		return claims{}, true, one.why
	}
	if now.Before(o.until) {
		return claims{}, true, openIMAway(o.away)
	}
	return claims{}, false, nil
}

// stood is true for a token of which OpenIM has said that it stands, however long ago.
func (o *openIMTokens) stood(hash tokenHash) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, ok := o.stand[hash]
	return ok
}

// keep remembers a token that stands, and has its claims end when they must be asked for again.
func (o *openIMTokens) keep(hash tokenHash, c *claims, asked time.Time) {
	if again := asked.Add(askedFor); c.ExpiresAt.After(again) {
		c.ExpiresAt = &jwt.NumericDate{Time: again}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.refused, hash)
	if o.stand == nil || len(o.stand) >= maxAsked {
		o.stand = map[tokenHash]claims{} // they are asked about again
	}
	o.stand[hash] = *c
}

// refuse remembers a token that does not stand.
func (o *openIMTokens) refuse(hash tokenHash, why error, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.stand, hash)
	if o.refused == nil || len(o.refused) >= maxAsked {
		o.refused = map[tokenHash]refusedToken{}
	}
	o.refused[hash] = refusedToken{why, now.Add(refusedFor)}
}

// rest has nobody ask for a while.
func (o *openIMTokens) rest(why error, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.away, o.until = why, now.Add(awayFor)
}
