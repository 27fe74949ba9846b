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

// maxRefusedShown is how many refusals an answer names. All are counted.
const maxRefusedShown = 100

type importAnswer struct {
	models.UserCounts
	userfile.Counts
	Refused []userfile.Refusal `json:"refused"`
}

// importUsers reads a file of users of any size while it arrives. Good lines are kept whatever
// happens to the others. If the body breaks off, the users imported so far stay, and the answer
// says how many.
func (a *API) importUsers(w http.ResponseWriter, r *http.Request) error {
	format, err := importFormat(r)
	if err != nil {
		return err
	}
	options, err := importOptions(r)
	if err != nil {
		return err
	}
	done := importAnswer{Refused: []userfile.Refusal{}}
	if err := a.spend(r.Context(), importBytes); err != nil {
		return err
	}
	body := &timedBody{body: r.Body, ctl: http.NewResponseController(w), start: cmp.Or(a.BodyTime, bodyTime), rate: importRate}
	// A fault of the body ends the request's context, but the users before the fault are kept.
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
	refuse := func(refused userfile.Refusal) {
		if len(done.Refused) < maxRefusedShown {
			done.Refused = append(done.Refused, refused)
		}
	}
	done.Counts, err = userfile.Read(body, format, options, flush, refuse)
	a.recordImport(ctx, done, err == nil)
	if err != nil {
		return importFault(err, done.Taken(), body.start)
	}
	if done.Rows > 0 && done.Taken() == 0 {
		return answer(w, http.StatusUnprocessableEntity, envelope{ErrCode: models.CodeArgs, ErrMsg: models.CodeArgs.String(), Data: done,
			ErrDlt: fmt.Sprintf("none of the %d rows was taken; %s", done.Rows, done.Refused[0])}.encode())
	}
	return answerData(w, http.StatusOK, done)
}

// recordImport records an import that imported somebody. The users are stored already. So if the
// event cannot be stored, that is logged and the import succeeds.
func (a *API) recordImport(ctx context.Context, done importAnswer, whole bool) {
	if done.Sum() == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, recordWithin)
	defer cancel()
	if err := a.Store.UsersImported(ctx, done.UserCounts, done.Counts.Refused, whole); err != nil {
		a.Log.Warn("an event is not in the event log", "kind", models.EventUsersImported, "err", err, "operationID", operationID(ctx))
	}
}

// importOptions reads the query.
func importOptions(r *http.Request) (o userfile.Options, err error) {
	if o.Map, err = userfile.ParseMap(r.URL.Query().Get("map")); err != nil {
		return o, err
	}
	if o.IgnoreOther, err = switched(r, "ignoreOtherColumns"); err != nil {
		return o, err
	}
	o.Raw, err = switched(r, "raw")
	return o, err
}

// switched reads a query parameter that is 1 or 0.
func switched(r *http.Request, name string) (bool, error) {
	switch r.URL.Query().Get(name) {
	case "1", "true":
		return true, nil
	case "", "0", "false":
		return false, nil
	}
	return false, queryError(name, "must be 1 or 0")
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

// importFault says what stopped an import (the ledger or the body), and what is kept.
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
