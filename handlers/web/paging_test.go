package web

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"carillon/models"
)

func TestParsePage(t *testing.T) {
	t.Parallel()
	const badLimit, cursorText = "limit must be from 1 to 1000", "cursor must be a nextCursor of this list"
	for _, tt := range []struct {
		query, cursor string
		limit         int
		refused       string
	}{
		{"", "", 100, ""},
		{"cursor=&limit=", "", 100, ""},
		{"limit=1&other=x&cursor=" + EncodeCursor("b/?é "), "b/?é ", 1, ""},
		{"limit=1000", "", 1000, ""},
		{"limit=0", "", 0, badLimit},
		{"limit=1001", "", 0, badLimit},
		{"limit=-1", "", 0, badLimit},
		{"limit=ten", "", 0, badLimit},
		{"limit=99999999999999999999", "", 0, badLimit},
		{"cursor=!", "", 0, cursorText},
		{"cursor=YQ==", "", 0, cursorText}, // padded: not as it was given
		{"cursor=YR", "", 0, cursorText},   // another spelling of YQ
		{"cursor=_w", "", 0, cursorText},   // not UTF-8
		{"cursor=!&limit=0", "", 0, badLimit + "; " + cursorText},
	} {
		cursor, limit, err := ParsePage(httptest.NewRequest(http.MethodGet, "/v1/users?"+tt.query, nil))
		text := ""
		if err != nil {
			text = models.AsError(err).Detail
		}
		if text != tt.refused || err == nil && (cursor != tt.cursor || limit != tt.limit) {
			t.Errorf("%s: %q, %d, %v", tt.query, cursor, limit, err)
		}
	}
}

func TestCutPageEndsExactly(t *testing.T) {
	t.Parallel()
	key := func(s string) string { return s }
	for n, want := range map[int]string{0: "", 1: "", 2: "", 3: EncodeCursor("b")} {
		page, next := CutPage([]string{"a", "b", "c"}[:n], 2, key)
		if next != want || !slices.Equal(page, []string{"a", "b", "c"}[:min(n, 2)]) {
			t.Errorf("%d rows: %v, %q", n, page, next)
		}
	}
	if page, _ := CutPage(nil, 2, key); page == nil {
		t.Error("an empty page would be null in JSON")
	}
}
