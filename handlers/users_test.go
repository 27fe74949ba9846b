package handlers

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode"

	"carillon/handlers/web"
	"carillon/internal/testkit"
	"carillon/models"
)

func userPath(id string) string { return "/v1/users/" + url.PathEscape(id) }

// putUsers posts users, each with all of their texts, and reads what that did.
func (s *server) putUsers(users ...models.User) (n models.UserCounts) {
	s.t.Helper()
	status, got := s.do("POST", "/v1/users", map[string]any{"users": users})
	if status != http.StatusOK {
		s.t.Fatalf("%d %.300s", status, got.Raw)
	}
	got.into(s.t, &n)
	return n
}

// walk reads a whole list page by page.
func walk[T any](s *server, path, field string, limit int) (all []T) {
	s.t.Helper()
	cursor := ""
	for {
		status, got := s.do("GET", fmt.Sprintf("%s?limit=%d&cursor=%s", path, limit, cursor), nil)
		if status != http.StatusOK {
			s.t.Fatalf("%s: %d %s", path, status, got.Raw)
		}
		var data map[string]json.RawMessage
		got.into(s.t, &data)
		var page []T
		if err := errors.Join(json.Unmarshal(data[field], &page), json.Unmarshal(data["nextCursor"], &cursor)); err != nil {
			s.t.Fatalf("%s: %v in %s", path, err, got.Raw)
		}
		if len(page) > limit || len(page) < limit && cursor != "" || len(page) == 0 && len(all) > 0 {
			s.t.Fatalf("%s: a page of %d with nextCursor %q", path, len(page), cursor)
		}
		all = append(all, page...)
		if cursor == "" {
			return all
		}
	}
}

func TestUsersAreFourByTheirBytes(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		ids := []string{"Bob", "bob", "bob b", "bób"} // in the order of their bytes
		var users []models.User
		for i, id := range ids {
			users = append(users, models.User{UserID: id, Nickname: fmt.Sprint(i), FaceURL: "https://faces/" + fmt.Sprint(i), Timezone: "Europe/Berlin", Ex: "e\n"})
		}
		if n := s.putUsers(users...); n != (models.UserCounts{Created: 4}) {
			t.Errorf("%+v", n)
		}
		users[1].Nickname = "again"
		if n := s.putUsers(models.User{UserID: "bob"}, models.User{UserID: "new"}, users[1], users[2]); n != (models.UserCounts{Created: 1, Changed: 1, Unchanged: 1, Repeated: 1}) {
			t.Errorf("again: %+v", n) // of a repeated ID the last counts
		}
		for i, id := range ids {
			var got models.User
			status, reply := s.do("GET", userPath(id), nil)
			if reply.into(t, &got); status != http.StatusOK || got != users[i] {
				t.Errorf("%q: %d %s", id, status, reply.Raw)
			}
		}
		if status, got := s.do("DELETE", userPath("bob"), nil); status != http.StatusOK || string(got.Data) != "{}" {
			t.Errorf("delete: %d %s", status, got.Raw)
		}
		for _, method := range []string{"GET", "DELETE"} {
			if status, got := s.do(method, userPath("bob"), nil); status != http.StatusNotFound || got.ErrCode != 1004 {
				t.Errorf("%s of a user that is gone: %d %s", method, status, got.Raw)
			}
		}
		var left []string
		for _, u := range walk[models.User](s, "/v1/users", "users", 10) {
			left = append(left, u.UserID)
		}
		if want := []string{"Bob", "bob b", "bób", "new"}; !slices.Equal(left, want) {
			t.Errorf("left are %q, want %q", left, want)
		}
	})
}

func TestAnyIDInAPath(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		for _, id := range []string{"/", "a/b", "..", ".", "%", "%2F", "../../healthz", "import", "?a=b", "#", "+", "a b", "🙂", strings.Repeat("x", 64)} {
			if n := s.putUsers(models.User{UserID: id}); n.Created != 1 {
				t.Errorf("%q stood in the directory before", id)
			}
			var got models.User
			status, reply := s.do("GET", userPath(id), nil)
			if reply.into(t, &got); status != http.StatusOK || got.UserID != id {
				t.Errorf("GET %q: %d %s", id, status, reply.Raw)
			}
			if status, reply := s.do("DELETE", userPath(id), nil); status != http.StatusOK {
				t.Errorf("DELETE %q: %d %s", id, status, reply.Raw)
			}
		}
		for _, path := range []string{"/v1/users/%00", "/v1/users/%FF", userPath(strings.Repeat("x", 65))} {
			if status, got := s.do("GET", path, nil); status != http.StatusUnprocessableEntity || got.fields(t)["id"] == "" {
				t.Errorf("%s: %d %s", path, status, got.Raw)
			}
		}
	})
}

func TestUsersPaging(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		if status, got := s.do("GET", "/v1/users", nil); status != http.StatusOK || string(got.Data) != `{"nextCursor":"","users":[]}` {
			t.Errorf("no users: %d %s", status, got.Raw)
		}
		var ids []string
		for i := range 150 {
			ids = append(ids, fmt.Sprintf("u/%03d", i))
		}
		s.users(ids...)
		for _, limit := range []int{1, 7, 75, 149, 150, 151, 1000} {
			var got []string
			for _, u := range walk[models.User](s, "/v1/users", "users", limit) {
				got = append(got, u.UserID)
			}
			if !slices.Equal(got, ids) {
				t.Errorf("limit %d: %d users %.40q…", limit, len(got), got)
			}
		}
		var page struct{ Users []models.User }
		_, got := s.do("GET", "/v1/users", nil)
		if got.into(t, &page); len(page.Users) != 100 {
			t.Errorf("%d users without a limit", len(page.Users))
		}
		for query, field := range map[string]string{"limit=0": "limit", "limit=1001": "limit", "limit=x": "limit", "cursor=!": "cursor", "cursor=" + web.EncodeCursor("a\n"): "cursor"} {
			if status, got := s.do("GET", "/v1/users?"+query, nil); status != http.StatusUnprocessableEntity || got.ErrCode != 1001 || got.fields(t)[field] == "" {
				t.Errorf("%s: %d %s", query, status, got.Raw)
			}
		}
	})
}

func TestPutUsersNamesWhatItRefuses(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		for _, tt := range []struct {
			body   string
			status int
			fields []string
		}{
			{`{"users":[{"userID":"a"},{"userID":"b"},{"userID":"c"},{"userID":"","timezone":"Mars"}]}`, 422, []string{"users.3.timezone", "users.3.userID"}},
			{`{"users":[{"userID":"a","nickname":"` + strings.Repeat("ó", 256) + `","faceURL":"a\tb"},{"userID":"b","ex":"` + strings.Repeat("e", 8193) + `"}]}`,
				422, []string{"users.0.faceURL", "users.0.nickname", "users.1.ex"}},
			{`{"users":[{"userID":"a","age":3}]}`, 422, []string{"users.0.age"}},
			{`{"users":[{"userID":"a","AddedRev":3}]}`, 422, []string{"users.0.AddedRev"}},
			{`{"users":[{"userID":5}]}`, 422, []string{"users.0.userID"}},
			{`{"users":[{"userID":"a"}],"upsert":true}`, 422, []string{"upsert"}},
			{`{"users":[` + strings.Repeat(`{"userID":""},`, 999) + `{"userID":""}]}`, 422, // the first ten
				[]string{"users.0.userID", "users.1.userID", "users.2.userID", "users.3.userID", "users.4.userID", "users.5.userID", "users.6.userID", "users.7.userID", "users.8.userID", "users.9.userID"}},
			{`{"users":[` + strings.Repeat(`{"userID":"a"},`, 1000) + `{"userID":"a"}]}`, 413, []string{"users"}},
			{`{}`, 422, []string{"users"}},
			{`{"users":null}`, 422, []string{"users"}},
			{`{"users":[`, 400, []string{"body"}},
			{``, 400, []string{"body"}},
		} {
			status, got := s.do("POST", "/v1/users", tt.body)
			var fields []string
			for name := range got.fields(t) {
				fields = append(fields, name)
			}
			slices.Sort(fields)
			if status != tt.status || !slices.Equal(fields, tt.fields) {
				t.Errorf("%.60s: %d %.300s", tt.body, status, got.Raw)
			}
		}
		if dir, err := s.Store.Directory(t.Context()); err != nil || dir.Live != 0 {
			t.Errorf("refused requests left %+v, %v", dir, err)
		}
		if n := s.putUsers([]models.User{}...); n.Sum() != 0 {
			t.Errorf("no users: %+v", n)
		}
	})
}

// The longest texts, each byte of which is two in SQL, must fit the database's packets.
func TestThousandUsersOfTheLongestTexts(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		users := make([]models.User, 1000)
		for i := range users {
			users[i] = models.User{UserID: fmt.Sprintf("'%063d", i), Nickname: strings.Repeat("'", 255), FaceURL: strings.Repeat("'", 1024), Ex: strings.Repeat("'", 8192)}
		}
		if n := s.putUsers(users...); n.Created != 1000 {
			t.Errorf("%+v", n)
		}
		if got, err := s.Store.User(t.Context(), users[999].UserID); err != nil || got.Ex != users[999].Ex {
			t.Errorf("%.40v, %v", got, err)
		}
	})
}

func TestDirectoryIsForAdmins(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("bob")
		for _, route := range []string{
			"POST /v1/users", "GET /v1/users", "POST /v1/users/import", "GET /v1/users/bob", "DELETE /v1/users/bob",
			"GET /v1/groups", "PUT /v1/groups/g", "GET /v1/groups/g", "DELETE /v1/groups/g", "GET /v1/groups/g/members",
		} {
			method, path, _ := strings.Cut(route, " ")
			if status, got := s.do(method, path, nil, "token", ""); status != http.StatusUnauthorized || got.ErrCode != 1507 {
				t.Errorf("%s without a token: %d %s", route, status, got.Raw)
			}
			if status, got := s.do(method, path, nil, "token", s.token("bob")); status != http.StatusForbidden || got.ErrCode != 1002 {
				t.Errorf("%s as a user: %d %s", route, status, got.Raw)
			}
		}
		if status, got := s.do("GET", "/v1/users/bob", nil); status != http.StatusOK {
			t.Errorf("bob is gone: %d %s", status, got.Raw)
		}
	})
}

// What a nickname begins with is taken character for character. Users with the same nickname follow each other by ID.
func TestUsersByNickname(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		last := string(unicode.MaxRune)
		names := map[string]string{
			"1": "Ann", "2": "Ann", "3": "Anna", "4": "Ann", "5": "ann", "6": "Ánn", "7": "", "8": "An%n", "9": "An_", "10": "Ann 😀", "11": "😀", "12": "Ann" + last,
			"13": "An" + strings.Repeat(last, 253), "14": "a'b", "15": "Ann", "16": "Ann",
		}
		users := make([]models.UserChange, 0, len(names))
		for id, name := range names {
			users = append(users, models.UserChange{UserID: id, Nickname: &name})
		}
		if _, err := s.Store.UpsertUsers(t.Context(), users); err != nil {
			t.Fatal(err)
		}
		for _, prefix := range []string{"A", "An", "Ann", "Anna", "ann", "An%", "An_", "a'", "😀", "Ann 😀", last, "nobody"} {
			want := []string{}
			for id, name := range names {
				if strings.HasPrefix(name, prefix) {
					want = append(want, id)
				}
			}
			slices.SortFunc(want, func(a, b string) int { return cmp.Or(strings.Compare(names[a], names[b]), strings.Compare(a, b)) })
			for _, limit := range []string{"1", "2", "100"} {
				for cursor, got := "", []string{}; ; {
					_, answer := s.do(http.MethodGet, "/v1/users?limit="+limit+"&nickname="+url.QueryEscape(prefix)+"&cursor="+cursor, nil)
					var page struct {
						Users      []models.User
						NextCursor string
					}
					answer.into(t, &page)
					for _, u := range page.Users {
						got = append(got, u.UserID)
					}
					if cursor = page.NextCursor; cursor == "" {
						if !slices.Equal(got, want) {
							t.Errorf("%q by %s: %q, want %q", prefix, limit, got, want)
						}
						break
					}
				}
			}
		}
		for query, field := range map[string]string{
			"nickname=%00": "nickname", "nickname=%FF": "nickname", "nickname=" + strings.Repeat("x", 256): "nickname", "nickname=a&search=b": "nickname",
			"nickname=a&cursor=!": "cursor", "nickname=a&cursor=" + web.EncodeCursor("a"): "cursor", "nickname=a&limit=0": "limit",
		} {
			if status, got := s.do(http.MethodGet, "/v1/users?"+query, nil); status != http.StatusUnprocessableEntity || got.fields(t)[field] == "" {
				t.Errorf("%s: %d %s", query, status, got.Raw)
			}
		}
	})
}
