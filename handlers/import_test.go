package handlers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"

	"carillon/handlers/web"
	"carillon/internal/testkit"
	"carillon/internal/userfile"
	"carillon/models"
)

const (
	csvType    = "text/csv; charset=utf-8"
	ndjsonType = "application/x-ndjson"
)

// importFile posts a file that must be taken.
func (s *server) importFile(contentType string, file any) (got ImportAnswer) {
	s.t.Helper()
	status, reply := s.do("POST", "/v1/users/import", file, "Content-Type", contentType)
	if status != http.StatusOK {
		s.t.Fatalf("%d %.300s", status, reply.Raw)
	}
	reply.into(s.t, &got)
	return got
}

// live is how many users the directory holds.
func (s *server) live() int64 {
	s.t.Helper()
	dir, err := s.Store.Directory(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return dir.Live
}

// usersFile is a file of n users in which the given lines, counted from 1, are bad.
func usersFile(contentType string, n int, bad ...int) string {
	isBad := map[int]bool{}
	for _, line := range bad {
		isBad[line] = true
	}
	var file strings.Builder
	if contentType == csvType {
		file.WriteString("nickname,userID\n")
		n++
	}
	for line := 1 + strings.Count(file.String(), "\n"); line <= n; line++ {
		u := models.User{UserID: fmt.Sprintf("user-%04d", line), Nickname: fmt.Sprintf("Nick, %d", line)}
		if isBad[line] {
			u.UserID = ""
		}
		if contentType == csvType {
			fmt.Fprintf(&file, "%q,%s\n", u.Nickname, u.UserID)
		} else {
			raw, _ := json.Marshal(u)
			file.Write(append(raw, '\n'))
		}
	}
	return file.String()
}

func TestImportKeepsTheGoodLines(t *testing.T) {
	t.Parallel()
	for _, contentType := range []string{csvType, ndjsonType} {
		t.Run(contentType, func(t *testing.T) {
			t.Parallel()
			testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
				s := newServer(t, stores)
				want := ImportAnswer{UserCounts: models.UserCounts{Created: 997}, Counts: userfile.Counts{Lines: 1000, Rows: 1000, Refused: 3}}
				if contentType == csvType {
					want.Lines++
				}
				for _, line := range []int{2, 500, 1000} {
					want.Refused = append(want.Refused, userfile.Refusal{Line: line, Error: "userID must not be empty"})
				}
				file := usersFile(contentType, 1000, 2, 500, 1000)
				if got := s.importFile(contentType, file); !reflect.DeepEqual(got, want) || s.live() != 997 {
					t.Errorf("%+v, %d users", got, s.live())
				}
				file = strings.ReplaceAll(file, "Nick, 77\"", "Nick, the new\"")
				want.UserCounts = models.UserCounts{Changed: 1, Unchanged: 996}
				if got := s.importFile(contentType, file); !reflect.DeepEqual(got, want) || s.live() != 997 {
					t.Errorf("again: %+v, %d users", got, s.live())
				}
				if u, err := s.Store.User(t.Context(), "user-0077"); err != nil || u.Nickname != "Nick, the new" {
					t.Errorf("again: %+v, %v", u, err)
				}
			})
		})
	}
}

func TestImportNamesTheFirstHundredOfTheRefused(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		got := s.importFile(csvType, "userID\na\n"+strings.Repeat("\"\"\n", 250))
		if got.Created != 1 || got.Counts.Refused != 250 || len(got.Refused) != 100 || got.Refused[99].Line != 102 {
			t.Errorf("%d, %d, %d", got.Created, got.Counts.Refused, len(got.Refused))
		}
		status, reply := s.do("POST", "/v1/users/import", "userID\nb\n", "Content-Type", csvType)
		if want := `{"created":1,"changed":0,"unchanged":0,"repeated":0,"lines":2,"rows":1,"refusedCount":0,"refused":[]}`; status != http.StatusOK || string(reply.Data) != want {
			t.Errorf("nothing refused: %d %s", status, reply.Raw)
		}
	})
}

func TestImportOfAnySize(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		var file bytes.Buffer
		file.WriteString("userID,ex\nfirst,\n")
		long := "long," + strings.Repeat("x", 70<<10) + "\n"
		for i := range 250 {
			fmt.Fprintf(&file, "%suser-%03d,%s\n", long, i, strings.Repeat("e", 8000))
		}
		if file.Len() <= web.ListBody {
			t.Fatalf("%d bytes prove nothing", file.Len())
		}
		got := s.importFile(csvType, io.MultiReader(&file)) // its length is not told: chunked
		if want := (userfile.Refusal{Line: 201, Error: "is longer than 65536 bytes"}); got.Created != 251 || got.Counts.Refused != 250 || got.Refused[99] != want || s.live() != 251 {
			t.Errorf("%d, %d, %+v, %d users", got.Created, got.Counts.Refused, got.Refused[99], s.live())
		}
		if got := s.importFile(ndjsonType, `{"userID":"`+strings.Repeat("x", 70<<10)+"\"}\n"+`{"userID":"last"}`); got.Created != 1 || got.Counts.Refused != 1 || got.Refused[0].Line != 1 {
			t.Errorf("%+v", got)
		}
	})
}

func TestImportRefusals(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		for _, tt := range []struct {
			contentType, encoding, body string
			status                      int
			field                       string
		}{
			{"", "", "userID\na\n", 415, "Content-Type"},
			{"application/json", "", `{"userID":"a"}`, 415, "Content-Type"},
			{"text/csv;;", "", "userID\na\n", 415, "Content-Type"},
			{csvType, "gzip", "userID\na\n", 415, "Content-Encoding"},
			{csvType, "", "userID,email\na,b\n", 422, "email"},
			{csvType, "", "userID,userID\na,b\n", 422, "userID"},
			{csvType, "", "nickname\na\n", 422, "userID"},
			{csvType, "", "", 422, "header"},
		} {
			status, got := s.do("POST", "/v1/users/import", tt.body, "Content-Type", tt.contentType, "Content-Encoding", tt.encoding)
			if status != tt.status || got.ErrCode != 1001 || got.fields(t)[tt.field] == "" {
				t.Errorf("%+v: %d %s", tt, status, got.Raw)
			}
		}
		if s.live() != 0 {
			t.Errorf("refused files left %d users", s.live())
		}
	})
}

func TestBrokenOffImportKeepsWhatCame(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores, func(a *API) { a.BodyTime = 300 * time.Millisecond })
		head := "POST /v1/users/import HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: text/csv\r\ntoken: " + s.adminToken() + "\r\n"
		closeWrite := func(c net.Conn) { _ = c.(*net.TCPConn).CloseWrite() }
		for i, tt := range []struct {
			request string
			then    func(net.Conn)
			status  int
			text    string
		}{
			{"Content-Length: 1000\r\n\r\nuserID\na\nb\nbob", closeWrite, 400, "the body was cut short; 2 users before that are imported"},
			{"Transfer-Encoding: chunked\r\n\r\n10\r\nuserID\nc\nd\nbobby\r\n", closeWrite, 400, "the body was cut short; 2 users before that are imported"},
			{"Content-Length: 1000\r\n\r\nuserID\ne\nf\nbob", func(net.Conn) {}, 408, "the body came too slowly: nothing for 300ms, or less than 1024 bytes a second; 2 users before that are imported"},
			{"Content-Length: 1000\r\n\r\nuserI", closeWrite, 400, "the body was cut short; 0 users before that are imported"},
		} {
			if status, raw := s.post(t, head+tt.request, tt.then); status != tt.status || !strings.Contains(raw, tt.text) || !strings.Contains(raw, `"errCode":1001`) {
				t.Errorf("%d: %d %s", i, status, raw)
			}
		}
		if s.live() != 6 {
			t.Errorf("%d users, want a to f and no piece of bobby", s.live())
		}
	})
}

// A body may take longer than the limit as long as something of it arrives.
func TestSlowImportIsWaitedFor(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores, func(a *API) { a.BodyTime = time.Second })
		in, out := io.Pipe()
		go func() {
			tick := time.NewTicker(50 * time.Millisecond) // the pace of this client, not a wait of the test
			defer tick.Stop()
			for i := range 40 {
				<-tick.C
				_, _ = fmt.Fprintf(out, `{"userID":"user-%d","nickname":%q}`+"\n", i, strings.Repeat("n", 200)) // well above the least pace
			}
			_ = out.Close()
		}()
		if got := s.importFile(ndjsonType, in); got.Created != 40 || got.Counts.Refused != 0 {
			t.Errorf("%+v", got)
		}
	})
}

func TestWhatStopsAnImport(t *testing.T) {
	t.Parallel()
	cut := &userfile.ReadError{Err: io.ErrUnexpectedEOF}
	late := &userfile.ReadError{Err: os.ErrDeadlineExceeded} // a time-out too, but not the database's
	for _, tt := range []struct {
		err    error
		status int
		code   models.Code
		kept   bool
	}{
		{cut, 400, models.CodeArgs, true},
		{late, 408, models.CodeArgs, true},
		{&userfile.ReadError{Err: errors.New("reset")}, 400, models.CodeArgs, true},
		{mysqldriver.ErrInvalidConn, 503, models.CodeUnavailable, true},
		{models.Invalid([]models.FieldError{{Field: "email", Reason: "is not a column"}}), 422, models.CodeArgs, false},
		{errors.New("a fault of ours"), 500, models.CodeInternal, false},
	} {
		err := importFault(tt.err, 1234, time.Second)
		e := models.AsError(err)
		if status := web.StatusOf(err, e, false); status != tt.status || e.Code != tt.code || strings.Contains(e.Detail, "1234 users before that are imported") != tt.kept {
			t.Errorf("%v: %d %v", tt.err, status, err)
		}
		if (tt.code == models.CodeUnavailable) != (e.RetryAfter > 0) {
			t.Errorf("%v: Retry-After %s", tt.err, e.RetryAfter)
		}
	}
}

// TestImportOfOtherColumns: the query says what a file's columns are.
func TestImportOfOtherColumns(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		const path = "/v1/users/import"
		file := "uid;Full name;mail\na;'=A;x\nb;B;x\n"
		status, got := s.do("POST", path+"?map=uid=userID,Full+name%3Dnickname&ignoreOtherColumns=1", file, "Content-Type", csvType)
		if u, err := s.Store.User(t.Context(), "a"); status != http.StatusOK || err != nil || u.Nickname != "=A" || s.live() != 2 {
			t.Errorf("%d %s, %+v %v", status, got.Raw, u, err)
		}
		status, got = s.do("POST", path+"?map=uid=userID,full_name=nickname&ignoreOtherColumns=true&raw=1", file, "Content-Type", csvType)
		if u, err := s.Store.User(t.Context(), "a"); status != http.StatusOK || err != nil || u.Nickname != "'=A" {
			t.Errorf("raw: %d %s, %+v %v", status, got.Raw, u, err)
		}
		status, got = s.do("POST", path+"?ignoreOtherColumns=1&map=uid=userID", `{"uid":"c","mail":"x"}`, "Content-Type", ndjsonType)
		if status != http.StatusOK || s.live() != 3 {
			t.Errorf("NDJSON: %d %s", status, got.Raw)
		}
		for query, field := range map[string]string{
			"?map=uid": "map", "?map=uid=name": "map", "?map=x=userID&ignoreOtherColumns=1": "map", "?ignoreOtherColumns=yes": "ignoreOtherColumns", "?raw=2": "raw",
			"?map=uid=userID": "mail", "?ignore=1": "ignore",
		} {
			if status, got := s.do("POST", path+query, file, "Content-Type", csvType); status != 422 || got.ErrCode != models.CodeArgs || got.fields(t)[field] == "" {
				t.Errorf("%s: %d %s", query, status, got.Raw)
			}
		}
	})
}

// TestImportOfNobody: a file of which nothing is taken is no success, and its answer says the same as another's.
func TestImportOfNobody(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		status, got := s.do("POST", "/v1/users/import", "userID,ex\n,1\n\nb\n", "Content-Type", csvType)
		var done ImportAnswer
		got.into(t, &done)
		want := ImportAnswer{Counts: userfile.Counts{Lines: 4, Rows: 2, Refused: 2}, Refused: []userfile.Refusal{{Line: 2, Error: "userID must not be empty"}, {Line: 4, UserID: "b", Error: "has 1 fields, the header has 2"}}}
		if status != 422 || got.ErrCode != models.CodeArgs || got.ErrDlt != "none of the 2 rows was taken; line 2: userID must not be empty" || !reflect.DeepEqual(done, want) || s.live() != 0 {
			t.Errorf("%d %s", status, got.Raw)
		}
		for _, file := range []string{"userID\n", "userID"} {
			if done := s.importFile(csvType, file); done.Rows != 0 || done.Lines != 1 {
				t.Errorf("%q: %+v", file, done)
			}
		}
	})
}
