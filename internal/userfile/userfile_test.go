package userfile

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"carillon/models"
)

type refusal struct {
	Line   int
	Reason string
}

// result is what Read did with a file.
type result struct {
	Users   []models.UserChange
	Batches []int
	Refused []refusal
	N       int
	Err     error
}

func read(r io.Reader, format Format) (got result) {
	got.N, got.Err = Read(r, format, func(users []models.UserChange) error {
		got.Users = append(got.Users, users...)
		got.Batches = append(got.Batches, len(users))
		clear(users) // flush may do what it likes with them
		return nil
	}, func(line int, reason string) { got.Refused = append(got.Refused, refusal{line, reason}) })
	return got
}

func users(ids ...string) (users []models.UserChange) {
	for _, id := range ids {
		users = append(users, models.UserChange{UserID: id})
	}
	return users
}

func TestReadCSV(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", MaxLine)
	for _, tt := range []struct {
		name, file string
		users      []models.UserChange
		refused    []refusal
	}{
		{"columns in any order", "nickname,ex,userID,timezone,faceURL\nBob,e,b,UTC,f\n", []models.UserChange{{UserID: "b", Nickname: new("Bob"), Ex: new("e"), Timezone: new("UTC"), FaceURL: new("f")}}, nil},
		{"byte order mark, CRLF, no last line end", "\ufeff\"userID\"\r\na\r\nb", users("a", "b"), nil},
		{"blank lines count but say nothing", "\n\nuserID\n\na\n\r\n\xff\n", users("a"), []refusal{{7, "userID must be valid UTF-8"}}},
		{"IDs byte for byte", "userID\nBob\nbob\nbób\nbob \n  \n\"a,b\"\n", users("Bob", "bob", "bób", "bob ", "  ", "a,b"), nil},
		{"quotes and lines inside quotes", "userID,ex\na,\"say \"\"hi\"\"\n\nthere, you\"\nb,\"\"\n,c\n",
			[]models.UserChange{{UserID: "a", Ex: new("say \"hi\"\n\nthere, you")}, {UserID: "b", Ex: new("")}}, []refusal{{6, "userID must not be empty"}}},
		{"wrong number of fields", "userID,ex\na\nb,1,2\nc,3\n", []models.UserChange{{UserID: "c", Ex: new("3")}}, []refusal{{2, "has 1 fields, the header has 2"}, {3, "has 3 fields, the header has 2"}}},
		{"bad quotes end with their line", "userID,ex\na\"a,\"1\nb,\"2\"2,\"3\nc,4\n", []models.UserChange{{UserID: "c", Ex: new("4")}},
			[]refusal{{2, `has a " inside a field that is not quoted`}, {3, `has a quoted field that goes on after its closing "`}}},
		{"a quote never closed", "userID,ex\na,1\nb,\"2\nc,3\n", []models.UserChange{{UserID: "a", Ex: new("1")}}, []refusal{{3, "a quoted field is not closed before the end of the file"}}},
		{"a long quote never closed", "userID,ex\na,1\nb,\"2\n" + long + "\nc,3\n", []models.UserChange{{UserID: "a", Ex: new("1")}},
			[]refusal{{3, "is longer than 65536 bytes; a quoted field is not closed before the end of the file"}}},
		{"a long line", "userID,ex\na,1\nb," + long + "\nc,3\n", []models.UserChange{{UserID: "a", Ex: new("1")}, {UserID: "c", Ex: new("3")}}, []refusal{{3, "is longer than 65536 bytes"}}},
		{"a long record of many lines", "userID,ex\nb,\"" + strings.Repeat("evil,1\n", MaxLine) + "\"\nc,3\n,4\n", []models.UserChange{{UserID: "c", Ex: new("3")}},
			[]refusal{{2, "is longer than 65536 bytes"}, {MaxLine + 4, "userID must not be empty"}}},
		{"several faults of one user", "userID,timezone,nickname\n\"a\x01\",Mars,\"b\nb\"\n", nil,
			[]refusal{{2, "userID must not hold control characters; nickname must not hold control characters; timezone must be an IANA time zone such as Europe/Berlin"}}},
		{"only a header", "userID", nil, nil},
	} {
		got := read(strings.NewReader(tt.file), CSV)
		if got.Err != nil || got.N != len(tt.users) || !reflect.DeepEqual(got.Users, tt.users) || !reflect.DeepEqual(got.Refused, tt.refused) {
			t.Errorf("%s: %d, %v\n%+v\n%+v", tt.name, got.N, got.Err, got.Users, got.Refused)
		}
	}
}

func TestLineLimitIsExact(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"\n", "\r\n", ""} {
		for _, over := range []int{0, 1} {
			line := "a," + strings.Repeat("e", MaxLine-2+over)
			want := refusal{2, "ex must be at most 8192 bytes, has 65534"} // was read, and judged
			if over == 1 {
				want.Reason = "is longer than 65536 bytes"
			}
			if got := read(strings.NewReader("userID,ex\n"+line+end), CSV); got.Err != nil || len(got.Refused) != 1 || got.Refused[0] != want {
				t.Errorf("%d over, end %q: %+v", over, end, got)
			}
		}
	}
}

func TestCSVHeaderIsRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ file, field, reason string }{
		{"", "header", "is missing; the first line names the columns, userID among them"},
		{"\n\r\n", "header", "is missing; the first line names the columns, userID among them"},
		{"nickname\nbob\n", "userID", "is a column that must be there"},
		{"userID,ex,ex\n", "ex", "must not be given twice"},
		{"userID,email\n", "email", "is not a column of users; the columns are userID, nickname, faceURL, timezone, ex, separated by commas"},
		{"userid\n", "userid", "is not a column of users; the columns are userID, nickname, faceURL, timezone, ex, separated by commas"},
		{"userID,\n", `""`, "is not a column of users; the columns are userID, nickname, faceURL, timezone, ex, separated by commas"},
		{"userID;ex\x00" + strings.Repeat("ó", 99) + "\n", "userID;ex\ufffd" + strings.Repeat("ó", 27) + "…", "is not a column of users; the columns are userID, nickname, faceURL, timezone, ex, separated by commas"},
		{"\"userID\nbob\n", "header", "a quoted field is not closed before the end of the file"},
		{"userID" + strings.Repeat(",ex", MaxLine), "header", "is longer than 65536 bytes"},
	} {
		got := read(strings.NewReader(tt.file), CSV)
		e := models.AsError(got.Err)
		if e.Code != models.CodeArgs || len(e.Fields) != 1 || e.Fields[0] != (models.FieldError{Field: tt.field, Reason: tt.reason}) || got.N != 0 || got.Refused != nil {
			t.Errorf("%.30q: %v", tt.file, got.Err)
		}
	}
}

func TestReadNDJSON(t *testing.T) {
	t.Parallel()
	file := strings.Join([]string{
		"\ufeff" + `{"ex":"{\"a\":1}","userID":"a","nickname":"A \ud83d\ude42","timezone":"Europe/Berlin","faceURL":"f"}`,
		" \t\r",
		` {"userID":"b","ex":null} ` + "\r",
		`{"userID":"c","age":3}`,
		`{"userID":4}`,
		`{"userID":"d","userID":"e"}`,
		`{"userid":"f"}`,
		`{"userID":"g"`,
		`{"userID":"h"}{"userID":"i"}`,
		`["j"]`, `null`, `"k"`, `userID`,
		"{\"userID\":\"\xff\"}",
		`{"userID":"\ud800"}`,
		`{"userID":"l\u0000"}`,
		`{"AddedRev":1}`,
		`{"userID":"m","ex":"` + strings.Repeat("e", MaxLine) + `"}`,
		`{"userID":"n","ex":` + strings.Repeat("[", 30_000),
		`{"nickname":"nobody"}`,
		`{"userID":"z"}`,
	}, "\n")
	got := read(strings.NewReader(file), NDJSON)
	wantUsers := []models.UserChange{{UserID: "a", Nickname: new("A 🙂"), FaceURL: new("f"), Timezone: new("Europe/Berlin"), Ex: new(`{"a":1}`)}, {UserID: "b"}, {UserID: "z"}}
	const invalid = "is not one valid JSON object"
	wantRefused := []refusal{
		{4, "age is not a field of a user"}, {5, "userID must be a string"}, {6, "userID must not be given twice"}, {7, "userid is not a field of a user"},
		{8, invalid}, {9, invalid}, {10, "must be a JSON object"}, {11, "must be a JSON object"}, {12, "must be a JSON object"}, {13, invalid},
		{14, "must be valid UTF-8"}, {15, invalid}, {16, "userID must not hold control characters"}, {17, "AddedRev is not a field of a user"},
		{18, "is longer than 65536 bytes"}, {19, invalid}, {20, "userID must not be empty"},
	}
	if got.Err != nil || !reflect.DeepEqual(got.Users, wantUsers) {
		t.Errorf("%v\n%+v", got.Err, got.Users)
	}
	if !reflect.DeepEqual(got.Refused, wantRefused) {
		t.Errorf("%+v", got.Refused)
	}
	if got := read(strings.NewReader(""), NDJSON); !reflect.DeepEqual(got, result{}) {
		t.Errorf("empty: %+v", got)
	}
}

func TestBatchesAreBounded(t *testing.T) {
	t.Parallel()
	var file strings.Builder
	file.WriteString("userID,ex\n")
	for i := range 2500 {
		fmt.Fprintf(&file, "u%d,\n", i)
	}
	if got := read(strings.NewReader(file.String()), CSV); got.Err != nil || got.N != 2500 || !reflect.DeepEqual(got.Batches, []int{1000, 1000, 500}) {
		t.Errorf("%d, %v, %v", got.N, got.Batches, got.Err)
	}
	file.Reset()
	file.WriteString("userID,ex\n")
	for i := range 300 {
		fmt.Fprintf(&file, "u%d,%s\n", i, strings.Repeat("e", 8000))
	}
	if got := read(strings.NewReader(file.String()), CSV); got.Err != nil || got.N != 300 || len(got.Batches) != 3 {
		t.Errorf("long texts: %d, %v, %v", got.N, got.Batches, got.Err)
	}
}

// A line that was cut off could still look whole: "bob" may have been "bobby".
func TestBrokenOffLineIsNotImported(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for format, file := range map[Format]string{CSV: "userID\na\nb\nbob", NDJSON: `{"userID":"a"}` + "\n" + `{"userID":"b"}` + "\n" + `{"userID":"bob"}`} {
		got := read(io.MultiReader(strings.NewReader(file), iotest.ErrReader(broken)), format)
		var fault *ReadError
		if !errors.As(got.Err, &fault) || !errors.Is(got.Err, broken) || got.N != 2 || !reflect.DeepEqual(got.Users, users("a", "b")) || got.Refused != nil {
			t.Errorf("%s: %+v", format, got)
		}
	}
	var fault *ReadError
	if got := read(iotest.ErrReader(broken), CSV); !errors.As(got.Err, &fault) {
		t.Errorf("before the header: %v", got.Err)
	}
}

func TestFlushErrorEndsTheReading(t *testing.T) {
	t.Parallel()
	full := errors.New("full")
	endless := &lines{text: "a\n"}
	calls := 0
	n, err := Read(io.MultiReader(strings.NewReader("userID\n"), endless), CSV, func([]models.UserChange) error {
		if calls++; calls == 3 {
			return full
		}
		return nil
	}, func(int, string) {})
	if n != 2000 || !errors.Is(err, full) || calls != 3 {
		t.Errorf("%d, %v after %d calls", n, err, calls)
	}
}

// lines is text over and over, limit times; 0 = for ever.
type lines struct {
	text  string
	limit int
	count int
	off   int
}

func (l *lines) Read(p []byte) (int, error) {
	if l.limit > 0 && l.count == l.limit {
		return 0, io.EOF
	}
	n := copy(p, l.text[l.off:])
	if l.off += n; l.off == len(l.text) {
		l.off = 0
		l.count++
	}
	return n, nil
}

// A line of 40 MB, in quotes or not, is read over in the memory of a short one. Not parallel: it counts what
// the process allocates.
func TestLongLineIsNotHeld(t *testing.T) {
	for _, quote := range []string{"", `"`} {
		file := io.MultiReader(strings.NewReader("userID\n"+quote), &lines{text: strings.Repeat("x", 4096), limit: 10_000}, strings.NewReader(quote+"\nb\n"))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got := read(file, CSV)
		runtime.ReadMemStats(&after)
		if want := []refusal{{2, "is longer than 65536 bytes"}}; got.Err != nil || !reflect.DeepEqual(got.Users, users("b")) || !reflect.DeepEqual(got.Refused, want) {
			t.Errorf("%+v", got)
		}
		if bytes := after.TotalAlloc - before.TotalAlloc; bytes > 1<<20 {
			t.Errorf("%d bytes were allocated", bytes)
		}
	}
}

// FuzzRead holds Read to encoding/csv, which it must agree with on what is a record and where it begins, and to
// what the ledger takes for granted, however the file arrives.
func FuzzRead(f *testing.F) {
	for _, file := range []string{
		"userID,ex\na,\"b\n\"\"c\"\r\n\r\nd,e\r", "\ufeffuserID\n\"a\"b\nc\"d,\"\ne\n", "ex,userID\n\"1\r\n2\",3\n,,\n\n\"", "{\"userID\":\"a\"}\n\n{\"userID\":1}\n[",
	} {
		f.Add([]byte(file), uint64(1))
	}
	f.Fuzz(func(t *testing.T, file []byte, seed uint64) {
		for _, format := range []Format{CSV, NDJSON} {
			got := read(bytes.NewReader(file), format)
			if got.N != len(got.Users) {
				t.Fatalf("%d of %d users", got.N, len(got.Users))
			}
			for _, u := range got.Users {
				if found := u.Check(); found != nil {
					t.Fatalf("%+v: %v", u, found)
				}
			}
			for i, r := range got.Refused {
				if r.Line < 1 || r.Line > bytes.Count(file, []byte("\n"))+1 || i > 0 && r.Line <= got.Refused[i-1].Line || r.Reason == "" {
					t.Fatalf("refused %+v", got.Refused)
				}
			}
			again := read(&pieces{file, rand.New(rand.NewPCG(seed, 1))}, format)
			if !reflect.DeepEqual(again, got) {
				t.Fatalf("in pieces %+v, at once %+v", again, got)
			}
		}
		if got := read(bytes.NewReader(file), CSV); got.Err == nil {
			likeEncodingCSV(t, file, got)
		}
	})
}

// pieces reads a file in pieces of random lengths.
type pieces struct {
	file []byte
	rand *rand.Rand
}

func (p *pieces) Read(into []byte) (int, error) {
	if len(p.file) == 0 {
		return 0, io.EOF
	}
	n := copy(into[:min(len(into), 1+p.rand.IntN(9))], p.file)
	p.file = p.file[n:]
	return n, nil
}

func likeEncodingCSV(t *testing.T, file []byte, got result) {
	whole := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(file, []byte("\ufeff"))))
	whole.FieldsPerRecord = -1
	header, err := whole.Read()
	if err != nil {
		t.Fatalf("header: %v", err)
	}
	id := 0
	for header[id] != "userID" {
		id++
	}
	var ids []string
	var refused []int
	for {
		cells, err := whole.Read()
		var fault *csv.ParseError
		switch {
		case err == io.EOF:
			var gotIDs []string
			for _, u := range got.Users {
				gotIDs = append(gotIDs, u.UserID)
			}
			var gotLines []int
			for _, r := range got.Refused {
				gotLines = append(gotLines, r.Line)
			}
			if !reflect.DeepEqual(gotIDs, ids) || !reflect.DeepEqual(gotLines, refused) {
				t.Fatalf("users %q, want %q; refused lines %v, want %v", gotIDs, ids, gotLines, refused)
			}
			return
		case errors.As(err, &fault):
			refused = append(refused, fault.StartLine)
			continue
		}
		line, _ := whole.FieldPos(0)
		bad := len(cells) != len(header)
		for _, r := range got.Refused { // what a cell holds is not encoding/csv's to judge
			bad = bad || r.Line == line && !strings.HasPrefix(r.Reason, "has ")
		}
		if bad {
			refused = append(refused, line)
		} else {
			ids = append(ids, cells[id])
		}
	}
}

func BenchmarkReadCSV(b *testing.B) {
	for b.Loop() {
		file := io.MultiReader(strings.NewReader("userID,nickname,timezone\n"), &lines{text: "user-0000001,\"Bób, the first\",Europe/Berlin\n", limit: 100_000})
		if got, err := Read(file, CSV, func([]models.UserChange) error { return nil }, func(int, string) {}); got != 100_000 || err != nil {
			b.Fatal(got, err)
		}
	}
}

// TestAbsentAndEmpty: a column or key that is not there says nothing, and an empty text is one that
// was given.
func TestAbsentAndEmpty(t *testing.T) {
	t.Parallel()
	want := []models.UserChange{{UserID: "a", Timezone: new("")}, {UserID: "b", Timezone: new("UTC")}}
	if got := read(strings.NewReader("timezone,userID\n,a\nUTC,b\n"), CSV); !reflect.DeepEqual(got.Users, want) {
		t.Errorf("%+v", got.Users)
	}
	want = append(want, models.UserChange{UserID: "c"}, models.UserChange{UserID: "d"})
	lines := `{"userID":"a","timezone":""}` + "\n" + `{"userID":"b","timezone":"UTC"}` + "\n" + `{"userID":"c","timezone":null}` + "\n" + `{"userID":"d"}`
	if got := read(strings.NewReader(lines), NDJSON); !reflect.DeepEqual(got.Users, want) {
		t.Errorf("%+v", got.Users)
	}
}

// TestWhoComesAgain: a user who stands in the file before is told apart, in the same batch and in a
// later one.
func TestWhoComesAgain(t *testing.T) {
	t.Parallel()
	var file strings.Builder
	file.WriteString("userID\n")
	for i := range 2500 {
		fmt.Fprintf(&file, "u%d\n", i)
		if i%100 == 0 {
			file.WriteString("u0\n")
		}
	}
	again := 0
	for _, u := range read(strings.NewReader(file.String()), CSV).Users {
		if u.Again {
			if again++; u.UserID != "u0" {
				t.Errorf("%s came once", u.UserID)
			}
		}
	}
	if again != 25 {
		t.Errorf("%d came again", again)
	}
}
