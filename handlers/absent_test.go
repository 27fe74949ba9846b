package handlers

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"carillon/internal/testkit"
	"carillon/models"
)

// TestAbsentKeepsAndEmptyClears: in every write of the directory. Before, a column that was left
// out wiped what stood there, the time zone included.
func TestAbsentKeepsAndEmptyClears(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		full := models.User{UserID: "bob", Nickname: "Bob", FaceURL: "f", Timezone: "Europe/Berlin", Ex: "e"}
		renamed, homeless := full, full
		renamed.Nickname, homeless.Timezone = "B", ""
		post := func(body string) (n models.UserCounts) {
			status, got := s.do("POST", "/v1/users", `{"users":[`+body+`]}`)
			if status != http.StatusOK {
				t.Fatalf("%d %s", status, got.Raw)
			}
			got.into(t, &n)
			return n
		}
		csv := func(file string) models.UserCounts { return s.importFile(csvType, file).UserCounts }
		ndjson := func(file string) models.UserCounts { return s.importFile(ndjsonType, file).UserCounts }
		changed, unchanged := models.UserCounts{Changed: 1}, models.UserCounts{Unchanged: 1}
		for _, in := range []struct {
			name string
			do   func() models.UserCounts
			want models.User
			n    models.UserCounts
		}{
			{"POST, the ID alone", func() models.UserCounts { return post(`{"userID":"bob"}`) }, full, unchanged},
			{"POST, nulls", func() models.UserCounts { return post(`{"userID":"bob","nickname":null,"timezone":null}`) }, full, unchanged},
			{"POST, one field", func() models.UserCounts { return post(`{"userID":"bob","nickname":"B"}`) }, renamed, changed},
			{"POST, one empty", func() models.UserCounts { return post(`{"userID":"bob","timezone":""}`) }, homeless, changed},
			{"POST, the same", func() models.UserCounts { return post(`{"userID":"bob","timezone":"Europe/Berlin"}`) }, full, unchanged},
			{"POST, twice", func() models.UserCounts {
				return post(`{"userID":"bob","nickname":"x"},{"userID":"bob","nickname":"B"},{"userID":"bob"}`)
			}, renamed, models.UserCounts{Changed: 1, Repeated: 2}},
			{"POST, there and back", func() models.UserCounts { return post(`{"userID":"bob","ex":""},{"userID":"bob","ex":"e"}`) }, full, models.UserCounts{Unchanged: 1, Repeated: 1}},
			{"CSV, the ID alone", func() models.UserCounts { return csv("userID\nbob\n") }, full, unchanged},
			{"CSV, one column", func() models.UserCounts { return csv("userID,nickname\nbob,B\n") }, renamed, changed},
			{"CSV, an empty cell", func() models.UserCounts { return csv("timezone,userID\n,bob\n") }, homeless, changed},
			{"CSV, a quoted empty cell", func() models.UserCounts { return csv("timezone,userID\n\"\",bob\n") }, homeless, changed},
			{"NDJSON, the ID alone", func() models.UserCounts { return ndjson(`{"userID":"bob"}`) }, full, unchanged},
			{"NDJSON, one key", func() models.UserCounts { return ndjson(`{"userID":"bob","nickname":"B"}`) }, renamed, changed},
			{"NDJSON, an empty key", func() models.UserCounts { return ndjson(`{"userID":"bob","timezone":""}`) }, homeless, changed},
			{"NDJSON, a null", func() models.UserCounts { return ndjson(`{"userID":"bob","timezone":null}`) }, full, unchanged},
		} {
			s.putUsers(full)
			n := in.do()
			u, err := s.Store.User(t.Context(), "bob")
			u.AddedRev, u.AddedAt = 0, 0
			if err != nil || u != in.want || n != in.n {
				t.Errorf("%s: %+v, %+v, %v", in.name, u, n, err)
			}
		}
		// a repeat in another batch of the same file is a repeat, too
		var file strings.Builder
		file.WriteString("userID,nickname\nbob,1\n")
		for i := range 1500 {
			fmt.Fprintf(&file, "u%d,\n", i)
		}
		file.WriteString("bob,2\nu3,\n")
		n := csv(file.String())
		if u, err := s.Store.User(t.Context(), "bob"); err != nil || n != (models.UserCounts{Created: 1500, Changed: 1, Repeated: 2}) || u.Nickname != "2" || u.Timezone != "Europe/Berlin" {
			t.Errorf("%+v, %+v, %v", n, u, err)
		}
		if live := s.live(); live != 1501 {
			t.Errorf("%d users", live)
		}
		// the name of a group
		s.putGroup("g", "Choir", "bob")
		for body, want := range map[string]string{`{"memberIDs":["bob"]}`: "Choir", `{"name":null,"memberIDs":[]}`: "Choir", `{"name":"","memberIDs":[]}`: ""} {
			s.putGroup("g", "Choir", "bob")
			var g groupView
			if status, got := s.do("PUT", "/v1/groups/g", body); status != http.StatusOK {
				t.Errorf("%s: %d %s", body, status, got.Raw)
			} else if got.into(t, &g); g.Name != want {
				t.Errorf("%s: %s", body, got.Raw)
			}
		}
		if status, got := s.do("PUT", "/v1/groups/new", `{"memberIDs":[]}`); status != http.StatusOK {
			t.Errorf("%d %s", status, got.Raw)
		}
	})
}
