package userfile

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf16"

	"carillon/models"
)

// rows is a file of n users, made by row.
func rows(header string, n int, row func(i int) string) string {
	var file strings.Builder
	file.WriteString(header + "\n")
	for i := 1; i <= n; i++ {
		file.WriteString(row(i) + "\n")
	}
	return file.String()
}

// A quote that is not one of CSV's costs its own row and no other.
func TestStrayQuoteTakesNoOtherRow(t *testing.T) {
	t.Parallel()
	const n, bad = 1000, 20
	for _, stray := range []string{`u20,"Bob,`, `u20,"Bob"b",`, `u20,Bo"b,`, `u20,Bob",`, `"u20,Bob,`, `u20,Bob,"`, `u20,Bob,"text`, `"u20"x,Bob,`, `u20,"""Bob,`, `u20,"Bob"",`} {
		for name, row := range map[string]string{
			"plain": "u%d,Bob,text", "all quoted": `"u%d","Bob","text"`, "some": `u%d,"Smith, Bob",`, "empty": `u%d,"",""`, "doubled": `u%d,"Bob ""B"" B",`,
		} {
			file := rows("userID,nickname,ex", n, func(i int) string {
				if i == bad {
					return stray
				}
				return fmt.Sprintf(row, i)
			})
			got := readAll(strings.NewReader(file), CSV)
			want := Counts{Lines: n + 1, Rows: n, Refused: 1}
			if got.Err != nil || got.Counts != want || len(got.Refused) != 1 || got.Refused[0].Line != bad+1 || got.Refused[0].ToLine != 0 {
				t.Errorf("%s among %s: %+v %+v %v", stray, name, got.Counts, got.Refused, got.Err)
			}
		}
	}
}

// A file that is far longer than what is looked ahead at is read on all the same, in the memory of a short one.
func TestStrayQuoteInALongFile(t *testing.T) {
	t.Parallel()
	const n = 100_000
	file := rows("userID,nickname", n, func(i int) string {
		if i == 20 {
			return `u20,"Bob`
		}
		return fmt.Sprintf("user-%08d,Bob the %dth", i, i)
	})
	got := readAll(strings.NewReader(file), CSV)
	if want := []refusal{line(21, notClosedSoon(21))}; got.Counts != (Counts{n + 1, n, 1}) || !reflect.DeepEqual(got.Refused, want) {
		t.Errorf("%+v %+v", got.Counts, got.Refused)
	}
	text := rows("userID,nickname", 1, func(int) string { return "a,\"" + strings.Repeat("no row\n", 400_000) + "\"\nb,B" })
	got = readAll(strings.NewReader(text), CSV)
	if want := []refusal{lines(2, 400_002, 400_001, tooLong)}; got.Counts != (Counts{400_003, 400_002, 400_001}) || !reflect.DeepEqual(got.Refused, want) || got.N != 1 {
		t.Errorf("%+v %+v", got.Counts, got.Refused)
	}
}

func TestLinesOfAText(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, file string
		users      []models.UserChange
		refused    []refusal
		counts     Counts
	}{
		{"a text of several lines", "userID,ex\na,\"1\r\n2\n\n3\"\nb,2\n", []models.UserChange{{UserID: "a", Ex: new("1\r\n2\n\n3")}, {UserID: "b", Ex: new("2")}}, nil, Counts{6, 2, 0}},
		{"a text with a row", "userID,ex\na,\"1\nb,2\nc\"\nd,4\n", []models.UserChange{{UserID: "d", Ex: new("4")}}, []refusal{lines(2, 4, 3, heldRow(3, 2))}, Counts{5, 4, 3}},
		{"a text that ends with a row", "userID,ex,nickname\na,\"1\nb,2\",B\nd,4,D\n", []models.UserChange{{UserID: "d", Ex: new("4"), Nickname: new("D")}}, []refusal{lines(2, 3, 2, heldRow(3, 2))}, Counts{4, 3, 2}},
		{"texts that begin their rows", "ex,userID\n\"1\n2\",a\n3,b\n", []models.UserChange{{UserID: "a", Ex: new("1\n2")}, {UserID: "b", Ex: new("3")}}, nil, Counts{4, 2, 0}},
		{"a row within a text that begins its row", "ex,userID\n\"1,a\n2\",b\n3,c\n", []models.UserChange{{UserID: "c", Ex: new("3")}}, []refusal{lines(2, 3, 2, heldRow(3, 2))}, Counts{4, 3, 2}},
		{"a text before other columns", "userID,ex,nickname\na,\"dear\nfriend\",A\n", []models.UserChange{{UserID: "a", Ex: new("dear\nfriend"), Nickname: new("A")}}, nil, Counts{3, 1, 0}},
		{"a nickname of two lines", "userID,nickname\na,\"B\nb\"\nd,D\n", []models.UserChange{{UserID: "d", Nickname: new("D")}}, []refusal{of("a", lines(2, 3, 0, "nickname must not hold control characters (U+000A)"))}, Counts{4, 2, 1}},
		{"a row in a column that is left out", "userID,note\na,\"1\nb,2\"\nc,3\n", users("c"), []refusal{lines(2, 3, 2, heldRow(3, 2))}, Counts{4, 3, 2}},
		{"a text that is cut off", "userID,ex\na,1\nb,\"dear\nfriend", []models.UserChange{{UserID: "a", Ex: new("1")}}, []refusal{lines(3, 4, 2, notClosed(3))}, Counts{4, 3, 2}},
		{"a quote that opens behind a text", "userID,ex,nickname\na,\"1\n2\",\"B\nc,3,C\n", []models.UserChange{{UserID: "c", Ex: new("3"), Nickname: new("C")}}, []refusal{lines(2, 3, 2, notClosed(3))}, Counts{4, 3, 2}},
		{"a quote in the last line", "userID,ex\na,1\nb,\"", []models.UserChange{{UserID: "a", Ex: new("1")}}, []refusal{line(3, notClosed(3))}, Counts{3, 2, 1}},
		{"a text that its own quote breaks", "userID,ex\na,\"dear\nfriend\"s\nb,1\n", []models.UserChange{{UserID: "b", Ex: new("1")}}, []refusal{lines(2, 3, 2, badClose(2, 3))}, Counts{4, 3, 2}},
		{"empty rows and rows of empty cells", "userID,ex\n\na,1\n,\n\n", []models.UserChange{{UserID: "a", Ex: new("1")}}, []refusal{line(4, "userID must not be empty")}, Counts{5, 2, 1}},
		{"two files in one", "userID,ex\na,1\nuserID,ex\nb,2\n\ufeffuserID,ex\n\ufeffc,3\n", []models.UserChange{{UserID: "a", Ex: new("1")}, {UserID: "b", Ex: new("2")}},
			[]refusal{line(3, "is the header again: are these several files in one?"), line(5, "begins with a byte order mark (U+FEFF): are these several files in one?"), line(6, "begins with a byte order mark (U+FEFF): are these several files in one?")}, Counts{6, 5, 3}},
	} {
		got := readFile(strings.NewReader(tt.file), CSV, Options{IgnoreOther: true})
		if got.Err != nil || !reflect.DeepEqual(got.Users, tt.users) || !reflect.DeepEqual(got.Refused, tt.refused) || got.Counts != tt.counts {
			t.Errorf("%s: %v %+v\n%+v\n%+v", tt.name, got.Err, got.Counts, got.Users, got.Refused)
		}
	}
}

// A quoted text is never taken for rows, though whoever wrote it may have wished so.
func TestQuotedTextAddsNobody(t *testing.T) {
	t.Parallel()
	for _, file := range []string{
		"userID,nickname\na,\"x\nevil,1\ny\"\n", "userID,nickname\na,\"x\nevil,1\"\n", "userID,nickname,ex\na,\"x\nevil,1,2\nevil,1,2\"\n",
		"userID,nickname\na,\"x\n" + strings.Repeat("evil,1\n", 100_000) + "\"\n",
	} {
		if got := readAll(strings.NewReader(file), CSV); len(got.Users) != 0 || got.Counts.Rows != got.Counts.Refused || len(got.Refused) != 1 {
			t.Errorf("%.40q: %+v %+v", file, got.Users, got.Refused)
		}
	}
}

func TestColumns(t *testing.T) {
	t.Parallel()
	want := []models.UserChange{{UserID: "a", Nickname: new("A"), Timezone: new("UTC")}, {UserID: "b,c", Nickname: new("B"), Timezone: new("")}}
	for _, tt := range []struct {
		file    string
		options Options
	}{
		{"user_id,NICKNAME,time_zone\na,A,UTC\n\"b,c\",B,\n", Options{}},
		{"UserID , nick-name,\"Time Zone\"\na,A,UTC\n\"b,c\",B,\n", Options{}},
		{"USERID;Nickname;Timezone\na;A;UTC\nb,c;B;\n", Options{}},
		{"sep=;\r\nUSERID;Nickname;Timezone\r\na;A;UTC\r\nb,c;B;\r\n", Options{}},
		{"userID\tnickname\ttimezone\na\tA\tUTC\nb,c\tB\t\n", Options{}},
		{"userID;nickname;timezone;\na;A;UTC;\nb,c;B;;\n", Options{}},
		{"mail;id;Name, first;timezone;mail\nx;a;A;UTC;\n\xff;b,c;B;;\"y\"\n", Options{Map: Map{{"ID", "userID"}, {"Name, first", "nickname"}}, IgnoreOther: true}},
		{"userID,uuid,nickname,timezone\n1,a,A,UTC\n2,\"b,c\",B,\n", Options{Map: Map{{"uuid", "userID"}}, IgnoreOther: true}},
		{"userID,nickname,timezone\ra,A,UTC\r\"b,c\",B,", Options{}},
		{"\r\ruserID,nickname,timezone\ra,A,UTC\r\r\"b,c\",B,\r", Options{}},
		{utf16File(false, "userID,nickname,timezone\na,A,UTC\n\"b,c\",B,\n"), Options{}},
		{utf16File(true, "userID;nickname;timezone\r\na;A;UTC\r\nb,c;B;"), Options{}},
	} {
		if got := readFile(strings.NewReader(tt.file), CSV, tt.options); got.Err != nil || !reflect.DeepEqual(got.Users, want) || got.Refused != nil || got.Counts.Rows != 2 {
			t.Errorf("%q: %v %+v %+v", tt.file, got.Err, got.Users, got.Refused)
		}
	}
}

// utf16File is a text as UTF-16 with its byte order mark.
func utf16File(big bool, text string) string {
	var file bytes.Buffer
	for _, unit := range utf16.Encode([]rune("\ufeff" + text)) {
		if big {
			file.Write([]byte{byte(unit >> 8), byte(unit)})
		} else {
			file.Write([]byte{byte(unit), byte(unit >> 8)})
		}
	}
	return file.String()
}

func TestColumnsAreRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		file    string
		options Options
		field   string
		reason  string
	}{
		{"userID,user_id\n", Options{}, "userID", "must not be given twice"},
		{"id,uid\n", Options{Map: Map{{"id", "userID"}}}, "uid", "name it in map, or ignore other columns"},
		{"userID\n", Options{Map: Map{{"mail", "ex"}}}, "map", "mail is not a column of the file"},
		{"id,note\n", Options{IgnoreOther: true}, "userID", "must be there"},
		{"userID,n\xfcckname\n", Options{}, "nckname", "looks like Windows-1252"},
		{utf16File(false, "userID\n")[2:], Options{}, "file", "is UTF-16 without a byte order mark; save the file as UTF-8"},
		{utf16File(true, "userID\n")[2:], Options{}, "file", "is UTF-16 without a byte order mark; save the file as UTF-8"},
		{"\xff\xfe\x00\x00u\x00\x00\x00", Options{}, "file", "is UTF-32"},
		{"\u200buserID\n", Options{}, `\u200buserID`, "is not a column"},
	} {
		got := readFile(strings.NewReader(tt.file), CSV, tt.options)
		e := models.AsError(got.Err)
		if e.Code != models.CodeArgs || len(e.Fields) == 0 || e.Fields[0].Field != tt.field || !strings.Contains(e.Fields[0].Reason, tt.reason) || got.Counts.Rows != 0 {
			t.Errorf("%q: %+v", tt.file, e)
		}
	}
	for text, want := range map[string]string{"user_id": "must be like", "a=b": "b is not a column", "a=userID,b=user_id": "names userID twice", "=": "is not a column"} {
		if _, err := ParseMap(text); models.AsError(err).Code != models.CodeArgs || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if m, err := ParseMap("uid=userID,Name, first=nick_name", "a=b=ex"); err != nil || !reflect.DeepEqual(m, Map{{"uid", "userID"}, {"Name, first", "nickname"}, {"a=b", "ex"}}) {
		t.Errorf("%v %v", m, err)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	file := `{"uid":"a","Nickname":1,"userID":4,"ex":null}` + "\r" + `{"uid":1}` + "\r" + `{"uid":"b","uid":"b"}` + "\r" + `null`
	got := readFile(strings.NewReader(file), NDJSON, Options{Map: Map{{"uid", "userID"}}, IgnoreOther: true})
	want := []refusal{line(2, "userID must be a string"), line(3, "uid must not be given twice"), line(4, "must be a JSON object")}
	if got.Err != nil || !reflect.DeepEqual(got.Users, users("a")) || !reflect.DeepEqual(got.Refused, want) {
		t.Errorf("%+v", got)
	}
	got = readFile(strings.NewReader(`{"uid":"a","mail":""}`), NDJSON, Options{Map: Map{{"uid", "userID"}}})
	if want := []refusal{of("a", line(1, "mail is not a field of a user"))}; !reflect.DeepEqual(got.Refused, want) {
		t.Errorf("%+v", got)
	}
}
