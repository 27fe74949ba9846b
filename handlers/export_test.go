package handlers

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"carillon/internal/testkit"
	"carillon/internal/userfile"
	"carillon/models"
)

// saved is an export as a spreadsheet saves it again: everything quoted, semicolons, CRLF and a byte order mark.
func saved(rows [][]string) string {
	var file strings.Builder
	file.WriteString(userfile.ByteOrderMark)
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				file.WriteByte(';')
			}
			file.WriteString(`"` + strings.ReplaceAll(cell, `"`, `""`) + `"`)
		}
		file.WriteString("\r\n")
	}
	return file.String()
}

// TestExportEditedInASpreadsheet: of an export in which one column was edited, an import changes nothing else.
func TestExportEditedInASpreadsheet(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		var created models.Created
		s.Enqueue = func(ctx context.Context, c models.Created) error { created = c; return planned(ctx, s.Store, c) }
		ids := []string{"=x", "'=x", "''=x", "+49170", "-5", "-x", "@x", "'x", `a"b`, "a,b", "a;b", "007", "a b", "🙂", "用户", `"`, "'", "＝x", "userID"}
		before := map[string]models.User{}
		for i, id := range ids {
			u := models.User{UserID: id, Nickname: "'=" + fmt.Sprint(i), FaceURL: "f", Timezone: "UTC", Ex: "1\n2;\"3\""}
			s.putUsers(u)
			before[id] = u
		}
		if status, got := s.send(okMessage.but(jsonFields{"isSendAll": "true"}).body()); status != 200 || got.ErrCode != 0 {
			t.Fatalf("%d %s", status, got.Raw)
		}
		for _, way := range []string{"", "raw=1"} {
			status, got := s.do(http.MethodGet, "/v1/campaigns/"+created.PublicID+"/recipients.csv?bom=1&"+way, nil)
			text, bom := bytes.CutPrefix(got.Raw, []byte(userfile.ByteOrderMark))
			rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
			if status != 200 || !bom || err != nil || len(rows) != len(ids)+1 {
				t.Fatalf("%d %v %s", status, err, got.Raw)
			}
			for i, row := range rows[1:] {
				if guarded := strings.TrimLeft(row[0], "'") != row[0]; way == "" && strings.ContainsAny(row[0][:1], "=@") && !guarded {
					t.Errorf("a spreadsheet runs %q", row[0])
				}
				row[2] = fmt.Sprint(way, i) // the status makes room for a nickname
			}
			_, got = s.do("POST", "/v1/users/import?ignoreOtherColumns=1&map=status=nickname&"+way, saved(rows), "Content-Type", csvType)
			var done ImportAnswer
			if got.into(t, &done); done.Changed != len(ids) || done.Rows != len(ids) {
				t.Errorf("%s", got.Raw)
			}
			if s.live() != int64(len(ids)) {
				t.Errorf("%d users", s.live())
			}
			for i, row := range rows[1:] {
				id := row[0]
				if way == "" {
					id = userfile.Unguard(id)
				}
				want := before[id]
				want.Nickname = fmt.Sprint(way, i)
				u, err := s.Store.User(t.Context(), id)
				u.AddedRev, u.AddedAt = 0, 0
				if err != nil || !reflect.DeepEqual(u, want) {
					t.Errorf("%q: %+v %v", id, u, err)
				}
			}
		}
	})
}

func TestExportOptions(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		path := "/v1/campaigns/" + s.five(t) + "/recipients.csv"
		for query, want := range map[string]string{
			"": "userID,groupID,", "?bom=0": "userID,groupID,", "?bom=1": "\ufeffuserID,groupID,", "?raw=1": ",=cmd|' /C calc'!A0,", "?raw=0": ",'=cmd|' /C calc'!A0,",
		} {
			status, got := s.do(http.MethodGet, path+query, nil)
			if status != 200 || !strings.Contains(string(got.Raw), want) || strings.HasPrefix(string(got.Raw), "\ufeff") != (query == "?bom=1") {
				t.Errorf("%s: %d %s", query, status, got.Raw)
			}
		}
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			for _, query := range []string{"?raw=yes", "?bom=2", "?raw=1&raw=1"} {
				if status, got := s.do(method, path+query, nil); status != 422 {
					t.Errorf("%s %s: %d %s", method, query, status, got.Raw)
				}
			}
		}
	})
}
