package handlers

import (
	"context"
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
	return a.serve(true, func(in *in) error {
		if in.R.Header.Get("operationID") == "" {
			return models.Errorf(models.CodeArgs, "header must have operationID")
		}
		return h(in)
	})
}

// msg serves the original's routes: operationID first, then the token. Unlike the original it asks whether the
// caller is an admin before it reads the body: nobody else can make this process read 16 MiB.
func (a *API) msg(h handler) http.Handler {
	return a.auth(func(in *in) error {
		if tokenOf(in.R) == "" && sessionIn(in.R) == "" {
			return models.Errorf(models.CodeArgs, "header must have token")
		}
		return a.asAdmin(in, h)
	})
}

func (a *API) asCaller(in *in, h handler) error {
	claimed, err := a.claimsIn(in.R)
	if err != nil {
		return err
	}
	return a.asClaimed(in, claimed, h)
}

func (a *API) asClaimed(in *in, claimed claims, h handler) error {
	leave, err := a.enter(in.Context(), claimed) // before any store is asked
	if err != nil {
		return err
	}
	defer leave()
	in.caller, err = a.callerWith(in.Context(), claimed)
	if err != nil {
		return err
	}
	by := models.Actor{ID: in.UserID, Via: models.ViaAPI, OperationID: in.OperationID}
	if claimed.Session != "" {
		by.Via = models.ViaConsole
	}
	ctx := models.WithActor(in.Context(), by)
	if in.Admin {
		var over func()
		ctx, over = a.admins.while(ctx, a.Admins, in.UserID)
		defer over()
	}
	in.R = in.R.WithContext(ctx)
	return h(in)
}

// asAdmin is asCaller for admins. A user's token is refused before the directory is asked whether it still stands: where
// OpenIM has the same secret it may be OpenIM's, and OpenIM answers so too.
func (a *API) asAdmin(in *in, h handler) error {
	claimed, err := a.claimsIn(in.R)
	if err != nil {
		return err
	}
	if claimed.PlatformID != AdminPlatform { // a session's is the same
		return errNotAdmin
	}
	return a.asClaimed(in, claimed, h)
}

// admin serves a /v1 route for admins; query names the parameters that it takes.
func (a *API) admin(h handler, query ...string) http.Handler {
	return a.serve(false, func(in *in) error {
		return a.asAdmin(in, checked(h, query))
	})
}

// checked checks the query before h answers.
func checked(h handler, query []string) handler {
	return func(in *in) error {
		if err := checkQuery(in.R, query); err != nil {
			return err
		}
		return h(in)
	}
}

// inbox serves a /v1 route for admins and for the user whose ID stands in the path; query is as for
// admin.
func (a *API) inbox(h handler, query ...string) http.Handler {
	return a.serve(false, func(in *in) error {
		return a.asCaller(in, ownInbox(checked(h, query)))
	})
}

// ownInbox refuses users whose inbox the path does not name.
func ownInbox(h handler) handler {
	return func(in *in) error {
		userID, err := in.ID("userID")
		if err != nil {
			return err
		}
		if !in.Admin && in.UserID != userID {
			return models.Errorf(models.CodeNoPermission, "this token opens its own user's inbox only")
		}
		return h(in)
	}
}

// adminPage serves HTML for admins; others are sent to the login page.
func (a *API) adminPage(next http.Handler) http.Handler {
	return a.public(func(in *in) error {
		claimed, err := a.claimsIn(in.R)
		var c caller
		if err == nil {
			c, err = a.callerWith(in.Context(), claimed)
		}
		if err != nil || !c.Admin {
			http.Redirect(in.W, in.R, "/login?next="+url.QueryEscape(in.R.URL.EscapedPath()), http.StatusSeeOther)
			return nil
		}
		leave, err := a.enter(in.Context(), claimed)
		if err != nil {
			return err
		}
		defer leave()
		next.ServeHTTP(in.W, in.R)
		return nil
	})
}

// public serves a route to anybody.
func (a *API) public(h handler) http.Handler { return a.serve(false, h) }

// serve reads the call, and renders the handler's error; original says in whose style.
func (a *API) serve(original bool, h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		spent := &charge{}
		defer spent.release()
		in := &in{call: callOf(r), W: w, R: r.WithContext(context.WithValue(r.Context(), ctxCharge, spent)), gate: a}
		if !printable(in.OperationID) {
			in.OperationID = "(refused)"
			a.fail(in, queryError("operationID", "must be at most 128 printable characters"), original)
			return
		}
		if in.OperationID == "" {
			in.OperationID = newOperationID()
			if !original {
				w.Header().Set("operationID", in.OperationID)
			}
		}
		if err := h(in); err != nil {
			a.fail(in, err, original)
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
	cross.SetDenyHandler(a.public(func(*in) error {
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
				a.fail(&in{W: w, R: r, call: call{Route: "(none)"}}, models.Errorf(models.CodeInternal, "an internal error"), false)
			}
		}()
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	}))
}

func noRoute(*in) error {
	return &httpError{http.StatusNotFound, models.Errorf(models.CodeRecordNotFound, "there is no such route")}
}

// wrongMethod answers a method that a path does not take, and names those that the path takes.
func wrongMethod(router *mux.Router) handler {
	return func(in *in) error {
		var allowed []string
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			other, match := *in.R, mux.RouteMatch{}
			other.Method = method
			if router.Match(&other, &match) && match.MatchErr == nil {
				allowed = append(allowed, method)
			}
		}
		return notAllowed(in, allowed)
	}
}

func notAllowed(in *in, allowed []string) error {
	names := strings.Join(allowed, ", ")
	in.W.Header().Set("Allow", names)
	return &httpError{http.StatusMethodNotAllowed, models.Errorf(models.CodeArgs, "this route does not take %s, but %s", cutText(in.R.Method, maxNameBytes), names)}
}
