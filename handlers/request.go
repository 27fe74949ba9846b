package handlers

import (
	"carillon/models"
	"context"
	"crypto/rand"
	"net/http"
	"net/url"
	"time"

	"github.com/gorilla/mux"
)

// ctxKey names what the context of a request carries.
type ctxKey int

const (
	ctxOperationID ctxKey = iota
	ctxCaller
	ctxCharge
	ctxConn
	ctxPatience
)

func operationID(ctx context.Context) string {
	id, _ := ctx.Value(ctxOperationID).(string)
	return id
}

func newOperationID() string { return rand.Text() }

func callerOf(r *http.Request) caller {
	c, _ := r.Context().Value(ctxCaller).(caller)
	return c
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

// caller is who sent a request.
type caller struct {
	UserID string
	Admin  bool
	Ends   time.Time // of the token
}
