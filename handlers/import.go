package handlers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"time"

	"carillon/handlers/web"
	"carillon/internal/userfile"
	"carillon/models"
)

// maxRefusedShown is how many refusals an answer names. All are counted.
const maxRefusedShown = 100

// importBytes is one batch of an import: as read, as checked and as SQL.
const importBytes = 24 << 20

// ImportAnswer is what an import has done. Refused names at most 100.
type ImportAnswer struct {
	models.UserCounts
	userfile.Counts
	Refused []userfile.Refusal `json:"refused"`
}

// importUsers is POST /v1/users/import.
func (a *API) importUsers(in *web.In) error {
	format, err := importFormat(in.R)
	if err != nil {
		return err
	}
	options, err := importOptions(in)
	if err != nil {
		return err
	}
	body, most := in.LongBody()
	done, err := a.ImportUsers(in.Context(), in.Call, ImportFile{Body: body, Size: max(0, in.R.ContentLength), Most: most, Format: format, Options: options})
	if err != nil {
		return err
	}
	if done.Rows > 0 && done.Taken() == 0 {
		return web.Answer(in.W, http.StatusUnprocessableEntity, web.Envelope{ErrCode: models.CodeArgs, ErrMsg: models.CodeArgs.String(), Data: done,
			ErrDlt: fmt.Sprintf("none of the %d rows was taken; %s", done.Rows, done.Refused[0])}.Encode())
	}
	return in.Answer(http.StatusOK, done)
}

// ImportFile is a file of users that arrives.
type ImportFile struct {
	Body    io.Reader
	Name    string        // for those who look how far it is; empty = none
	Size    int64         // bytes of the body, or a little more; 0 = not known
	Most    time.Duration // how long the body may stop
	Format  userfile.Format
	Options userfile.Options
}

// ImportUsers reads a file of users of any size while it arrives. Good lines are kept whatever
// happens to the others. If the body breaks off, the users imported so far stay. Then the error and
// the counts both say how many.
func (a *API) ImportUsers(ctx context.Context, call web.Call, f ImportFile) (ImportAnswer, error) {
	done := ImportAnswer{Refused: []userfile.Refusal{}}
	if err := a.Spend(ctx, importBytes); err != nil {
		return done, err
	}
	// A fault of the body ends the request's context, but the users before the fault are kept.
	ctx = web.Lasting(ctx)
	now := &importing{body: f.Body}
	defer a.tellImport(ctx, call, f, now)()
	flush := func(users []models.UserChange) error {
		some, err := a.Store.UpsertUsers(ctx, users)
		if err == nil {
			done.Add(some)
			now.taken.Store(int64(done.Sum()))
		} else if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return err
	}
	refuse := func(refused userfile.Refusal) {
		now.refused.Add(1)
		if len(done.Refused) < maxRefusedShown {
			done.Refused = append(done.Refused, refused)
		}
	}
	var err error
	done.Counts, err = userfile.Read(now, f.Format, f.Options, flush, refuse)
	a.recordImport(ctx, call, done, err == nil)
	if err != nil {
		return done, importFault(err, done.Taken(), f.Most)
	}
	return done, nil
}

// recordImport records an import that imported somebody. The users are stored already. So if the
// event cannot be stored, that is logged and the import succeeds.
func (a *API) recordImport(ctx context.Context, call web.Call, done ImportAnswer, whole bool) {
	if done.Sum() == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, web.RecordWithin)
	defer cancel()
	if err := a.Store.UsersImported(ctx, done.UserCounts, done.Counts.Refused, whole); err != nil {
		a.Log.Warn("an event is not in the event log", "kind", models.EventUsersImported, "err", err, "operationID", call.OperationID)
	}
}

// importOptions reads the query.
func importOptions(in *web.In) (o userfile.Options, err error) {
	if o.Map, err = userfile.ParseMap(in.Query("map")); err != nil {
		return o, err
	}
	if o.IgnoreOther, err = in.Switch("ignoreOtherColumns"); err != nil {
		return o, err
	}
	o.Raw, err = in.Switch("raw")
	return o, err
}

func importFormat(r *http.Request) (userfile.Format, error) {
	if err := web.RefuseEncoding(r); err != nil {
		return "", err
	}
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if format := userfile.Format(mediaType); err == nil && (format == userfile.CSV || format == userfile.NDJSON) {
		return format, nil
	}
	const reason = "must be text/csv or application/x-ndjson"
	return "", &web.HTTPError{Status: http.StatusUnsupportedMediaType, Err: &models.Error{Code: models.CodeArgs, Detail: "Content-Type " + reason,
		Fields: []models.FieldError{{Field: "Content-Type", Reason: reason}}}}
}

// importFault says what stopped an import (the ledger or the body), and what is kept.
func importFault(err error, imported int, limit time.Duration) error {
	kept := fmt.Sprintf("; %d users before that are imported", imported)
	if broken := new(userfile.ReadError); !errors.As(err, &broken) {
		if models.IsUnavailable(err) {
			return &models.Error{Code: models.CodeUnavailable, Detail: "the database does not answer" + kept, RetryAfter: web.UnavailableWait, Cause: err}
		}
		return err
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &web.HTTPError{Status: http.StatusRequestTimeout, Err: models.Errorf(models.CodeArgs, "the body came too slowly: nothing for %s, or less than %d bytes a second%s", limit, web.LongRate, kept)}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &web.HTTPError{Status: http.StatusBadRequest, Err: models.Errorf(models.CodeArgs, "the body was cut short%s", kept)}
	}
	return &web.HTTPError{Status: http.StatusBadRequest, Err: &models.Error{Code: models.CodeArgs, Detail: "the body could not be read" + kept, Cause: err}}
}
