package handlers

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"unicode/utf8"

	"carillon/models"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
	badCursor    = "must be a nextCursor of this list"
)

// parsePage reads the query of a list: cursor as the caller was given it in nextCursor, decoded, "" for the
// first page; and limit, 1 to 1,000, by default 100. Errors: 1001 naming the
// parameter. A cursor only looks right so far; what it stands for is the handler's to judge.
func parsePage(r *http.Request) (cursor string, limit int, err error) {
	query := r.URL.Query() // checkQuery has found it well formed
	var fields []models.FieldError
	limit = defaultLimit
	if given := query.Get("limit"); given != "" {
		if limit, err = strconv.Atoi(given); err != nil || limit < 1 || limit > maxLimit {
			fields = append(fields, models.FieldError{Field: "limit", Reason: fmt.Sprintf("must be from 1 to %d", maxLimit)})
		}
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(query.Get("cursor"))
	if err != nil || !utf8.Valid(raw) {
		fields = append(fields, models.FieldError{Field: "cursor", Reason: badCursor})
	}
	return string(raw), limit, models.Invalid(fields)
}

// encodeCursor makes the nextCursor that parsePage gives back as s. "" stays "": there is no next page.
func encodeCursor(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// cutPage takes what a store was asked for with limit+1: it gives the page without the row too many, and the
// nextCursor when there was one. The page is never null in JSON.
func cutPage[T any](rows []T, limit int, key func(T) string) (page []T, next string) {
	if len(rows) > limit {
		rows = rows[:limit]
		next = encodeCursor(key(rows[limit-1]))
	}
	if rows == nil {
		rows = []T{}
	}
	return rows, next
}

// parseIDPage is parsePage for lists in the order of IDs, whose cursor is the last ID.
func parseIDPage(r *http.Request) (after string, limit int, err error) {
	after, limit, err = parsePage(r)
	if err == nil && after != "" && models.CheckID(after) != "" {
		err = queryError("cursor", badCursor)
	}
	return after, limit, err
}

// parseBeforePage is parsePage for lists that go from the newest back, whose cursor is the last entry's internal number.
// before is 0 for the first page.
func parseBeforePage(r *http.Request) (before int64, limit int, err error) {
	cursor, limit, err := parsePage(r)
	if err != nil || cursor == "" {
		return 0, limit, err
	}
	before, err = strconv.ParseInt(cursor, 10, 64)
	if err != nil || before < 1 {
		return 0, limit, queryError("cursor", badCursor)
	}
	return before, limit, nil
}

// beforeCursor is the text behind the nextCursor of such a list.
func beforeCursor(id int64) string { return strconv.FormatInt(id, 10) }

// queryError refuses one parameter of the query, or one header: 1001.
func queryError(field, reason string) error {
	return models.Invalid([]models.FieldError{{Field: field, Reason: reason}})
}
