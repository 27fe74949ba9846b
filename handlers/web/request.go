package web

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/url"
	"time"

	"github.com/gorilla/mux"

	"carillon/models"
)

// ctxKey names what the context of a request carries.
type ctxKey int

const (
	ctxCharge ctxKey = iota
	ctxConn
	ctxPatience
)

// In is a request that came in, and where its answer goes. A handler reads an operation's input of it.
type In struct {
	Call
	W    http.ResponseWriter
	R    *http.Request
	gate *Gate

	errorPage ErrorPage // nil = errors are JSON
}

// Context ends with the request, or earlier with what the caller may do.
func (in *In) Context() context.Context { return in.R.Context() }

// Body reads the whole body of at most limit bytes. It stays in Raw.
func (in *In) Body(limit int64) (body []byte, err error) {
	in.Raw, err = in.gate.readBody(in.W, in.R, limit)
	return in.Raw, err
}

// Decode reads the body as one JSON object into the struct that into points to. Errors: see Body and Decode.
func (in *In) Decode(limit int64, into any, unknown UnknownFields) error {
	body, err := in.Body(limit)
	if err != nil {
		return err
	}
	return Decode(body, into, unknown)
}

// Query is a parameter of the query; "" when it is absent.
func (in *In) Query(name string) string { return in.R.URL.Query().Get(name) }

// Switch reads a query parameter that is 1 or 0.
func (in *In) Switch(name string) (bool, error) {
	switch in.Query(name) {
	case "1", "true":
		return true, nil
	case "", "0", "false":
		return false, nil
	}
	return false, Refuse(name, "must be 1 or 0")
}

// Var is a part of the path, as it came; "" when the route has none of this name.
func (in *In) Var(name string) string { return mux.Vars(in.R)[name] }

// ID reads an ID from the path, where it is percent-encoded.
func (in *In) ID(name string) (string, error) {
	id, err := url.PathUnescape(in.Var(name))
	why := models.CheckID(id)
	if err != nil {
		why = "must be percent-encoded"
	}
	if why != "" {
		return "", models.Invalid([]models.FieldError{{Field: name, Reason: why}})
	}
	return id, nil
}

// Known reads the ID of a campaign or schedule. An ID that cannot be one is as unknown as any other.
func (in *In) Known(what string) (string, error) {
	id, err := in.ID("id")
	if err != nil {
		return "", models.NotFound(what)
	}
	return id, nil
}

// Answer answers with data.
func (in *In) Answer(status int, data any) error { return AnswerData(in.W, status, data) }

func newOperationID() string { return rand.Text() }

// routeName is the route's pattern, so that no ID from a path reaches a log.
func routeName(r *http.Request) string {
	if route := mux.CurrentRoute(r); route != nil {
		if t, err := route.GetPathTemplate(); err == nil {
			return t
		}
	}
	return "(none)"
}

// Caller is who sent a request.
type Caller struct {
	UserID string
	Admin  bool
	Ends   time.Time // of the token
}

// Refusal is an error as a page shows it that does not end with the error, but shows a form again. An error that is no refusal
// of the request is logged.
func (in *In) Refusal(err error) (status int, e *models.Error) {
	e = asAnswer(in.Context(), err)
	if status = StatusOf(err, e, false); status >= http.StatusInternalServerError {
		in.gate.Log.Error("a form could not be served", "route", in.Route, "operationID", in.OperationID, "err", err)
		if e.Code == models.CodeUnavailable {
			status = http.StatusServiceUnavailable
		}
	}
	return status, e
}
