package models

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Code is a stable error number that clients may switch on. The numbers below 3000 are the original
// server's; those from 3001 on are ours.
type Code int

const (
	CodeInternal              Code = 500
	CodeArgs                  Code = 1001
	CodeNoPermission          Code = 1002
	CodeRecordNotFound        Code = 1004
	CodeTokenExpired          Code = 1501
	CodeTokenInvalid          Code = 1502
	CodeTokenMalformed        Code = 1503
	CodeTokenNotValidYet      Code = 1504
	CodeTokenUnknown          Code = 1505 // bad signature
	CodeTokenKicked           Code = 1506 // OpenIM has ended it
	CodeTokenNotExist         Code = 1507
	CodeTooManyRequests       Code = 429
	CodeIllegalTransition     Code = 3001
	CodeIdempotencyMismatch   Code = 3002
	CodeIdempotencyInProgress Code = 3003
	CodeTooLarge              Code = 3004
	CodeUnavailable           Code = 3005
	CodeCursorGone            Code = 3006 // the place in a list that the caller names is not there any more

	// Codes of recipients, not of answers: what a channel's provider did.
	CodeCallback Code = 80000 // the provider refused or gave no usable answer about the recipient
	CodeNetwork  Code = 90004 // the provider could not be reached, or its answer never came
)

var codeNames = map[Code]string{
	CodeInternal:              "ServerInternalError",
	CodeArgs:                  "ArgsError",
	CodeNoPermission:          "NoPermissionError",
	CodeRecordNotFound:        "RecordNotFoundError",
	CodeTokenExpired:          "TokenExpiredError",
	CodeTokenInvalid:          "TokenInvalidError",
	CodeTokenMalformed:        "TokenMalformedError",
	CodeTokenNotValidYet:      "TokenNotValidYetError",
	CodeTokenUnknown:          "TokenUnknownError",
	CodeTokenKicked:           "TokenKickedError",
	CodeTokenNotExist:         "TokenNotExistError",
	CodeTooManyRequests:       "TooManyRequestsError",
	CodeIllegalTransition:     "IllegalTransition",
	CodeIdempotencyMismatch:   "IdempotencyMismatch",
	CodeIdempotencyInProgress: "IdempotencyInProgress",
	CodeTooLarge:              "TooLarge",
	CodeUnavailable:           "Unavailable",
	CodeCursorGone:            "CursorGone",
	CodeCallback:              "CallbackError",
	CodeNetwork:               "NetworkError",
}

// String is the code's name as clients see it in errMsg.
func (c Code) String() string {
	if n, ok := codeNames[c]; ok {
		return n
	}
	return fmt.Sprintf("Error%d", int(c))
}

// FieldError names one field of a request, in the dotted form "message.content.text", and why it was refused.
type FieldError struct {
	Field  string `json:"field"`
	Reason string `json:"reason"`
}

// Error is the one error type that reaches a client. Detail is shown to the caller: it must hold no secret,
// no internals and no personal data.
type Error struct {
	Code       Code
	Detail     string
	Fields     []FieldError
	RetryAfter time.Duration // > 0 where the caller may try again
	Cause      error         // for the log only
}

// Error renders the text that stands in errDlt: "<detail>: [<code>]<name>".
func (e *Error) Error() string {
	return fmt.Sprintf("%s: [%d]%s", e.Words(), int(e.Code), e.Code)
}

// Words say what is wrong; they are never empty.
func (e *Error) Words() string {
	switch {
	case e.Detail != "":
		return e.Detail
	case len(e.Fields) > 0:
		return inWords(e.Fields)
	}
	return "refused"
}

func (e *Error) Unwrap() error { return e.Cause }

// Errorf makes an Error with a formatted detail.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// NotFound is the answer to a record that does not exist: 1004, and which kind of record is meant.
func NotFound(what string) *Error {
	return &Error{Code: CodeRecordNotFound, Detail: "there is no such " + what}
}

// Invalid is the answer to a request whose fields were refused: 1001, each field with its reason.
// It returns nil when there are none, so that a list of findings can be returned as it is.
func Invalid(fields []FieldError) error {
	if len(fields) == 0 {
		return nil
	}
	return &Error{Code: CodeArgs, Detail: inWords(fields), Fields: fields}
}

func inWords(fields []FieldError) string {
	texts := make([]string, 0, len(fields))
	for _, f := range fields {
		texts = append(texts, f.Field+" "+f.Reason)
	}
	return strings.Join(texts, "; ")
}

// AsError finds the Error in err's chain, or wraps err as an internal one whose text stays in the log.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: CodeInternal, Detail: "an internal error; the server's log has it under this operationID", Cause: err}
}
