package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"carillon/internal/near"
	"carillon/models"
)

// CheckQuery refuses a query parameter that the route does not have, or that comes twice. If a
// misspelt filter were ignored, the answer would be everything.
func CheckQuery(r *http.Request, known []string) error {
	if r.URL.RawQuery == "" {
		return nil
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return Refuse("query", "must be percent-encoded")
	}
	names := make([]string, 0, len(query))
	for name := range query {
		names = append(names, name)
	}
	slices.Sort(names)
	var found []models.FieldError
	add := func(field, reason string) {
		if len(found) < models.MaxFindings {
			found = append(found, models.FieldError{Field: field, Reason: reason})
		}
	}
	for _, name := range names {
		field := cutText(name, maxNameBytes)
		if field == "" {
			field = `""`
		}
		switch {
		case !slices.Contains(known, name):
			add(field, "is not a parameter of this route; "+instead(name, known))
		case len(query[name]) > 1:
			add(field, "must be given once")
		}
	}
	return models.Invalid(found)
}

// instead says what the caller may have meant.
func instead(name string, known []string) string {
	if len(name) <= maxNameBytes {
		if meant := near.Name(name, known, maxTypos); meant != "" {
			return "did you mean " + meant + "?"
		}
	}
	if len(known) == 0 {
		return "it takes none"
	}
	return "it takes " + strings.Join(known, ", ")
}

// maxTypos is how many letters a name may differ from the name that was meant.
const maxTypos = 2
