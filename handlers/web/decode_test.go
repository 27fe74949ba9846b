package web

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"carillon/models"
)

type sample struct {
	Name  string         `json:"name"`
	N     int            `json:"n"`
	Stamp int64          `json:"stamp"`
	On    bool           `json:"on"`
	IDs   []string       `json:"ids"`
	Codes []int32        `json:"codes"`
	Subs  []sampleSub    `json:"subs"`
	Sub   *sampleSub     `json:"sub"`
	Raw   jsontext.Value `json:"raw"`
}

type sampleSub struct {
	Count int  `json:"count"`
	Badge bool `json:"badge"`
}

// refusal is what a client can tell of an error: its code, text and whether it was one of binding.
func refusal(t *testing.T, err error) (text string, bind bool) {
	t.Helper()
	if err == nil {
		return "", false
	}
	var e *models.Error
	if !errors.As(err, &e) {
		t.Fatalf("%T is no *models.Error", err)
	}
	if err.Error() != e.Error() {
		t.Errorf("text %q hides %q", err, e)
	}
	if e.Code == models.CodeArgs && len(e.Fields) == 0 {
		t.Errorf("%q names no field", e)
	}
	suffix := fmt.Sprintf(": [%d]%s", int(e.Code), e.Code)
	var fields []string
	for _, f := range e.Fields {
		fields = append(fields, f.Field+" "+f.Reason)
	}
	if detail := strings.Join(fields, "; "); detail+suffix != e.Error() {
		t.Errorf("fields %q do not say %q", detail, e)
	}
	return strings.TrimSuffix(e.Error(), ": [1001]ArgsError"), isBindError(err)
}

func TestDecodeMalformed(t *testing.T) {
	for _, tt := range []struct{ name, body, want string }{
		{"empty", "", "body must not be empty"},
		{"white space", " \r\n\t", "body must not be empty"},
		{"null", "null", "body must be a JSON object"},
		{"a list", "[1]", "body must be a JSON object"},
		{"a string", `"name"`, "body must be a JSON object"},
		{"a number", "1", "body must be a JSON object"},
		{"not JSON", "hello", "body is not valid JSON at byte 0"},
		{"a form", "name=x", "body is not valid JSON at byte 1"},
		{"byte order mark", "\ufeff{}", "body is not valid JSON at byte 0"},
		{"half a body", `{"name":"x","ids":["a","b`, "body ends in the middle of its JSON"},
		{"half a literal", `{"on":tr`, "body ends in the middle of its JSON"},
		{"only a brace", `{`, "body ends in the middle of its JSON"},
		{"after a colon", `{"name":`, "body ends in the middle of its JSON"},
		{"after a comma", `{"name":"x",`, "body ends in the middle of its JSON"},
		{"comma too many", `{"ids":["a",]}`, "ids is not valid JSON at byte 11"},
		{"comma missing", `{"name":"x" "n":1}`, "body is not valid JSON at byte 12"},
		{"single quotes", `{'name':1}`, "body is not valid JSON at byte 1"},
		{"comment", `{"n":/*1*/2}`, "n is not valid JSON at byte 5"},
		{"NaN", `{"n":NaN}`, "n is not valid JSON at byte 5"},
		{"leading zero", `{"n":01}`, "body is not valid JSON at byte 6"},
		{"key is a number", `{1:2}`, "body is not valid JSON at byte 1"},
		{"wrong bracket", `{"ids":["a"}`, "ids is not valid JSON at byte 11"},
		{"second object", `{"n":1}{"n":2}`, "body must end after its JSON object"},
		{"word behind", "{} x", "body must end after its JSON object"},
		{"NUL behind", "{}\x00", "body must end after its JSON object"},
		{"brace behind", "{}}", "body must end after its JSON object"},
		{"key twice", `{"name":"a","n":1,"name":"b"}`, "name must not be given twice"},
		{"key twice, once escaped", `{"name":"a","n\u0061me":"b"}`, "name must not be given twice"},
		{"key twice below", `{"sub":{"count":1,"count":1}}`, "sub.count must not be given twice"},
		{"key twice where nobody reads", `{"raw":{"a":[{"b":1,"b":2}]}}`, "raw.a.0.b must not be given twice"},
		{"key twice in an unknown field", `{"zzz":{"b":1,"b":2}}`, "zzz.b must not be given twice"},
		{"empty key twice", `{"raw":{"":1,"":2}}`, `raw."" must not be given twice`},
		{"NUL", `{"name":"a` + "\x00" + `b"}`, "name must not hold a NUL character"},
		{"NUL outside a string", "{\x00}", "body must not hold a NUL character"},
		{"NUL escaped", `{"name":"a\u0000b"}`, "name must not hold a NUL character"},
		{"NUL in a list", `{"ids":["a","\\\u0000"]}`, "ids.1 must not hold a NUL character"},
		{"NUL where nobody reads", `{"raw":{"a":[{"b":"\u0000"}]}}`, "raw.a.0.b must not hold a NUL character"},
		{"NUL in a key", `{"a\u0000b":1}`, "a\ufffdb must not hold a NUL character"},
		{"line feed in a string", "{\"name\":\"a\nb\"}", "name is not valid JSON at byte 10"},
		{"invalid UTF-8", "{\"name\":\"a\xffb\"}", "name must be valid UTF-8"},
		{"invalid UTF-8 in a list", "{\"ids\":[\"a\",\"\xc3\x28\"]}", "ids.1 must be valid UTF-8"},
		{"invalid UTF-8 where nobody reads", "{\"raw\":{\"a\":\"\xed\xa0\x80\"}}", "raw.a must be valid UTF-8"},
		{"UTF-16", "\xff\xfe{\x00}\x00", "body must be valid UTF-8"},
		{"lone surrogate", `{"name":"\ud800"}`, `name must not hold an \u escape that is no character`},
		{"lone low surrogate", `{"name":"a\udc00"}`, `name must not hold an \u escape that is no character`},
		{"surrogate and a letter", `{"name":"\ud800\u0061"}`, `name must not hold an \u escape that is no character`},
		{"lone surrogate where nobody reads", `{"raw":["\ud83d"]}`, `raw.0 must not hold an \u escape that is no character`},
		{"escape that is none", `{"name":"\u12g4"}`, `name must not hold an \u escape that is no character`},
		{"101 levels", nestedBody(101), "raw must not be nested deeper than 100 levels"},
		{"10,000 levels", nestedBody(10_000), "raw must not be nested deeper than 100 levels"},
		{"1,000,000 levels never closed", `{"raw":` + strings.Repeat("[", 1_000_000), "raw must not be nested deeper than 100 levels"},
		{"10,000 objects", strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000), "a must not be nested deeper than 100 levels"},
		{"10,000 lists", strings.Repeat("[", 10_000), "body must be a JSON object"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, unknown := range []UnknownFields{IgnoreUnknown, RefuseUnknown} {
				text, bind := refusal(t, Decode([]byte(tt.body), new(sample), unknown))
				if text != tt.want || !bind {
					t.Errorf("got %q, bind %v; want %q", text, bind, tt.want)
				}
			}
		})
	}
}

// nestedBody is a body of so many levels, its own object included.
func nestedBody(levels int) string {
	return `{"raw":` + strings.Repeat("[", levels-1) + strings.Repeat("]", levels-1) + "}"
}

func TestDecodeTypes(t *testing.T) {
	kinds := map[string]string{"string": `"1"`, "number": "1", "boolean": "true", "array": `["a"]`, "object": "{}"}
	for field, want := range map[string]struct{ own, reason string }{
		"name":  {"string", "must be a string"},
		"n":     {"number", "must be an integer"},
		"stamp": {"number", "must be an integer"},
		"on":    {"boolean", "must be true or false"},
		"ids":   {"array", "must be an array"},
		"sub":   {"object", "must be an object"},
	} {
		for kind, value := range kinds {
			text, bind := refusal(t, Decode(fmt.Appendf(nil, `{"%s":%s}`, field, value), new(sample), RefuseUnknown))
			switch {
			case kind == want.own && text != "":
				t.Errorf("%s refuses its own kind: %s", field, text)
			case kind != want.own && (text != field+" "+want.reason || bind):
				t.Errorf("%s given a %s: %q, bind %v", field, kind, text, bind)
			}
		}
		if text, _ := refusal(t, Decode(fmt.Appendf(nil, `{"%s":null}`, field), new(sample), RefuseUnknown)); text != "" {
			t.Errorf("%s refuses null: %s", field, text)
		}
	}
	for _, tt := range []struct{ body, want string }{
		{`{"n":1.5}`, "n must be an integer"},
		{`{"n":1.0}`, "n must be an integer"},
		{`{"n":1e2}`, "n must be an integer"},
		{`{"n":1e400}`, "n must be an integer"},
		{`{"n":9223372036854775807}`, ""},
		{`{"n":9223372036854775808}`, "n must be an integer of at most 64 bits"},
		{`{"stamp":-92233720368547758080}`, "stamp must be an integer of at most 64 bits"},
		{`{"n":-0}`, ""},
		{`{"ids":["a",1]}`, "ids.1 must be a string"},
		{`{"ids":["a",["b"]]}`, "ids.1 must be a string"},
		{`{"ids":{"0":"a"}}`, "ids must be an array"},
		{`{"ids":["a",null]}`, "ids.1 must not be null"},
		{`{"codes":[null]}`, "codes.0 must not be null"},
		{`{"subs":[{"count":1},null]}`, "subs.1 must not be null"},
		{`{"subs":[{"count":null}],"ids":["null"]}`, ""},
		{`{"raw":[null,{"a":[null]}]}`, ""},
		{`{"sub":{"count":"1"}}`, "sub.count must be an integer"},
		{`{"sub":{"badge":1}}`, "sub.badge must be true or false"},
		{`{"raw":1e400}`, ""},
		{"\t{ \"n\" : 1 }\r\n", ""},
		{nestedBody(100), ""},
		{`{"name":"\\u0000"}`, ""},
		{`{"name":"\ud83d\ude00"}`, ""},
		{`{"name":"\u007f\u0085"}`, ""},
	} {
		if text, bind := refusal(t, Decode([]byte(tt.body), new(sample), RefuseUnknown)); text != tt.want || bind {
			t.Errorf("%s: got %q, bind %v; want %q", tt.body, text, bind, tt.want)
		}
	}
}

// TestDecodeNullEntry: OpenIM's routes read a null in a list as OpenIM does.
func TestDecodeNullEntry(t *testing.T) {
	var got sample
	if err := Decode([]byte(`{"ids":[null,"a"]}`), &got, IgnoreUnknown); err != nil || !slices.Equal(got.IDs, []string{"", "a"}) {
		t.Errorf("%v, %q", err, got.IDs)
	}
}

func TestDecodeUnknownFields(t *testing.T) {
	reasons := UnknownFields{"sub.total": "is counted, not given"}
	for _, tt := range []struct{ body, want string }{
		{`{"nope":1}`, "nope is not a field of this request"},
		{`{"Name":"x"}`, "Name is not a field of this request"},
		{`{"sub":{"nope":null}}`, "sub.nope is not a field of this request"},
		{`{"sub":{"total":1}}`, "sub.total is counted, not given"},
		{`{"a/b~c":1}`, "a/b~c is not a field of this request"},
		{`{"` + strings.Repeat("é", 100) + `":1}`, strings.Repeat("é", 32) + "… is not a field of this request"},
		{`{"raw":{"any":1}}`, ""},
	} {
		text, bind := refusal(t, Decode([]byte(tt.body), new(sample), reasons))
		if text != tt.want || bind {
			t.Errorf("%s: got %q, bind %v; want %q", tt.body, text, bind, tt.want)
		}
		if err := Decode([]byte(tt.body), new(sample), IgnoreUnknown); err != nil {
			t.Errorf("%s: %v", tt.body, err)
		}
	}
}

func TestDecodeKeepsBodyAndValues(t *testing.T) {
	body := []byte(`{"name":"a\tb","n":-3,"stamp":1700000000000,"on":true,"ids":["x","x",""],"sub":{"count":2,"badge":true},"raw":{ "k": [1,2.50] }}`)
	before := slices.Clone(body)
	var s sample
	if err := Decode(body, &s, RefuseUnknown); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(body, before) {
		t.Error("the body was written to")
	}
	if s.Name != "a\tb" || s.N != -3 || s.Stamp != 1700000000000 || !s.On || !slices.Equal(s.IDs, []string{"x", "x", ""}) ||
		*s.Sub != (sampleSub{2, true}) || string(s.Raw) != `{ "k": [1,2.50] }` {
		t.Errorf("%+v", s)
	}
}

// A finding repeats neither the caller's values nor more than a little of its keys, and nothing of Go.
func TestFindingsAreShort(t *testing.T) {
	long := strings.Repeat("secret", 10_000)
	deep := strings.Repeat(`{"`+long[:100]+`":`, 90) + `{"b":1,"b":2}` + strings.Repeat("}", 90)
	for _, body := range []string{
		`{"n":"` + long + `"}`, `{"n":1` + strings.Repeat("0", 10_000) + `}`, `{"ids":"` + long + `"}`, `{"` + long + `":1}`,
		`{"` + long + `":{"b":1,"b":2}}`, `{"raw":` + deep + `}`, `{"name":"` + long + `\q"}`, `{"sub":[]}`,
	} {
		err := Decode([]byte(body), new(sample), RefuseUnknown)
		if err == nil || len(err.Error()) > 400 {
			t.Errorf("%.60s…: %v", body, err)
			continue
		}
		for _, word := range []string{"sample", "struct", "handlers", "jsontext", "unmarshal", "Go "} {
			if strings.Contains(err.Error(), word) {
				t.Errorf("%q says %q", err, word)
			}
		}
	}
}

func TestAsBindError(t *testing.T) {
	if AsBindError(nil) != nil {
		t.Error("no error became one")
	}
	cause := models.Errorf(models.CodeArgs, "x")
	err := AsBindError(AsBindError(cause))
	if !isBindError(err) || isBindError(cause) || models.AsError(err) != cause {
		t.Errorf("%#v", err)
	}
}
