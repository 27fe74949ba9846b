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
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"carillon/models"
)

type refusal = Refusal

// lines is a refusal of several lines.
func lines(from, to, rows int, reason string) refusal {
	return refusal{Line: from, ToLine: to, Rows: rows, Error: reason}
}

// line is a refusal of one.
func line(n int, reason string) refusal { return refusal{Line: n, Error: reason} }

// of is a refusal of a row that has an ID.
func of(id string, r refusal) refusal {
	r.UserID = id
	return r
}

// result is what Read did with a file.
type result struct {
	Users   []models.UserChange
	Batches []int
	Refused []refusal
	N       int // taken
	Counts  Counts
	Err     error
}

func readFile(r io.Reader, format Format, o Options) (got result) {
	got.Counts, got.Err = Read(r, format, o, func(users []models.UserChange) error {
		got.Users = append(got.Users, users...)
		got.Batches = append(got.Batches, len(users))
		clear(users) // flush may do what it likes with them
		return nil
	}, func(r Refusal) { got.Refused = append(got.Refused, r) })
	got.N = got.Counts.Taken()
	return got
}

func readAll(r io.Reader, format Format) result { return readFile(r, format, Options{}) }

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
		{"blank lines count but say nothing", "\n\nuserID\n\na\n\r\n\xff\n", users("a"), []refusal{of("\ufffd", line(7, "userID must be valid UTF-8; it looks like Windows-1252: save the file as UTF-8"))}},
		{"IDs byte for byte", "userID\nBob\nbob\nbób\n\"a,b\"\n", users("Bob", "bob", "bób", "a,b"), nil},
		{"quotes and lines inside quotes", "userID,ex\na,\"say \"\"hi\"\"\n\nthere you\"\nb,\"\"\n,c\n",
			[]models.UserChange{{UserID: "a", Ex: new("say \"hi\"\n\nthere you")}, {UserID: "b", Ex: new("")}}, []refusal{line(6, "userID must not be empty")}},
		{"wrong number of fields", "userID,ex\na\nb,1,2\nc,3\n", []models.UserChange{{UserID: "c", Ex: new("3")}}, []refusal{of("a", line(2, "has 1 fields, the header has 2")), of("b", line(3, "has 3 fields, the header has 2"))}},
		{"a field too many before the ID", "ex,userID\n1,2,a\n", nil, []refusal{line(2, "has 3 fields, the header has 2")}},
		{"a long ID", "ex,userID\n1," + strings.Repeat("x", 64) + "y\n", nil, []refusal{of(strings.Repeat("x", 64)+"…", line(2, "userID must be at most 64 bytes, has 65"))}},
		{"an ID that turns the direction", "userID\na\u202eb\n", nil, []refusal{of(`a\u202eb`, line(2, "userID must not hold U+202E, which cannot be seen"))}},
		{"bad quotes end with their line", "userID,ex\na\"a,\"1\nb,\"2\"2,\"3\nc,4\n", []models.UserChange{{UserID: "c", Ex: new("4")}},
			[]refusal{line(2, `has a " inside a field that is not quoted`), line(3, `has a quoted field that goes on after its closing "`)}},
		{"a quote never closed", "userID,ex\na,1\nb,\"2\nc,3\n", []models.UserChange{{UserID: "a", Ex: new("1")}, {UserID: "c", Ex: new("3")}}, []refusal{line(3, notClosed(3))}},
		{"a long quote never closed", "userID,ex\na,1\nb,\"2\n" + long + "\nc,3\n", []models.UserChange{{UserID: "a", Ex: new("1")}},
			[]refusal{lines(3, 5, 3, notClosed(3))}},
		{"a long line", "userID,ex\na,1\nb," + long + "\nc,3\n", []models.UserChange{{UserID: "a", Ex: new("1")}, {UserID: "c", Ex: new("3")}}, []refusal{line(3, "is longer than 65536 bytes")}},
		{"a long record of many lines", "userID,ex\nb,\"" + strings.Repeat("evil,1\n", MaxLine) + "\"\nc,3\n,4\n", []models.UserChange{{UserID: "c", Ex: new("3")}},
			[]refusal{lines(2, MaxLine+2, MaxLine+1, heldRow(3, 2)), line(MaxLine+4, "userID must not be empty")}},
		{"several faults of one user", "userID,timezone,nickname\n\"a\x01\",Mars,\"b\nb\"\n", nil,
			[]refusal{of(`a\u0001`, lines(2, 3, 0, "userID must not hold control characters (U+0001); nickname must not hold control characters (U+000A); timezone must be an IANA time zone such as Europe/Berlin"))}},
		{"only a header", "userID", nil, nil},
	} {
		got := readAll(strings.NewReader(tt.file), CSV)
		if got.Err != nil || got.N != len(tt.users) || !reflect.DeepEqual(got.Users, tt.users) || !reflect.DeepEqual(got.Refused, tt.refused) {
			t.Errorf("%s: %d, %v\n%+v\n%+v", tt.name, got.N, got.Err, got.Users, got.Refused)
		}
	}
}

func TestLineLimitIsExact(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"\n", "\r\n", ""} {
		for _, over := range []int{0, 1} {
			text := "a," + strings.Repeat("e", MaxLine-2+over)
			want := of("a", line(2, "ex must be at most 8192 bytes, has 65534")) // was read, and judged
			if over == 1 {
				want = line(2, "is longer than 65536 bytes")
			}
			if got := readAll(strings.NewReader("userID,ex\n"+text+end), CSV); got.Err != nil || len(got.Refused) != 1 || got.Refused[0] != want {
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
		{"userID,email\n", "email", "is not a column of users; the columns are userID, nickname, faceURL, timezone, ex, separated by commas, semicolons or tabs; name it in map, or ignore other columns"},
		{"userID|ex\x01" + strings.Repeat("ó", 99) + "\n", `userID|ex\u0001` + strings.Repeat("ó", 27) + "…", "is not a column of users; the columns are userID, nickname, faceURL, timezone, ex, separated by commas, semicolons or tabs; name it in map, or ignore other columns"},
		{"\"userID\nbob\n", "header", notClosed(1)},
		{"userID" + strings.Repeat(",ex", MaxLine), "header", "is longer than 65536 bytes"},
	} {
		got := readAll(strings.NewReader(tt.file), CSV)
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
	got := readAll(strings.NewReader(file), NDJSON)
	wantUsers := []models.UserChange{{UserID: "a", Nickname: new("A 🙂"), FaceURL: new("f"), Timezone: new("Europe/Berlin"), Ex: new(`{"a":1}`)}, {UserID: "b"}, {UserID: "z"}}
	const invalid = "is not one valid JSON object"
	wantRefused := []refusal{
		of("c", line(4, "age is not a field of a user")), line(5, "userID must be a string"), line(6, "userID must not be given twice"), line(7, "userid is not a field of a user"),
		line(8, invalid), line(9, invalid), line(10, "must be a JSON object"), line(11, "must be a JSON object"), line(12, "must be a JSON object"), line(13, invalid),
		line(14, "must be valid UTF-8; it looks like Windows-1252: save the file as UTF-8"), line(15, invalid), of(`l\u0000`, line(16, "userID must not hold control characters (U+0000)")), line(17, "AddedRev is not a field of a user"),
		line(18, "is longer than 65536 bytes"), line(19, invalid), line(20, "userID must not be empty"),
	}
	if got.Err != nil || !reflect.DeepEqual(got.Users, wantUsers) {
		t.Errorf("%v\n%+v", got.Err, got.Users)
	}
	if !reflect.DeepEqual(got.Refused, wantRefused) {
		t.Errorf("%+v", got.Refused)
	}
	if got := readAll(strings.NewReader(""), NDJSON); !reflect.DeepEqual(got, result{}) {
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
	if got := readAll(strings.NewReader(file.String()), CSV); got.Err != nil || got.N != 2500 || !reflect.DeepEqual(got.Batches, []int{1000, 1000, 500}) {
		t.Errorf("%d, %v, %v", got.N, got.Batches, got.Err)
	}
	file.Reset()
	file.WriteString("userID,ex\n")
	for i := range 300 {
		fmt.Fprintf(&file, "u%d,%s\n", i, strings.Repeat("e", 8000))
	}
	if got := readAll(strings.NewReader(file.String()), CSV); got.Err != nil || got.N != 300 || len(got.Batches) != 3 {
		t.Errorf("long texts: %d, %v, %v", got.N, got.Batches, got.Err)
	}
}

// A line that was cut off could still look whole: "bob" may have been "bobby".
func TestBrokenOffLineIsNotImported(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for format, file := range map[Format]string{CSV: "userID\na\nb\nbob", NDJSON: `{"userID":"a"}` + "\n" + `{"userID":"b"}` + "\n" + `{"userID":"bob"}`} {
		got := readAll(io.MultiReader(strings.NewReader(file), iotest.ErrReader(broken)), format)
		var fault *ReadError
		if !errors.As(got.Err, &fault) || !errors.Is(got.Err, broken) || got.N != 2 || !reflect.DeepEqual(got.Users, users("a", "b")) || got.Refused != nil {
			t.Errorf("%s: %+v", format, got)
		}
	}
	var fault *ReadError
	if got := readAll(iotest.ErrReader(broken), CSV); !errors.As(got.Err, &fault) {
		t.Errorf("before the header: %v", got.Err)
	}
}

func TestFlushErrorEndsTheReading(t *testing.T) {
	t.Parallel()
	full := errors.New("full")
	forever := &endless{text: "a\n"}
	calls := 0
	n, err := Read(io.MultiReader(strings.NewReader("userID\n"), forever), CSV, Options{}, func([]models.UserChange) error {
		if calls++; calls == 3 {
			return full
		}
		return nil
	}, func(Refusal) {})
	if n.Taken() != 2000 || !errors.Is(err, full) || calls != 3 {
		t.Errorf("%d, %v after %d calls", n, err, calls)
	}
}

// lines is text over and over, limit times; 0 = for ever.
type endless struct {
	text  string
	limit int
	count int
	off   int
}

func (l *endless) Read(p []byte) (int, error) {
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
		file := io.MultiReader(strings.NewReader("userID\n"+quote), &endless{text: strings.Repeat("x", 4096), limit: 10_000}, strings.NewReader(quote+"\nb\n"))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got := readAll(file, CSV)
		runtime.ReadMemStats(&after)
		if want := []refusal{line(2, "is longer than 65536 bytes")}; got.Err != nil || !reflect.DeepEqual(got.Users, users("b")) || !reflect.DeepEqual(got.Refused, want) {
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
			got := readAll(bytes.NewReader(file), format)
			if got.N != len(got.Users) {
				t.Fatalf("%d of %d users", got.N, len(got.Users))
			}
			for _, u := range got.Users {
				if found := u.Check(); found != nil {
					t.Fatalf("%+v: %v", u, found)
				}
			}
			refused := 0
			for _, r := range got.Refused {
				refused += r.Count()
			}
			if refused != got.Counts.Refused || got.Counts.Rows > got.Counts.Lines {
				t.Fatalf("%+v: %d refused", got.Counts, refused)
			}
			for i, r := range got.Refused {
				if r.Line < 1 || max(r.Line, r.ToLine) > got.Counts.Lines || i > 0 && r.Line <= max(got.Refused[i-1].Line, got.Refused[i-1].ToLine) || r.Error == "" {
					t.Fatalf("refused %+v", got.Refused)
				}
			}
			again := readAll(&pieces{file, rand.New(rand.NewPCG(seed, 1))}, format)
			if !reflect.DeepEqual(again, got) {
				t.Fatalf("in pieces %+v, at once %+v", again, got)
			}
		}
		if got := readAll(bytes.NewReader(file), CSV); got.Err == nil {
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

// likeEncodingCSV compares with a file that encoding/csv finds no fault with.
func likeEncodingCSV(t *testing.T, file []byte, got result) {
	file = bytes.TrimPrefix(file, []byte("\ufeff"))
	if bytes.Count(file, []byte("\r")) != bytes.Count(file, []byte("\r\n")) || bytes.ContainsAny(file, ";\t") || !utf8.Valid(file) {
		return
	}
	whole := csv.NewReader(bytes.NewReader(file))
	whole.FieldsPerRecord = -1
	header, err := whole.Read()
	if err != nil {
		return
	}
	id := slices.IndexFunc(header, func(name string) bool { return sameName(name, "userID") })
	if id < 0 {
		return
	}
	refused := map[int]bool{}
	for _, r := range got.Refused {
		refused[r.Line] = true
	}
	var ids, gotIDs []string
	for {
		cells, err := whole.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return
		}
		if line, _ := whole.FieldPos(0); !refused[line] {
			ids = append(ids, Unguard(cells[id]))
		} else if len(cells) == len(header) && models.CheckNewID(cells[id]) == "" && len(cells) == 1 && !sameName(cells[0], "userID") {
			t.Fatalf("%q was refused: %+v", cells, got.Refused)
		}
	}
	for _, u := range got.Users {
		gotIDs = append(gotIDs, u.UserID)
	}
	if !slices.Equal(gotIDs, ids) {
		t.Fatalf("users %q, want %q; refused %+v", gotIDs, ids, got.Refused)
	}
}

func BenchmarkReadCSV(b *testing.B) {
	for b.Loop() {
		file := io.MultiReader(strings.NewReader("userID,nickname,timezone\n"), &endless{text: "user-0000001,\"Bób, the first\",Europe/Berlin\n", limit: 100_000})
		if got, err := Read(file, CSV, Options{}, func([]models.UserChange) error { return nil }, func(Refusal) {}); got.Taken() != 100_000 || err != nil {
			b.Fatal(got, err)
		}
	}
}

// TestAbsentAndEmpty: a column or key that is not there says nothing, and an empty text is one that
// was given.
func TestAbsentAndEmpty(t *testing.T) {
	t.Parallel()
	want := []models.UserChange{{UserID: "a", Timezone: new("")}, {UserID: "b", Timezone: new("UTC")}}
	if got := readAll(strings.NewReader("timezone,userID\n,a\nUTC,b\n"), CSV); !reflect.DeepEqual(got.Users, want) {
		t.Errorf("%+v", got.Users)
	}
	want = append(want, models.UserChange{UserID: "c"}, models.UserChange{UserID: "d"})
	lines := `{"userID":"a","timezone":""}` + "\n" + `{"userID":"b","timezone":"UTC"}` + "\n" + `{"userID":"c","timezone":null}` + "\n" + `{"userID":"d"}`
	if got := readAll(strings.NewReader(lines), NDJSON); !reflect.DeepEqual(got.Users, want) {
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
	for _, u := range readAll(strings.NewReader(file.String()), CSV).Users {
		if u.Repeated {
			if again++; u.UserID != "u0" {
				t.Errorf("%s came once", u.UserID)
			}
		}
	}
	if again != 25 {
		t.Errorf("%d came again", again)
	}
}
