package web

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"carillon/models"
)

// TokenLife is how long a token is valid unless less is asked for: the original's default.
const TokenLife = 90 * 24 * time.Hour

const (
	// AdminPlatform says what a token was made for: the original's administrators have this platform, and no
	// user's token is made with it.
	AdminPlatform   = 10
	MaxUserPlatform = AdminPlatform - 1
	sessionLife     = 12 * time.Hour
	SessionCookie   = "carillon_session"
)

// claims are the original's, in its exact case, and two of ours.
type claims struct {
	UserID     string
	PlatformID int
	Since      int64  `json:",omitempty"` // of a user's token: the entry in the directory that it was made for
	Session    string `json:",omitempty"` // of a session's cookie: its name among those that are open
	jwt.RegisteredClaims
}

// AdminToken signs a token that is an admin's as long as the ID is in the list of admins.
func AdminToken(secret, userID string) (string, error) {
	return AdminTokenFor(secret, userID, TokenLife)
}

// AdminTokenFor is AdminToken with a life of its own.
func AdminTokenFor(secret, userID string, life time.Duration) (string, error) {
	return sign(secret, claims{UserID: userID, PlatformID: AdminPlatform}, time.Now().Add(life))
}

// UserToken signs a token that opens the user's inbox as long as this entry of theirs stands in the directory.
func UserToken(secret string, user models.User, platformID int) (string, error) {
	return UserTokenFor(secret, user, platformID, TokenLife)
}

// UserTokenFor is UserToken with a life of its own.
func UserTokenFor(secret string, user models.User, platformID int, life time.Duration) (string, error) {
	return sign(secret, claims{UserID: user.UserID, PlatformID: platformID, Since: user.AddedRev}, time.Now().Add(life))
}

func sign(secret string, c claims, ends time.Time) (string, error) {
	c.RegisteredClaims = jwt.RegisteredClaims{IssuedAt: jwt.NewNumericDate(time.Now()), ExpiresAt: jwt.NewNumericDate(ends)}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString([]byte(secret))
}

// callerOfToken says whose a token is that came in a header or a form.
func (g *Gate) callerOfToken(ctx context.Context, token string) (Caller, error) {
	c, err := g.claimsOf(token)
	if err != nil {
		return Caller{}, err
	}
	return g.callerWith(ctx, c)
}

// claimsOf checks a token that came in a header or a form, without asking any store. A session's cookie is none.
func (g *Gate) claimsOf(token string) (claims, error) {
	c, err := g.verify(token)
	if err == nil && c.Session != "" {
		return claims{}, models.Errorf(models.CodeTokenInvalid, "this is a session's cookie, not a token")
	}
	return c, err
}

// callerWith is the caller whose claims were found to be ours, if they still stand.
func (g *Gate) callerWith(ctx context.Context, c claims) (Caller, error) {
	switch {
	case c.Session != "":
		if err := g.sessionStands(ctx, c); err != nil {
			return Caller{}, err
		}
		return g.adminOf(c)
	case c.PlatformID == AdminPlatform:
		return g.adminOf(c)
	}
	return g.userOf(ctx, c)
}

// adminOf is the caller of a token that was made for an admin.
func (g *Gate) adminOf(c claims) (Caller, error) {
	if !g.IsAdmin(c.UserID) {
		return Caller{}, models.Errorf(models.CodeNoPermission, "this token was made for an admin, and its user is none")
	}
	return Caller{UserID: c.UserID, Admin: true, Ends: c.ExpiresAt.Time}, nil
}

// userOf is the caller of a token that was made for a user. Who was deleted and came again is another one.
func (g *Gate) userOf(ctx context.Context, c claims) (Caller, error) {
	user, err := g.Store.User(ctx, c.UserID)
	switch e := models.AsError(err); {
	case err != nil && e.Code != models.CodeRecordNotFound:
		return Caller{}, err
	case err != nil || c.Since == 0 || user.AddedRev != c.Since:
		return Caller{}, models.Errorf(models.CodeTokenInvalid, "the token's user is not in the directory, or came into it later; get a new one")
	}
	return Caller{UserID: c.UserID, Ends: c.ExpiresAt.Time}, nil
}

// verify checks a token's signature and times. Only HS256 is accepted: a token that names another algorithm has
// no valid signature.
func (g *Gate) verify(token string) (claims, error) {
	if g.Secret == "" { // a process without one knows nobody; an empty key would verify whatever was signed with it
		return claims{}, models.Errorf(models.CodeTokenUnknown, "this process has no secret to check tokens with")
	}
	var c claims
	_, err := jwt.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return g.keys(), nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired())
	switch {
	case err == nil && c.UserID != "":
		return c, nil
	case err == nil:
		return claims{}, models.Errorf(models.CodeTokenInvalid, "the token names no user")
	case errors.Is(err, jwt.ErrTokenMalformed):
		return claims{}, models.Errorf(models.CodeTokenMalformed, "the token is cut off, or is something else; a token has three parts with dots between them")
	case errors.Is(err, jwt.ErrTokenSignatureInvalid), errors.Is(err, jwt.ErrTokenUnverifiable):
		return claims{}, models.Errorf(models.CodeTokenUnknown, "the token's signature is not ours")
	case errors.Is(err, jwt.ErrTokenExpired):
		return claims{}, models.Errorf(models.CodeTokenExpired, "the token has expired; get a new one")
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return claims{}, models.Errorf(models.CodeTokenNotValidYet, "the token is not valid yet")
	}
	return claims{}, models.Errorf(models.CodeTokenInvalid, "the token is not valid")
}

// keys are the secrets that a token may be signed with.
func (g *Gate) keys() jwt.VerificationKeySet {
	keys := []jwt.VerificationKey{[]byte(g.Secret)}
	if g.Previous != "" {
		keys = append(keys, []byte(g.Previous))
	}
	return jwt.VerificationKeySet{Keys: keys}
}

// tokenOf finds the token in the header token or in Authorization: Bearer.
func tokenOf(r *http.Request) string {
	if t := r.Header.Get("token"); t != "" {
		return t
	}
	if scheme, t, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(t)
	}
	return ""
}

// sessionIn is the session's cookie; empty without one.
func sessionIn(r *http.Request) string {
	c, err := r.Cookie(SessionCookie)
	if err != nil {
		return ""
	}
	return c.Value
}

// claimsIn is what a request says of its caller, with a signature of ours or with OpenIM's word. A token goes before a session.
func (g *Gate) claimsIn(r *http.Request) (claims, error) {
	if token := tokenOf(r); token != "" {
		c, err := g.claimsOf(token)
		if err != nil && models.AsError(err).Code == models.CodeTokenUnknown {
			return g.claimsAtOpenIM(r, token, err)
		}
		return c, err
	}
	cookie := sessionIn(r)
	if cookie == "" {
		return claims{}, models.Errorf(models.CodeTokenNotExist, "a token is needed: header token, or Authorization: Bearer")
	}
	c, err := g.verify(cookie)
	if err == nil && c.Session == "" {
		return claims{}, models.Errorf(models.CodeTokenInvalid, "this cookie is no session")
	}
	return c, err
}

// Identify says who sent a request.
func (g *Gate) Identify(r *http.Request) (Caller, error) {
	c, err := g.claimsIn(r)
	if err != nil {
		return Caller{}, err
	}
	return g.callerWith(r.Context(), c)
}

// A session is a cookie that we have signed, and a key in Redis. It ends with either. The key alone opens
// nothing, so that who can write to Redis is no admin for that.

func sessionKey(name string) string { return "carillon:session:" + name }

// openSession makes an admin's session. It does not outlive the token that it was opened with.
func (g *Gate) openSession(ctx context.Context, who Caller) (cookie string, life time.Duration, err error) {
	life = min(sessionLife, time.Until(who.Ends))
	name := rand.Text()
	if err := g.Redis.Set(ctx, sessionKey(name), 1, life).Err(); err != nil {
		return "", 0, sessionsAway(err)
	}
	cookie, err = sign(g.Secret, claims{UserID: who.UserID, PlatformID: AdminPlatform, Session: name}, time.Now().Add(life))
	return cookie, life, err
}

// sessionStands is nil while a session is open.
func (g *Gate) sessionStands(ctx context.Context, c claims) error {
	n, err := g.Redis.Exists(ctx, sessionKey(c.Session)).Result()
	switch {
	case err != nil:
		return sessionsAway(err)
	case n == 0:
		return models.Errorf(models.CodeTokenExpired, "the session has ended; log in again")
	}
	return nil
}

// closeSession ends the session of a cookie, wherever copies of it are.
func (g *Gate) closeSession(ctx context.Context, cookie string) error {
	c, err := g.verify(cookie)
	if err != nil || c.Session == "" {
		return nil // nothing that could be open
	}
	if err := g.Redis.Del(ctx, sessionKey(c.Session)).Err(); err != nil {
		return sessionsAway(err)
	}
	return nil
}

func sessionsAway(err error) error {
	return &models.Error{Code: models.CodeUnavailable, Detail: "Redis does not answer, which knows the sessions", RetryAfter: UnavailableWait, Cause: err}
}
