package handlers

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/mux"

	"carillon/models"
)

const (
	tokenLife      = 90 * 24 * time.Hour // the original's default
	adminPlatform  = 10
	maxOperationID = 128
	sessionCookie  = "carillon_session"
	maxTries       = 10 // failed log-ins a minute and address
)

// claims are the original's, in its exact case.
type claims struct {
	UserID     string
	PlatformID int
	jwt.RegisteredClaims
}

// caller is whose token came with a request.
type caller struct {
	UserID string
	Admin  bool
	Token  string
}

// NewToken signs a token for a user ID; it is an admin's as long as the ID is in the list of admins.
func NewToken(secret, userID string, platformID int) (string, error) {
	now := time.Now()
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims{userID, platformID, jwt.RegisteredClaims{
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(tokenLife)),
	}}).SignedString([]byte(secret))
}

// whoIs checks a token. Only HS256 is accepted: a token that names another algorithm has no valid signature.
func (a *API) whoIs(token string) (caller, error) {
	if a.Secret == "" { // a process without one knows nobody; an empty key would verify whatever was signed with it
		return caller{}, models.Errorf(models.CodeTokenUnknown, "this process has no secret to check tokens with")
	}
	var c claims
	_, err := jwt.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return []byte(a.Secret), nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired())
	switch {
	case err == nil && c.UserID != "":
		return caller{c.UserID, slices.Contains(a.Admins, c.UserID), token}, nil
	case err == nil:
		return caller{}, models.Errorf(models.CodeTokenInvalid, "the token names no user")
	case errors.Is(err, jwt.ErrTokenMalformed):
		return caller{}, models.Errorf(models.CodeTokenMalformed, "the token is not a JWT")
	case errors.Is(err, jwt.ErrTokenSignatureInvalid), errors.Is(err, jwt.ErrTokenUnverifiable):
		return caller{}, models.Errorf(models.CodeTokenUnknown, "the token's signature is not ours")
	case errors.Is(err, jwt.ErrTokenExpired):
		return caller{}, models.Errorf(models.CodeTokenExpired, "the token has expired; get a new one")
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return caller{}, models.Errorf(models.CodeTokenNotValidYet, "the token is not valid yet")
	}
	return caller{}, models.Errorf(models.CodeTokenInvalid, "the token is not valid")
}

// tokenOf finds the token: header token, Authorization: Bearer, or the session's cookie.
func tokenOf(r *http.Request) string {
	if t := r.Header.Get("token"); t != "" {
		return t
	}
	if scheme, t, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(t)
	}
	if c, err := r.Cookie(sessionCookie); err == nil {
		return c.Value
	}
	return ""
}

func (a *API) identify(r *http.Request) (caller, error) {
	token := tokenOf(r)
	if token == "" {
		return caller{}, models.Errorf(models.CodeTokenNotExist, "a token is needed: header token, or Authorization: Bearer")
	}
	return a.whoIs(token)
}

func callerOf(r *http.Request) caller {
	c, _ := r.Context().Value(ctxCaller).(caller)
	return c
}

var errNotAdmin = models.Errorf(models.CodeNoPermission, "only an admin may do this")

// auth serves /auth/get_admin_token: an operationID, and no token yet.
func (a *API) auth(h handler) http.Handler {
	return a.serve(true, func(w http.ResponseWriter, r *http.Request) error {
		if r.Header.Get("operationID") == "" {
			return models.Errorf(models.CodeArgs, "header must have operationID")
		}
		return h(w, r)
	})
}

// msg serves the original's routes: operationID first, then the token. Whether the caller is an admin is
// asked by the handler, after the body was bound, as in the original.
func (a *API) msg(h handler) http.Handler {
	return a.auth(func(w http.ResponseWriter, r *http.Request) error {
		if tokenOf(r) == "" {
			return models.Errorf(models.CodeArgs, "header must have token")
		}
		return a.asCaller(w, r, h)
	})
}

func (a *API) asCaller(w http.ResponseWriter, r *http.Request, h handler) error {
	c, err := a.identify(r)
	if err != nil {
		return err
	}
	return h(w, r.WithContext(context.WithValue(r.Context(), ctxCaller, c)))
}

// admin serves a /v1 route for admins; query names the parameters that it takes.
func (a *API) admin(h handler, query ...string) http.Handler {
	return a.serve(false, func(w http.ResponseWriter, r *http.Request) error {
		return a.asCaller(w, r, func(w http.ResponseWriter, r *http.Request) error {
			if !callerOf(r).Admin {
				return errNotAdmin
			}
			if err := checkQuery(r, query); err != nil {
				return err
			}
			return h(w, r)
		})
	})
}

// inbox serves a /v1 route for admins and for the user whose ID stands in the path; query is as for
// admin.
func (a *API) inbox(h handler, query ...string) http.Handler {
	return a.serve(false, func(w http.ResponseWriter, r *http.Request) error {
		return a.asCaller(w, r, func(w http.ResponseWriter, r *http.Request) error {
			userID, err := pathID(r, "userID")
			if err != nil {
				return err
			}
			if c := callerOf(r); !c.Admin && c.UserID != userID {
				return models.Errorf(models.CodeNoPermission, "this token opens its own user's inbox only")
			}
			if err := checkQuery(r, query); err != nil {
				return err
			}
			return h(w, r)
		})
	})
}

// page serves HTML for admins; others are sent to the login page.
func (a *API) page(next http.Handler) http.Handler {
	return a.open(func(w http.ResponseWriter, r *http.Request) error {
		if c, err := a.identify(r); err != nil || !c.Admin {
			http.Redirect(w, r, "/login?next="+url.QueryEscape(r.URL.EscapedPath()), http.StatusSeeOther)
			return nil
		}
		next.ServeHTTP(w, r)
		return nil
	})
}

// open serves a route to anybody.
func (a *API) open(h handler) http.Handler { return a.serve(false, h) }

// serve gives the request its operationID and renders the handler's error; original says in whose style.
func (a *API) serve(original bool, h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("operationID")
		made := id == ""
		if made {
			id = newOperationID()
		}
		r = r.WithContext(context.WithValue(r.Context(), ctxOperationID, id))
		if !printable(id) {
			r = r.WithContext(context.WithValue(r.Context(), ctxOperationID, "(refused)"))
			a.fail(w, r, models.Invalid([]models.FieldError{{Field: "operationID", Reason: "must be at most 128 printable characters"}}), original)
			return
		}
		if made && !original {
			w.Header().Set("operationID", id)
		}
		if err := h(w, r); err != nil {
			a.fail(w, r, err, original)
		}
	})
}

func printable(id string) bool {
	n := 0
	for _, c := range id {
		if n++; c == unicode.ReplacementChar || !unicode.IsPrint(c) {
			return false
		}
	}
	return n <= maxOperationID
}

// outermost refuses what a browser sends from another site, and turns a panic into an answer.
func (a *API) outermost(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(a.open(func(http.ResponseWriter, *http.Request) error {
		return models.Errorf(models.CodeNoPermission, "a browser sent this from another site")
	}))
	next = cross.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler { //nolint:errorlint // the standard library compares it so
					panic(p)
				}
				a.Log.Error("a handler panicked", "panic", p, "stack", string(debug.Stack()))
				a.fail(w, r, models.Errorf(models.CodeInternal, "an internal error"), false)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// pathID reads an ID from the path, where it is percent-encoded.
func pathID(r *http.Request, name string) (string, error) {
	id, err := url.PathUnescape(mux.Vars(r)[name])
	why := models.CheckID(id)
	if err != nil {
		why = "must be percent-encoded"
	}
	if why != "" {
		return "", models.Invalid([]models.FieldError{{Field: name, Reason: why}})
	}
	return id, nil
}

// routeName is the route's pattern, so that no ID from a path reaches a log.
func routeName(r *http.Request) string {
	if route := mux.CurrentRoute(r); route != nil {
		if t, err := route.GetPathTemplate(); err == nil {
			return t
		}
	}
	return "(none)"
}

func noRoute(_ http.ResponseWriter, r *http.Request) error {
	return &httpError{http.StatusNotFound, models.Errorf(models.CodeRecordNotFound, "there is no such route")}
}

// wrongMethod answers a method that a path does not take, and names those that the path takes.
func wrongMethod(router *mux.Router) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		var allowed []string
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			other, match := *r, mux.RouteMatch{}
			other.Method = method
			if router.Match(&other, &match) && match.MatchErr == nil {
				allowed = append(allowed, method)
			}
		}
		return notAllowed(w, r, allowed)
	}
}

func notAllowed(w http.ResponseWriter, r *http.Request, allowed []string) error {
	names := strings.Join(allowed, ", ")
	w.Header().Set("Allow", names)
	return &httpError{http.StatusMethodNotAllowed, models.Errorf(models.CodeArgs, "this route does not take %s, but %s", cut(r.Method, maxNameBytes), names)}
}

type tokenRequest struct {
	Secret     string `json:"secret"`
	UserID     string `json:"userID"`
	PlatformID int    `json:"platformID"`
}

func tokenAnswer(w http.ResponseWriter, secret, userID string, platformID int) error {
	token, err := NewToken(secret, userID, platformID)
	if err != nil {
		return err
	}
	return answerData(w, http.StatusOK, map[string]any{"token": token, "expireTimeSeconds": int64(tokenLife.Seconds())})
}

func (a *API) getAdminToken(w http.ResponseWriter, r *http.Request) error {
	if err := a.mayTry(r); err != nil {
		return err
	}
	body, err := a.readBody(w, r)
	if err != nil {
		return err
	}
	var req tokenRequest
	if err := decodeJSON(body, &req, ignoreUnknown); err != nil {
		return asBindError(err)
	}
	given, ours := sha256.Sum256([]byte(req.Secret)), sha256.Sum256([]byte(a.Secret))
	if subtle.ConstantTimeCompare(given[:], ours[:]) != 1 || !slices.Contains(a.Admins, req.UserID) {
		a.countFailedTry(r)
		return models.Errorf(models.CodeNoPermission, "the secret is wrong or the user is not an admin")
	}
	return tokenAnswer(w, a.Secret, req.UserID, adminPlatform)
}

func (a *API) getUserToken(w http.ResponseWriter, r *http.Request) error {
	body, err := a.readBody(w, r)
	if err != nil {
		return err
	}
	var req tokenRequest
	if err := decodeJSON(body, &req, ignoreUnknown); err != nil {
		return asBindError(err)
	}
	if !callerOf(r).Admin {
		return errNotAdmin
	}
	if why := models.CheckID(req.UserID); why != "" {
		return models.Invalid([]models.FieldError{{Field: "userID", Reason: why}})
	}
	if slices.Contains(a.Admins, req.UserID) {
		return models.Errorf(models.CodeNoPermission, "an admin's token comes from /auth/get_admin_token")
	}
	if req.PlatformID < 0 || req.PlatformID > maxPlatformID {
		return models.Invalid([]models.FieldError{{Field: "platformID", Reason: "must be 0 to 10"}})
	}
	if _, err := a.Store.User(r.Context(), req.UserID); err != nil {
		return err
	}
	return tokenAnswer(w, a.Secret, req.UserID, req.PlatformID)
}

// triesKey holds an address only as a keyed hash.
func (a *API) triesKey(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	mac := hmac.New(sha256.New, []byte(a.Secret))
	mac.Write([]byte(host))
	return "carillon:tries:" + hex.EncodeToString(mac.Sum(nil)[:16])
}

// mayTry refuses an address with too many failed tries in the last minute, whatever process they came to.
// While Redis is away nobody is locked out: the secret is what protects.
func (a *API) mayTry(r *http.Request) error {
	n, err := a.Redis.Get(r.Context(), a.triesKey(r)).Int()
	if err == nil && n >= maxTries {
		return &models.Error{Code: models.CodeTooManyRequests, Detail: "too many failed tries; wait a minute", RetryAfter: time.Minute}
	}
	return nil
}

func (a *API) countFailedTry(r *http.Request) {
	key := a.triesKey(r)
	pipe := a.Redis.TxPipeline()
	pipe.SetNX(r.Context(), key, 0, time.Minute)
	pipe.Incr(r.Context(), key)
	if _, err := pipe.Exec(r.Context()); err != nil {
		a.Log.Warn("a failed try could not be counted", "err", err)
	}
}
