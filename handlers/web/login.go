package web

import (
	"crypto/rand"
	_ "embed"
	"errors"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"carillon/models"
)

//go:embed login.html
var loginHTML string

// afterLogin is where a login leads that names no page.
const afterLogin = "/"

// maxKept is how many bytes of a form are kept for after a log-in.
const maxKept = 32 << 10

// loginView is what the login page shows.
type loginView struct {
	Nonce string // of the only style that the page may have
	Base  string // before each path
	Next  string
	Error string
	Admin string // whose session this browser has; empty = none
	Kept  string // a form for Next that came without a session; empty = none
	Lost  bool   // such a form was too long to keep
	// Resume is the same form again, to be sent by who has logged in.
	Resume []formField
}

type formField struct{ Name, Value string }

// askToLogIn sends a browser to the log-in page, and back afterwards. A form that it has sent is kept on that page.
func (g *Gate) askToLogIn(in *In) error {
	next := in.R.URL.EscapedPath()
	if in.R.Method == http.MethodGet && in.R.Header.Get("HX-Request") == "true" { // a part of a page: the whole page asks anew
		in.W.Header().Set("HX-Refresh", "true")
		in.W.WriteHeader(http.StatusNoContent)
		return nil
	}
	if in.R.Method == http.MethodGet || in.R.Method == http.MethodHead {
		if in.R.URL.RawQuery != "" {
			next += "?" + in.R.URL.RawQuery
		}
		http.Redirect(in.W, in.R, g.Path("/login?next="+url.QueryEscape(next)), http.StatusSeeOther)
		return nil
	}
	view := loginView{Next: next, Error: "your session has ended"}
	if body, err := in.Body(maxKept); err != nil || !strings.HasPrefix(in.R.Header.Get("Content-Type"), formType) {
		view.Lost = true
	} else {
		view.Kept = string(body)
	}
	return g.renderLogin(in.W, http.StatusUnauthorized, view)
}

const formType = "application/x-www-form-urlencoded"

// LoginPage answers the form.
func (g *Gate) LoginPage(in *In) error {
	view := loginView{Next: sameSite(in.Query("next"))}
	if c, err := g.Identify(in.R); err == nil && c.Admin {
		view.Admin = c.UserID
	}
	return g.renderLogin(in.W, http.StatusOK, view)
}

// Login reads the form's fields token and next. An admin's token opens a session. Otherwise the
// form comes again with the reason, and the status 401, 403, 429 or 503.
func (g *Gate) Login(in *In) error {
	var who Caller
	var view loginView
	err := g.Throttled(in, func() (err error) {
		who, view, err = g.readLogin(in)
		return err
	})
	var unread *HTTPError
	if errors.As(err, &unread) || models.AsError(err).Code == models.CodeTooLarge {
		return err
	}
	if err != nil {
		return g.refuseLogin(in, err, view)
	}
	cookie, life, err := g.openSession(in.Context(), who)
	if err != nil {
		return g.refuseLogin(in, err, view)
	}
	g.Record(in.Context(), in.Call, who.UserID, models.Event{Kind: models.EventLoginAccepted})
	if old := sessionIn(in.R); old != "" {
		_ = g.closeSession(in.Context(), old) // the browser has no cookie for it any more; while Redis is away it ends by itself
	}
	http.SetCookie(in.W, g.sessionOf(in.R, cookie, int(life.Seconds())))
	if view.Next == "" {
		view.Next = afterLogin
	}
	if view.Kept != "" {
		return g.renderLogin(in.W, http.StatusOK, view.resumed())
	}
	http.Redirect(in.W, in.R, g.Path(view.Next), http.StatusSeeOther)
	return nil
}

// readLogin returns who logs in, and where to go then with which form.
func (g *Gate) readLogin(in *In) (who Caller, view loginView, err error) {
	body, err := in.Body(FormBody)
	if err != nil {
		return who, view, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return who, view, &HTTPError{http.StatusBadRequest, models.Errorf(models.CodeArgs, "the body must be a form")}
	}
	view.Next, view.Kept = sameSite(form.Get("next")), form.Get("kept")
	if view.Next == "" || len(view.Kept) > maxKept {
		view.Kept = ""
	}
	who, err = g.callerOfToken(in.Context(), strings.TrimSpace(form.Get("token")))
	if err == nil && !who.Admin {
		err = models.Errorf(models.CodeNoPermission, "this token is valid, but not an admin's")
	}
	return who, view, err
}

// resumed is the page that sends the kept form.
func (v loginView) resumed() loginView {
	form, err := url.ParseQuery(v.Kept)
	if err != nil {
		return loginView{Next: v.Next, Lost: true}
	}
	resumed := loginView{Next: v.Next, Resume: []formField{}}
	for _, name := range slices.Sorted(maps.Keys(form)) {
		for _, value := range form[name] {
			resumed.Resume = append(resumed.Resume, formField{name, value})
		}
	}
	return resumed
}

// refuseLogin shows the form again, with what was wrong.
func (g *Gate) refuseLogin(in *In, err error, view loginView) error {
	e := asAnswer(in.Context(), err)
	if e.RetryAfter > 0 {
		in.W.Header().Set("Retry-After", strconv.Itoa(int(e.RetryAfter.Round(time.Second).Seconds())))
	}
	view.Error = e.Words()
	return g.renderLogin(in.W, StatusOf(err, e, false), view)
}

// Logout ends the session, wherever its cookie is. The token that opened the session stays valid.
func (g *Gate) Logout(in *In) error {
	if err := g.closeSession(in.Context(), sessionIn(in.R)); err != nil {
		return err
	}
	http.SetCookie(in.W, g.sessionOf(in.R, "", -1))
	http.Redirect(in.W, in.R, g.Path("/login"), http.StatusSeeOther)
	return nil
}

// sessionOf is the session's cookie. A proxy that ends TLS says so in X-Forwarded-Proto. A caller
// who forges the header loses only their own session.
func (g *Gate) sessionOf(r *http.Request, value string, maxAge int) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // Secure only behind TLS: on plain HTTP a browser would not send the cookie back
		Name: SessionCookie, Value: value, Path: g.Path("/"), MaxAge: maxAge, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: r.TLS != nil || strings.EqualFold(forwardedProto(r), "https"),
	}
}

// forwardedProto is the protocol of the browser's own connection. Each proxy adds its value to the
// end of the list.
func forwardedProto(r *http.Request) string {
	first, _, _ := strings.Cut(strings.Join(r.Header.Values("X-Forwarded-Proto"), ","), ",")
	return strings.TrimSpace(first)
}

// sameSite accepts only a path of this site, and turns everything else into "". Browsers read a
// backslash as a slash and drop control characters, so neither may hide a second slash.
func sameSite(next string) string {
	u, err := url.Parse(next) // url.Parse refuses control characters
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.Contains(next, `\`) {
		return ""
	}
	return next
}

func (g *Gate) renderLogin(w http.ResponseWriter, status int, view loginView) error {
	page, err := template.New("login").Parse(loginHTML)
	if err != nil {
		return err
	}
	view.Nonce, view.Base = rand.Text(), g.BasePath
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	PageHeaders(h, "default-src 'none'; style-src 'nonce-"+view.Nonce+"'; img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	w.WriteHeader(status)
	_ = page.Execute(w, view) // a client that is gone needs no page
	return nil
}
