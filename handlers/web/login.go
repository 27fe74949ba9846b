package web

import (
	"crypto/rand"
	_ "embed"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"carillon/models"
)

//go:embed login.html
var loginHTML string

// afterLogin is where a login leads that names no page.
const afterLogin = "/monitor/"

// loginView is what the login page shows.
type loginView struct {
	Nonce string // of the only style that the page may have
	Next  string
	Error string
	Admin string // whose session this browser has; empty = none
}

// LoginPage answers the form.
func (g *Gate) LoginPage(in *In) error {
	view := loginView{Next: sameSite(in.Query("next"))}
	if c, err := g.Identify(in.R); err == nil && c.Admin {
		view.Admin = c.UserID
	}
	return renderLogin(in.W, http.StatusOK, view)
}

// Login reads the form's fields token and next. An admin's token opens a session. Otherwise the
// form comes again with the reason, and the status 401, 403, 429 or 503.
func (g *Gate) Login(in *In) error {
	var who Caller
	next := ""
	err := g.Throttled(in, func() (err error) {
		who, next, err = g.readLogin(in)
		return err
	})
	var unread *HTTPError
	if errors.As(err, &unread) || models.AsError(err).Code == models.CodeTooLarge {
		return err
	}
	if err != nil {
		return refuseLogin(in, err, next)
	}
	cookie, life, err := g.openSession(in.Context(), who)
	if err != nil {
		return refuseLogin(in, err, next)
	}
	g.Record(in.Context(), in.Call, who.UserID, models.Event{Kind: models.EventLoginAccepted})
	if old := sessionIn(in.R); old != "" {
		_ = g.closeSession(in.Context(), old) // the browser has no cookie for it any more; while Redis is away it ends by itself
	}
	http.SetCookie(in.W, sessionOf(in.R, cookie, int(life.Seconds())))
	if next == "" {
		next = afterLogin
	}
	http.Redirect(in.W, in.R, next, http.StatusSeeOther)
	return nil
}

// readLogin returns who logs in and where to go then.
func (g *Gate) readLogin(in *In) (who Caller, next string, err error) {
	body, err := in.Body(LoginBody)
	if err != nil {
		return who, "", err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return who, "", &HTTPError{http.StatusBadRequest, models.Errorf(models.CodeArgs, "the body must be a form")}
	}
	next = sameSite(form.Get("next"))
	who, err = g.callerOfToken(in.Context(), strings.TrimSpace(form.Get("token")))
	if err == nil && !who.Admin {
		err = models.Errorf(models.CodeNoPermission, "this token is valid, but not an admin's")
	}
	return who, next, err
}

// refuseLogin shows the form again, with what was wrong.
func refuseLogin(in *In, err error, next string) error {
	e := asAnswer(in.Context(), err)
	if e.RetryAfter > 0 {
		in.W.Header().Set("Retry-After", strconv.Itoa(int(e.RetryAfter.Round(time.Second).Seconds())))
	}
	return renderLogin(in.W, StatusOf(err, e, false), loginView{Next: next, Error: e.Words()})
}

// Logout ends the session, wherever its cookie is. The token that opened the session stays valid.
func (g *Gate) Logout(in *In) error {
	if err := g.closeSession(in.Context(), sessionIn(in.R)); err != nil {
		return err
	}
	http.SetCookie(in.W, sessionOf(in.R, "", -1))
	http.Redirect(in.W, in.R, "/login", http.StatusSeeOther)
	return nil
}

// sessionOf is the session's cookie. A proxy that ends TLS says so in X-Forwarded-Proto. A caller
// who forges the header loses only their own session.
func sessionOf(r *http.Request, value string, maxAge int) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // Secure only behind TLS: on plain HTTP a browser would not send the cookie back
		Name: SessionCookie, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, SameSite: http.SameSiteLaxMode,
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

func renderLogin(w http.ResponseWriter, status int, view loginView) error {
	page, err := template.New("login").Parse(loginHTML)
	if err != nil {
		return err
	}
	view.Nonce = rand.Text()
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	PageHeaders(h, "default-src 'none'; style-src 'nonce-"+view.Nonce+"'; img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	w.WriteHeader(status)
	_ = page.Execute(w, view) // a client that is gone needs no page
	return nil
}
