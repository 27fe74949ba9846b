package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"carillon/models"
)

func TestQueryParameters(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"":                           "",
		"status=failed":              "",
		"status=&cursor=&limit=":     "",
		"st%61tus=failed":            "",
		"statsu=failed":              "statsu is not a parameter of this route; did you mean status?",
		"Status=failed":              "Status is not a parameter of this route; did you mean status?",
		"status%20=failed":           "status  is not a parameter of this route; did you mean status?",
		"states=failed":              "states is not a parameter of this route; did you mean status?",
		"curser=x":                   "curser is not a parameter of this route; did you mean cursor?",
		"limits=1":                   "limits is not a parameter of this route; did you mean limit?",
		"offset=5":                   "offset is not a parameter of this route; it takes status, cursor, limit",
		"=5":                         `"" is not a parameter of this route; it takes status, cursor, limit`,
		"status=failed&status=sent":  "status must be given once",
		"page=2&statsu=failed":       "page is not a parameter of this route; it takes status, cursor, limit; statsu is not a parameter of this route; did you mean status?",
		"limit=%zz":                  "query must be percent-encoded",
		"status=failed;limit=1":      "query must be percent-encoded",
		strings.Repeat("x", 100):     strings.Repeat("x", 64) + "… is not a parameter of this route; it takes status, cursor, limit",
		"a%0Ab=1":                    "a\ufffdb is not a parameter of this route; it takes status, cursor, limit",
		"status=x&status%00=y&limit": "status\ufffd is not a parameter of this route; did you mean status?",
	} {
		err := CheckQuery(httptest.NewRequest(http.MethodGet, "/v1/campaigns?"+query, nil), []string{"status", "cursor", "limit"})
		text := ""
		if err != nil {
			text = models.AsError(err).Detail
		}
		if text != want {
			t.Errorf("%s: %q, want %q", query, text, want)
		}
	}
	if got := instead("x", nil); got != "it takes none" {
		t.Error(got)
	}
}
