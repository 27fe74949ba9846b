package openim

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// adminPlatform is the platform of admins' tokens.
const adminPlatform = 10

// claims are those of the real server, in its exact case.
type claims struct {
	UserID     string
	PlatformID int
	jwt.RegisteredClaims
}

// issued is a token that this double made.
type issued struct {
	user   string
	kicked bool
	gone   time.Time // when it is retired; zero = never
}

// tokens knows all tokens of one double.
type tokens struct {
	secret []byte
	admins []string
	life   time.Duration
	retire time.Duration // from a newer token's call to the end of the older one

	mu     sync.RWMutex
	issued map[string]*issued // by ID
	signed map[string]signed  // tokens whose signature was found good
}

type signed struct {
	id   string
	user string
	pid  int
	ends time.Time
}

// caller is who sent a request.
type caller struct {
	user     string
	platform int
	admin    bool
	ends     time.Time
	id       string // of the token: a hash of it
}

func newTokens(o Options) *tokens {
	return &tokens{
		secret: []byte(o.Secret), admins: o.Admins, life: o.TokenLife, retire: o.Retire,
		issued: map[string]*issued{}, signed: map[string]signed{},
	}
}

// tokenID names a token in the log, where the token itself must not stand.
func tokenID(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:6])
}

// issue makes a token. Earlier ones of the same admin are retired a while later.
func (t *tokens) issue(user string, platform int) (token, id string, ends time.Time, err error) {
	now := time.Now()
	ends = now.Add(t.life)
	token, err = t.sign(claims{user, platform, jwt.RegisteredClaims{IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(ends)}})
	if err != nil {
		return "", "", ends, err
	}
	id = tokenID(token)
	t.know(id, user, now)
	return token, id, ends, nil
}

// know notes an issued token, now or out of the log.
func (t *tokens) know(id, user string, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if slices.Contains(t.admins, user) {
		for _, one := range t.issued {
			if one.user == user && one.gone.IsZero() {
				one.gone = at.Add(t.retire)
			}
		}
	}
	t.issued[id] = &issued{user: user}
}

// kick ends a token at once. It is false when somebody did before.
func (t *tokens) kick(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	one := t.issued[id]
	if one == nil || one.kicked {
		return false
	}
	one.kicked = true
	return true
}

func (t *tokens) sign(c claims) (string, error) {
	return jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(t.secret)
}

// check says whose a token is; code is 0 for one that stands.
func (t *tokens) check(token string) (c caller, code int) {
	t.mu.RLock()
	s, ok := t.signed[token]
	t.mu.RUnlock()
	if !ok {
		var err error
		if s, err = t.verify(token); err != nil {
			return caller{id: tokenID(token)}, codeOf(err)
		}
	}
	c = caller{user: s.user, platform: s.pid, admin: slices.Contains(t.admins, s.user), ends: s.ends, id: s.id}
	now := time.Now()
	if !now.Before(s.ends) {
		return c, codeTokenExpired
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	switch one := t.issued[s.id]; {
	case one == nil || !one.gone.IsZero() && now.After(one.gone):
		return c, codeTokenNotExist
	case one.kicked:
		return c, codeTokenKicked
	}
	return c, 0
}

func (t *tokens) verify(token string) (signed, error) {
	var c claims
	_, err := jwt.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return t.secret, nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired())
	if err != nil {
		return signed{}, err
	}
	s := signed{tokenID(token), c.UserID, c.PlatformID, c.ExpiresAt.Time}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.signed[token] = s
	return s, nil
}

func codeOf(err error) int {
	switch {
	case errors.Is(err, jwt.ErrTokenMalformed):
		return codeTokenMalformed
	case errors.Is(err, jwt.ErrTokenSignatureInvalid), errors.Is(err, jwt.ErrTokenUnverifiable):
		return codeTokenUnknown
	case errors.Is(err, jwt.ErrTokenExpired):
		return codeTokenExpired
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return codeTokenNotValidYet
	}
	return codeTokenInvalid
}

// kind is the word of the log for a token.
func kind(c caller, code int) string {
	switch {
	case code == codeTokenExpired:
		return "expired"
	case code == codeTokenKicked:
		return "kicked"
	case code == codeTokenNotExist:
		return "retired"
	case code != 0:
		return "bad"
	case c.admin:
		return "admin"
	}
	return "user"
}

// Shown are all tokens of this double's that callers have shown it so far: what a test looks for where no token may be.
func (d *Double) Shown() []string {
	d.tokens.mu.RLock()
	defer d.tokens.mu.RUnlock()
	return slices.Collect(maps.Keys(d.tokens.signed))
}

// ids are the tokens that were issued.
func (t *tokens) ids() []string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return slices.Collect(maps.Keys(t.issued))
}
