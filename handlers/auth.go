package handlers

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"unicode"

	"github.com/gorilla/mux"

	"carillon/models"
)

const maxOperationID = 128

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

// msg serves the original's routes: operationID first, then the token. Unlike the original it asks whether the
// caller is an admin before it reads the body: nobody else can make this process read 16 MiB.
func (a *API) msg(h handler) http.Handler {
	return a.auth(func(w http.ResponseWriter, r *http.Request) error {
		if tokenOf(r) == "" && sessionIn(r) == "" {
			return models.Errorf(models.CodeArgs, "header must have token")
		}
		return a.asAdmin(w, r, h)
	})
}

func (a *API) asCaller(w http.ResponseWriter, r *http.Request, h handler) error {
	claimed, err := a.claimsIn(r)
	if err != nil {
		return err
	}
	return a.asClaimed(w, r, claimed, h)
}

func (a *API) asClaimed(w http.ResponseWriter, r *http.Request, claimed claims, h handler) error {
	leave, err := a.enter(r.Context(), claimed) // before any store is asked
	if err != nil {
		return err
	}
	defer leave()
	c, err := a.callerWith(r.Context(), claimed)
	if err != nil {
		return err
	}
	by := models.Actor{ID: c.UserID, Via: models.ViaAPI, OperationID: operationID(r.Context())}
	if claimed.Session != "" {
		by.Via = models.ViaConsole
	}
	ctx := models.WithActor(context.WithValue(r.Context(), ctxCaller, c), by)
	if c.Admin {
		var over func()
		ctx, over = a.admins.while(ctx, a.Admins, c.UserID)
		defer over()
	}
	return h(w, r.WithContext(ctx))
}

// asAdmin is asCaller for admins. A user's token is refused before the directory is asked whether it still stands: where
// OpenIM has the same secret it may be OpenIM's, and OpenIM answers so too.
func (a *API) asAdmin(w http.ResponseWriter, r *http.Request, h handler) error {
	claimed, err := a.claimsIn(r)
	if err != nil {
		return err
	}
	if claimed.PlatformID != AdminPlatform { // a session's is the same
		return errNotAdmin
	}
	return a.asClaimed(w, r, claimed, h)
}

// admin serves a /v1 route for admins; query names the parameters that it takes.
func (a *API) admin(h handler, query ...string) http.Handler {
	return a.serve(false, func(w http.ResponseWriter, r *http.Request) error {
		return a.asAdmin(w, r, func(w http.ResponseWriter, r *http.Request) error {
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

// adminPage serves HTML for admins; others are sent to the login page.
func (a *API) adminPage(next http.Handler) http.Handler {
	return a.public(func(w http.ResponseWriter, r *http.Request) error {
		claimed, err := a.claimsIn(r)
		var c caller
		if err == nil {
			c, err = a.callerWith(r.Context(), claimed)
		}
		if err != nil || !c.Admin {
			http.Redirect(w, r, "/login?next="+url.QueryEscape(r.URL.EscapedPath()), http.StatusSeeOther)
			return nil
		}
		leave, err := a.enter(r.Context(), claimed)
		if err != nil {
			return err
		}
		defer leave()
		next.ServeHTTP(w, r)
		return nil
	})
}

// public serves a route to anybody.
func (a *API) public(h handler) http.Handler { return a.serve(false, h) }

// serve gives the request its operationID and renders the handler's error; original says in whose style.
func (a *API) serve(original bool, h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("operationID")
		made := id == ""
		if made {
			id = newOperationID()
		}
		spent := &charge{}
		defer spent.release()
		r = r.WithContext(context.WithValue(context.WithValue(r.Context(), ctxOperationID, id), ctxCharge, spent))
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
		n++
		if c == unicode.ReplacementChar || !unicode.IsPrint(c) {
			return false
		}
	}
	return n <= maxOperationID
}

// outermost refuses what a browser sends from another site, gives each phase its time, and turns a panic into an
// answer. No answer is taken for another type than it names or kept by a cache, unless its route says otherwise.
func (a *API) outermost(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(a.public(func(http.ResponseWriter, *http.Request) error {
		return models.Errorf(models.CodeNoPermission, "a browser sent this from another site")
	}))
	next = cross.Handler(next)
	return a.timely(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler { //nolint:errorlint // the standard library compares it so
					panic(p)
				}
				a.Log.Error("a handler panicked", "panic", p, "stack", string(debug.Stack()))
				a.fail(w, r, models.Errorf(models.CodeInternal, "an internal error"), false)
			}
		}()
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	}))
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
	return &httpError{http.StatusMethodNotAllowed, models.Errorf(models.CodeArgs, "this route does not take %s, but %s", cutText(r.Method, maxNameBytes), names)}
}

type tokenRequest struct {
	Secret     string `json:"secret"`
	UserID     string `json:"userID"`
	PlatformID int    `json:"platformID"`
}

func tokenAnswer(w http.ResponseWriter, token string) error {
	return answerData(w, http.StatusOK, map[string]any{"token": token, "expireTimeSeconds": int64(TokenLife.Seconds())})
}

func (a *API) getAdminToken(w http.ResponseWriter, r *http.Request) error {
	var token, userID string
	err := a.throttled(r, func() (err error) {
		token, userID, err = a.adminTokenFor(w, r)
		return err
	})
	if err != nil {
		return err
	}
	a.record(r, userID, models.Event{Kind: models.EventTokenIssued, Data: models.EventData{"userID": userID, "admin": true}})
	return tokenAnswer(w, token)
}

// adminTokenFor makes the token that a body with the right secret asks for, and says for whom.
func (a *API) adminTokenFor(w http.ResponseWriter, r *http.Request) (token, userID string, err error) {
	body, err := a.readBody(w, r, loginBody)
	if err != nil {
		return "", "", err
	}
	var req tokenRequest
	if err := decodeJSON(body, &req, ignoreUnknown); err != nil {
		return "", "", asBindError(err)
	}
	given, ours := sha256.Sum256([]byte(req.Secret)), sha256.Sum256([]byte(a.Secret))
	if subtle.ConstantTimeCompare(given[:], ours[:]) != 1 || !a.isAdmin(req.UserID) {
		return "", "", models.Errorf(models.CodeNoPermission, "the secret is wrong or the user is not an admin")
	}
	token, err = AdminToken(a.Secret, req.UserID)
	return token, req.UserID, err
}

func (a *API) getUserToken(w http.ResponseWriter, r *http.Request) error {
	body, err := a.readBody(w, r, loginBody)
	if err != nil {
		return err
	}
	var req tokenRequest
	if err := decodeJSON(body, &req, ignoreUnknown); err != nil {
		return asBindError(err)
	}
	if why := models.CheckID(req.UserID); why != "" {
		return models.Invalid([]models.FieldError{{Field: "userID", Reason: why}})
	}
	if a.isAdmin(req.UserID) {
		return models.Errorf(models.CodeNoPermission, "an admin's token comes from /auth/get_admin_token")
	}
	if req.PlatformID < 0 || req.PlatformID > maxUserPlatform {
		return models.Invalid([]models.FieldError{{Field: "platformID", Reason: "must be 0 to 9; 10 is the admins'"}})
	}
	user, err := a.Store.User(r.Context(), req.UserID)
	if err != nil {
		return err
	}
	token, err := UserToken(a.Secret, user, req.PlatformID)
	if err != nil {
		return err
	}
	a.record(r, callerOf(r).UserID, models.Event{Kind: models.EventTokenIssued, Data: models.EventData{"userID": user.UserID, "admin": false}})
	return tokenAnswer(w, token)
}
