package handlers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"time"

	"carillon/internal/userfile"
	"carillon/models"
)

// maxRefusedShown is how many refused lines an answer names; all are counted.
const maxRefusedShown = 100

type refusedLine struct {
	Line  int    `json:"line"`
	Error string `json:"error"`
}

type importAnswer struct {
	models.UserCounts
	Refused      []refusedLine `json:"refused"`
	RefusedCount int           `json:"refusedCount"`
}

// importUsers reads a file of users of any size while it arrives. Good lines are kept whatever becomes of the
// others; a body that breaks off leaves what was imported, and the answer says how much.
func (a *API) importUsers(w http.ResponseWriter, r *http.Request) error {
	format, err := importFormat(r)
	if err != nil {
		return err
	}
	done := importAnswer{Refused: []refusedLine{}}
	if err := a.spend(r.Context(), importBytes); err != nil {
		return err
	}
	body := &timedBody{body: r.Body, ctl: http.NewResponseController(w), start: cmp.Or(a.BodyTime, bodyTime), rate: importRate}
	// a fault of the body ends the request's context, but what came before it is kept
	ctx := lasting(r.Context())
	flush := func(users []models.UserChange) error {
		some, err := a.Store.UpsertUsers(ctx, users)
		if err == nil {
			done.Add(some)
		} else if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return err
	}
	refuse := func(line int, reason string) {
		if done.RefusedCount++; done.RefusedCount <= maxRefusedShown {
			done.Refused = append(done.Refused, refusedLine{line, reason})
		}
	}
	if taken, err := userfile.Read(body, format, flush, refuse); err != nil {
		return importFault(err, taken, body.start)
	}
	return answerData(w, http.StatusOK, done)
}

func importFormat(r *http.Request) (userfile.Format, error) {
	if err := refuseEncoding(r); err != nil {
		return "", err
	}
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if format := userfile.Format(mediaType); err == nil && (format == userfile.CSV || format == userfile.NDJSON) {
		return format, nil
	}
	const reason = "must be text/csv or application/x-ndjson"
	return "", &httpError{http.StatusUnsupportedMediaType, &models.Error{Code: models.CodeArgs, Detail: "Content-Type " + reason,
		Fields: []models.FieldError{{Field: "Content-Type", Reason: reason}}}}
}

// importFault says what stopped an import, the ledger or the body, and what is kept all the same.
func importFault(err error, imported int, limit time.Duration) error {
	kept := fmt.Sprintf("; %d users before that are imported", imported)
	if broken := new(userfile.ReadError); !errors.As(err, &broken) {
		if models.IsUnavailable(err) {
			return &models.Error{Code: models.CodeUnavailable, Detail: "the database does not answer" + kept, RetryAfter: unavailableWait, Cause: err}
		}
		return err
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &httpError{http.StatusRequestTimeout, models.Errorf(models.CodeArgs, "the body came too slowly: nothing for %s, or less than %d bytes a second%s", limit, importRate, kept)}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &httpError{http.StatusBadRequest, models.Errorf(models.CodeArgs, "the body was cut short%s", kept)}
	}
	return &httpError{http.StatusBadRequest, &models.Error{Code: models.CodeArgs, Detail: "the body could not be read" + kept, Cause: err}}
}
