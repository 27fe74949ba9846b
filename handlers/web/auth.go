package web

import (
	"context"
	"net/http"
	"runtime/debug"
	"strings"
	"unicode"

	"github.com/gorilla/mux"

	"carillon/models"
)

const maxOperationID = 128

var errNotAdmin = models.Errorf(models.CodeNoPermission, "only an admin may do this")

// CommandLineAgent begins the User-Agent of the command line. What it asks for stands in the event log as done via cli.
const CommandLineAgent = "carillon-cli/"

// Auth serves /auth/get_admin_token: an operationID, and no token yet.
func (g *Gate) Auth(h Handler) http.Handler {
	return g.serve(true, func(in *In) error {
		if in.R.Header.Get("operationID") == "" {
			return models.Errorf(models.CodeArgs, "header must have operationID")
		}
		return h(in)
	})
}

// Msg serves the original's routes: operationID first, then the token. Unlike the original it asks whether the
// Caller is an admin before it reads the body: nobody else can make this process read 16 MiB.
func (g *Gate) Msg(h Handler) http.Handler {
	return g.Auth(func(in *In) error {
		if tokenOf(in.R) == "" && sessionIn(in.R) == "" {
			return models.Errorf(models.CodeArgs, "header must have token")
		}
		return g.asAdmin(in, h)
	})
}

func (g *Gate) asCaller(in *In, h Handler) error {
	claimed, err := g.claimsIn(in.R)
	if err != nil {
		return err
	}
	return g.asClaimed(in, claimed, h)
}

func (g *Gate) asClaimed(in *In, claimed claims, h Handler) error {
	leave, err := g.enter(in.Context(), claimed) // before any store is asked
	if err != nil {
		return err
	}
	defer leave()
	in.Caller, err = g.callerWith(in.Context(), claimed)
	if err != nil {
		return err
	}
	by := models.Actor{ID: in.UserID, Via: models.ViaAPI, OperationID: in.OperationID}
	switch {
	case claimed.Session != "":
		by.Via = models.ViaConsole
	case strings.HasPrefix(in.R.UserAgent(), CommandLineAgent):
		by.Via = models.ViaCLI
	}
	ctx := models.WithActor(in.Context(), by)
	if in.Admin {
		var over func()
		ctx, over = g.admins.while(ctx, g.Admins, in.UserID)
		defer over()
	}
	in.R = in.R.WithContext(ctx)
	return h(in)
}

// asAdmin is asCaller for admins. A user's token is refused before the directory is asked whether it still stands: where
// OpenIM has the same secret it may be OpenIM's, and OpenIM answers so too.
func (g *Gate) asAdmin(in *In, h Handler) error {
	claimed, err := g.claimsIn(in.R)
	if err != nil {
		return err
	}
	if claimed.PlatformID != AdminPlatform { // a session's is the same
		return errNotAdmin
	}
	return g.asClaimed(in, claimed, h)
}

// Admin serves a /v1 route for admins; query names the parameters that it takes.
func (g *Gate) Admin(h Handler, query ...string) http.Handler {
	return g.serve(false, func(in *In) error {
		return g.asAdmin(in, checked(h, query))
	})
}

// checked checks the query before h answers.
func checked(h Handler, query []string) Handler {
	return func(in *In) error {
		if err := CheckQuery(in.R, query); err != nil {
			return err
		}
		return h(in)
	}
}

// OwnInbox serves a /v1 route for admins and for the user whose ID stands in the path; query is as for
// admin.
func (g *Gate) OwnInbox(h Handler, query ...string) http.Handler {
	return g.serve(false, func(in *In) error {
		return g.asCaller(in, ownInbox(checked(h, query)))
	})
}

// ownInbox refuses users whose inbox the path does not name.
func ownInbox(h Handler) Handler {
	return func(in *In) error {
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

// ErrorPage writes a page that says what went wrong.
type ErrorPage func(in *In, status int, e *models.Error)

// AdminPage serves a page for admins; others are sent to the log-in page. errorPage shows errors; nil = as JSON.
func (g *Gate) AdminPage(errorPage ErrorPage, h Handler) http.Handler {
	return g.Public(func(in *In) error {
		in.errorPage = errorPage
		entered := false
		err := g.asAdmin(in, func(in *In) error {
			entered = true
			return h(in)
		})
		if err == nil || entered || !opensNothing(err) {
			return err
		}
		return g.askToLogIn(in)
	})
}

// opensNothing is true for what another log-in mends.
func opensNothing(err error) bool {
	switch StatusOf(err, models.AsError(err), false) {
	case http.StatusUnauthorized, http.StatusForbidden:
		return true
	}
	return false
}

// Public serves a route to anybody.
func (g *Gate) Public(h Handler) http.Handler { return g.serve(false, h) }

// serve reads the call, and renders the handler's error; original says in whose style.
func (g *Gate) serve(original bool, h Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.counted(w, r, func(w *coded, r *http.Request) { g.answer(w, r, original, h) })
	})
}

func (g *Gate) answer(w *coded, r *http.Request, original bool, h Handler) {
	spent := &charge{}
	defer spent.release()
	in := &In{Call: CallOf(r), W: w, R: r.WithContext(context.WithValue(r.Context(), ctxCharge, spent)), gate: g}
	if !printable(in.OperationID) {
		in.OperationID = "(refused)"
		w.operationID = in.OperationID
		w.end = g.fail(in, Refuse("operationID", "must be at most 128 printable characters"), original)
		return
	}
	if in.OperationID == "" {
		in.OperationID = newOperationID()
		if !original {
			w.Header().Set("operationID", in.OperationID)
		}
	}
	w.operationID = in.OperationID
	if err := h(in); err != nil {
		w.end = g.fail(in, err, original)
	}
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

// Outermost refuses what a browser sends from another site, gives each phase its time, and turns a panic into an
// answer. No answer is taken for another type than it names or kept by a cache, unless its route says otherwise.
func (g *Gate) Outermost(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(g.Public(func(*In) error {
		return models.Errorf(models.CodeNoPermission, "a browser sent this from another site")
	}))
	next = g.below(cross.Handler(next))
	return g.timely(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler { //nolint:errorlint // the standard library compares it so
					panic(p)
				}
				g.Log.Error("a handler panicked", "panic", p, "stack", string(debug.Stack()))
				g.fail(&In{W: w, R: r, Call: Call{Route: "(none)"}}, models.Errorf(models.CodeInternal, "an internal error"), false)
			}
		}()
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	}))
}

// NoSuchRoute is what NoRoute says.
const NoSuchRoute = "there is no such route"

func NoRoute(*In) error {
	return &HTTPError{http.StatusNotFound, models.Errorf(models.CodeRecordNotFound, NoSuchRoute)}
}

// WrongMethod answers a method that a path does not take, and names those that the path takes.
func WrongMethod(router *mux.Router) Handler {
	return func(in *In) error {
		var allowed []string
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			other, match := *in.R, mux.RouteMatch{}
			other.Method = method
			if router.Match(&other, &match) && match.MatchErr == nil {
				allowed = append(allowed, method)
			}
		}
		return NotAllowed(in, allowed)
	}
}

func NotAllowed(in *In, allowed []string) error {
	names := strings.Join(allowed, ", ")
	in.W.Header().Set("Allow", names)
	return &HTTPError{http.StatusMethodNotAllowed, models.Errorf(models.CodeArgs, "this route does not take %s, but %s", cutText(in.R.Method, maxNameBytes), names)}
}
