package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"carillon/models"
)

// Handler answers a request or returns an error, which one place renders.
type Handler func(in *In) error

// Envelope is the body of every answer.
type Envelope struct {
	ErrCode models.Code `json:"errCode"`
	ErrMsg  string      `json:"errMsg"`
	ErrDlt  string      `json:"errDlt"`
	Data    any         `json:"data,omitempty"`
}

// refusedFields is the data of an answer that refuses a request for its values.
type refusedFields struct {
	Fields []models.FieldError `json:"fields"`
}

// UnavailableWait is Retry-After while a store is away.
const UnavailableWait = 5 * time.Second

// Success renders data in the envelope of success.
func Success(data any) []byte { return Envelope{Data: data}.Encode() }

// Encode is the body as it is sent.
func (e Envelope) Encode() []byte {
	raw, err := models.JSON(e)
	if err != nil {
		panic("an answer that cannot be encoded: " + err.Error()) // only our own types are encoded: a fault of the program
	}
	return raw
}

// Answer writes a whole answer of JSON.
func Answer(w http.ResponseWriter, status int, body []byte) error {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(body)
	return nil
}

// AnswerData answers with data in the envelope of success.
func AnswerData(w http.ResponseWriter, status int, data any) error {
	return Answer(w, status, Success(data))
}

// v1Status is the HTTP status of each code on /v1.
var v1Status = map[models.Code]int{
	models.CodeArgs:                  http.StatusUnprocessableEntity,
	models.CodeNoPermission:          http.StatusForbidden,
	models.CodeRecordNotFound:        http.StatusNotFound,
	models.CodeTokenExpired:          http.StatusUnauthorized,
	models.CodeTokenInvalid:          http.StatusUnauthorized,
	models.CodeTokenMalformed:        http.StatusUnauthorized,
	models.CodeTokenNotValidYet:      http.StatusUnauthorized,
	models.CodeTokenUnknown:          http.StatusUnauthorized,
	models.CodeTokenKicked:           http.StatusUnauthorized,
	models.CodeTokenNotExist:         http.StatusUnauthorized,
	models.CodeTooManyRequests:       http.StatusTooManyRequests,
	models.CodeIllegalTransition:     http.StatusConflict,
	models.CodeIdempotencyMismatch:   http.StatusUnprocessableEntity,
	models.CodeIdempotencyInProgress: http.StatusConflict,
	models.CodeTooLarge:              http.StatusRequestEntityTooLarge,
	models.CodeUnavailable:           http.StatusServiceUnavailable,
	models.CodeCursorGone:            http.StatusGone,
	models.CodeInternal:              http.StatusInternalServerError,
}

// HTTPError is an error with an HTTP status of its own, where the code alone does not give it.
type HTTPError struct {
	Status int
	Err    *models.Error
}

func (e *HTTPError) Error() string { return e.Err.Error() }
func (e *HTTPError) Unwrap() error { return e.Err }

// StatusOf is an error's HTTP status. On /v1 the code gives it. On /auth and /msg it is OpenIM's:
//
//   - 200 for the errors that OpenIM answers with 200;
//   - 400 for a body that cannot be bound;
//   - the true status for errors that OpenIM never answers.
func StatusOf(err error, e *models.Error, original bool) int {
	var own *HTTPError
	switch {
	case errors.As(err, &own):
		return own.Status
	case isBindError(err):
		return http.StatusBadRequest
	}
	status := v1Status[e.Code]
	if !original {
		if e.Code == models.CodeRecordNotFound && len(e.Fields) > 0 {
			return http.StatusUnprocessableEntity // a field names something that does not exist; the route exists
		}
		return status
	}
	switch e.Code { //nolint:exhaustive // the others are OpenIM's and are answered with 200
	case models.CodeTooManyRequests, models.CodeIdempotencyMismatch, models.CodeIdempotencyInProgress, models.CodeTooLarge, models.CodeUnavailable:
		return status
	}
	return http.StatusOK
}

// asAnswer is an error as the caller gets it. A database that is away or hangs is not an internal
// error.
func asAnswer(ctx context.Context, err error) *models.Error {
	e := models.AsError(err)
	if e.Code == models.CodeInternal && (models.IsUnavailable(err) || errors.Is(context.Cause(ctx), errImpatient)) {
		return &models.Error{Code: models.CodeUnavailable, Detail: "the database does not answer", RetryAfter: UnavailableWait, Cause: err}
	}
	return e
}

// fail is the one place that renders errors. It returns how the log is to tell of the request.
func (g *Gate) fail(in *In, err error, original bool) *ending {
	w, r := in.W, in.R
	e := asAnswer(r.Context(), err)
	end := &ending{level: slog.LevelInfo, words: "a request was refused", errCode: e.Code}
	switch {
	case r.Context().Err() != nil && e.Code == models.CodeInternal:
		end.level, end.words = slog.LevelDebug, "the caller went away"
	case e.Code == models.CodeInternal:
		end.level, end.words, end.err = slog.LevelError, "a request failed", err
	case e.Cause != nil:
		end.level, end.words, end.err = slog.LevelWarn, "a request could not be served", e.Cause
	}
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(max(1, e.RetryAfter.Round(time.Second)/time.Second))))
	}
	if in.errorPage != nil {
		in.errorPage(in, StatusOf(err, e, original), e)
		return end
	}
	body := Envelope{ErrCode: e.Code, ErrMsg: e.Code.String(), ErrDlt: e.Error()}

	// The contract of OpenIM's routes shows the whole body of this error.
	fixed := original && e.Code == models.CodeRecordNotFound
	if len(e.Fields) > 0 && !fixed { // guard: contract
		body.Data = refusedFields{e.Fields}
	}
	_ = Answer(w, StatusOf(err, e, original), body.Encode())
	return end
}

// RefuseEncoding refuses a body that is compressed: 415.
func RefuseEncoding(r *http.Request) error {
	if enc := r.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return &HTTPError{http.StatusUnsupportedMediaType, &models.Error{Code: models.CodeArgs, Detail: "Content-Encoding is not supported; send the body as it is",
			Fields: []models.FieldError{{Field: "Content-Encoding", Reason: "is not supported; send the body as it is"}}}}
	}
	return nil
}

// PageHeaders sets the headers of an HTML page. No other site may frame the page. policy says what
// it may load.
func PageHeaders(h http.Header, policy string) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
}
