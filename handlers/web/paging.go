package web

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"carillon/models"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
	badCursor    = "must be a nextCursor of this list"
)

// ParsePage reads the query of a list:
//
//   - cursor: the caller's nextCursor, decoded; "" for the first page;
//   - limit: 1 to 1,000, by default 100.
//
// Errors: 1001, naming the parameter. Only the form of the cursor is checked; the handler checks
// what it stands for.
func ParsePage(r *http.Request) (cursor string, limit int, err error) {
	query := r.URL.Query() // CheckQuery has checked its form
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

// EncodeCursor makes the nextCursor that ParsePage decodes to s. "" stays "": there is no next
// page.
func EncodeCursor(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// CutPage takes rows that a store was asked for with limit+1. It returns the page without the extra
// row, and the nextCursor if there was an extra row. The page is never null in JSON.
func CutPage[T any](rows []T, limit int, key func(T) string) (page []T, next string) {
	if len(rows) > limit {
		rows = rows[:limit]
		next = EncodeCursor(key(rows[limit-1]))
	}
	if rows == nil {
		rows = []T{}
	}
	return rows, next
}

// ParseIDPage is ParsePage for lists in the order of IDs. Their cursor is the last ID.
func ParseIDPage(r *http.Request) (after string, limit int, err error) {
	after, limit, err = ParsePage(r)
	if err == nil && after != "" && models.CheckID(after) != "" {
		err = Refuse("cursor", badCursor)
	}
	return after, limit, err
}

// ParseBeforePage is ParsePage for lists from newest to oldest. Their cursor is the internal number
// of the last entry. before is 0 for the first page.
func ParseBeforePage(r *http.Request) (before int64, limit int, err error) {
	cursor, limit, err := ParsePage(r)
	if err != nil || cursor == "" {
		return 0, limit, err
	}
	before, err = strconv.ParseInt(cursor, 10, 64)
	if err != nil || before < 1 {
		return 0, limit, Refuse("cursor", badCursor)
	}
	return before, limit, nil
}

// BeforeCursor is the text behind the nextCursor of such a list, for CutPage.
func BeforeCursor(id int64) string { return strconv.FormatInt(id, 10) }

// ParsePlacePage is ParsePage for a campaign's recipients. Their cursor is a place: page.position.
func ParsePlacePage(r *http.Request) (from models.RecipientCursor, limit int, err error) {
	cursor, limit, err := ParsePage(r)
	if err != nil || cursor == "" {
		return from, limit, err
	}
	page, pos, _ := strings.Cut(cursor, ".")
	no, pageErr := strconv.ParseUint(page, 10, 31)
	at, posErr := strconv.ParseUint(pos, 10, 31)
	if pageErr != nil || posErr != nil {
		return from, limit, Refuse("cursor", badCursor)
	}
	return models.RecipientCursor{Page: int(no), Pos: int(at)}, limit, nil
}

// PlaceCursor is the nextCursor of such a list; "" when there is no next place.
func PlaceCursor(next *models.RecipientCursor) string {
	if next == nil {
		return ""
	}
	return EncodeCursor(fmt.Sprintf("%d.%d", next.Page, next.Pos))
}

// Refuse refuses one parameter of the query, or one header: 1001.
func Refuse(field, reason string) error {
	return models.Invalid([]models.FieldError{{Field: field, Reason: reason}})
}
