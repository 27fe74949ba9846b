package handlers

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// checkQuery refuses a query parameter that a route does not have, or that comes twice: ignored, a
// misspelt filter would answer with everything.
func checkQuery(r *http.Request, known []string) error {
	if r.URL.RawQuery == "" {
		return nil
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return queryError("query", "must be percent-encoded")
	}
	names := make([]string, 0, len(query))
	for name := range query {
		names = append(names, name)
	}
	slices.Sort(names)
	var c checker
	for _, name := range names {
		field := cut(name, maxNameBytes)
		if field == "" {
			field = `""`
		}
		switch {
		case !slices.Contains(known, name):
			c.add(field, "is not a parameter of this route; %s", instead(name, known))
		case len(query[name]) > 1:
			c.add(field, "must be given once")
		}
	}
	return c.err()
}

// instead says what the caller may have meant.
func instead(name string, known []string) string {
	if near := nearest(name, known); near != "" {
		return "did you mean " + near + "?"
	}
	if len(known) == 0 {
		return "it takes none"
	}
	return "it takes " + strings.Join(known, ", ")
}

// maxTypos is how many letters a name may be away from the one that was meant.
const maxTypos = 2

// nearest is the known name that is the fewest letters away; "" when none is near.
func nearest(name string, known []string) (near string) {
	if len(name) > maxNameBytes {
		return ""
	}
	best := maxTypos + 1
	for _, k := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < min(best, len(k)) {
			best, near = d, k
		}
	}
	return near
}

// distance is how many bytes must be put in, taken out or changed to make a of b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := corner
			if a[i] != b[j] {
				change++
			}
			corner = row[j+1]
			row[j+1] = min(change, corner+1, row[j]+1)
		}
	}
	return row[len(b)]
}
