package models

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const (
	aPicture     = `{"type":"png","width":640,"height":480,"url":"http://x/p.png"}`
	aPictureElem = `{"sourcePicture":` + aPicture + `,"bigPicture":` + aPicture + `,"snapshotPicture":` + aPicture + `}`
	aSoundElem   = `{"sourceUrl":"http://x/s.ogg","duration":1}`
	aVideoElem   = `{"videoUrl":"http://x/v.mp4","videoType":"mp4","videoSize":9,"duration":3,"snapshotUrl":"http://x/v.png","snapshotWidth":1,"snapshotHeight":1}`
	aFileElem    = `{"sourceUrl":"http://x/f.pdf","fileName":"f.pdf","fileSize":7}`
)

// smallest is, for each contentType, the smallest content that it takes.
var smallest = map[int]string{
	101:  `{"content":"hello"}`,
	102:  aPictureElem,
	103:  aSoundElem,
	104:  aVideoElem,
	105:  aFileElem,
	106:  `{"atUserList":[]}`,
	110:  `{"data":"{}"}`,
	114:  `{}`,
	118:  `{"content":"# hello"}`,
	1400: `{"notificationName":"n","notificationType":1,"text":"t"}`,
}

func sessionOf(contentType int) int {
	if contentType == ContentOANotification {
		return SessionNotification
	}
	return SessionSingle
}

// with gives the object doc with the value at the dotted path replaced; an empty value takes it out.
func with(t *testing.T, doc, path, value string) string {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(doc), &members); err != nil {
		t.Fatal(err)
	}
	name, rest, deeper := strings.Cut(path, ".")
	switch {
	case deeper:
		members[name] = json.RawMessage(with(t, string(members[name]), rest, value))
	case value == "":
		delete(members, name)
	default:
		members[name] = json.RawMessage(value)
	}
	out, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func findings(fields []FieldError) string {
	var texts []string
	for _, f := range fields {
		texts = append(texts, f.Field+" "+f.Reason)
	}
	return strings.Join(texts, "; ")
}

func TestSmallestContents(t *testing.T) {
	if got, want := slices.Sorted(maps.Keys(smallest)), slices.Sorted(maps.Keys(contentSpecs)); !slices.Equal(got, want) {
		t.Fatalf("tested %v, known %v", got, want)
	}
	for contentType, content := range smallest {
		normal, fields := CheckContent(contentType, sessionOf(contentType), json.RawMessage(content))
		if len(fields) > 0 || string(normal) != content {
			t.Errorf("%d: %s, findings %v", contentType, normal, fields)
		}
	}
}

// Every rule of the table is tried from outside: what is required is taken away and zeroed, and each field
// is given a value of every other type.
func TestEveryRule(t *testing.T) {
	for contentType, spec := range contentSpecs {
		content := smallest[contentType]
		if contentType == ContentOANotification {
			for name, elem := range map[string]string{"pictureElem": aPictureElem, "soundElem": aSoundElem, "videoElem": aVideoElem, "fileElem": aFileElem} {
				content = with(t, content, name, elem)
			}
		}
		tryRules(t, contentType, content, "", spec.fields)
	}
}

func tryRules(t *testing.T, contentType int, content, path string, rules []fieldRule) {
	expect := func(at, value, want string) {
		t.Helper()
		_, fields := CheckContent(contentType, sessionOf(contentType), json.RawMessage(with(t, content, at, value)))
		if got := findings(fields); got != want {
			t.Errorf("%d with %s = %q: got %q, want %q", contentType, at, value, got, want)
		}
	}
	says := func(at, reason string) string { return "content." + at + " " + reason }
	for _, r := range rules {
		at := path + r.name
		absent := ""
		if r.required {
			absent = says(at, "is required")
		}
		expect(at, "", absent)
		expect(at, "null", absent)
		var own, reason string
		switch r.kind {
		case kindString:
			own, reason = `"x"`, says(at, "must be a string")
			if r.required {
				expect(at, `""`, says(at, "must not be empty"))
			} else {
				expect(at, `""`, "")
			}
		case kindInteger:
			own, reason = `1`, says(at, "must be an integer")
			tryInteger(expect, at, r)
		case kindBoolean:
			own, reason = `true`, says(at, "must be true or false")
			expect(at, "false", "")
		case kindObject:
			own, reason = `{}`, says(at, "must be an object")
			if len(r.sub) > 0 {
				tryRules(t, contentType, content, at+".", r.sub)
			} else {
				expect(at, `{"any":[1]}`, "")
			}
		case kindArray:
			own, reason = `[]`, says(at, "must be an array")
			expect(at, "[]", "")
		}
		for _, other := range []string{`"x"`, `1`, `true`, `{}`, `[]`} {
			if other != own {
				expect(at, other, reason)
			}
		}
	}
}

func tryInteger(expect func(at, value, want string), at string, r fieldRule) {
	inRange := fmt.Sprintf("content.%s must be an integer from %d to %d", at, r.min, r.max)
	for _, value := range []string{"1.5", "1e400", "1e2", "1.0", `"1"`} {
		expect(at, value, "content."+at+" must be an integer")
	}
	for _, value := range []string{"92233720368547758080", "-92233720368547758080"} {
		expect(at, value, inRange)
	}
	expect(at, fmt.Sprint(r.min), "")
	expect(at, fmt.Sprint(r.max), "")
	if r.min != 1 {
		expect(at, fmt.Sprint(r.min-1), inRange)
	}
	if r.required {
		expect(at, "0", "content."+at+" must not be 0")
		expect(at, "-0", "content."+at+" must not be 0")
	}
}

func TestCheckContent(t *testing.T) {
	many := func(n int) string { return `["a"` + strings.Repeat(`,"a"`, n-1) + `]` }
	long := func(n int) string { return `{"content":"` + strings.Repeat("x", n-len(`{"content":""}`)) + `"}` }
	badText := `content.text must be JSON with a non-empty string named content, as in "{\"content\":\"hello\"}"`
	for _, tt := range []struct {
		name          string
		contentType   int
		sessionType   int
		content       string
		normal, wrong string
	}{
		{"contract's example", 101, 1, `{ "text": "{\"content\":\"hello world!\"}" }`, `{"content":"hello world!"}`, ""},
		{"white space inside", 101, 1, `{"text":" \n{ \"content\" : \"a b\" }\t"}`, `{"content":"a b"}`, ""},
		{"keys on both levels", 101, 1, `{"z":[1, 2],"text":"{\"b\":1,\"content\":\"x\"}","a":"<"}`, `{"b":1,"content":"x","a":"<","z":[1,2]}`, ""},
		{"a key on both levels", 101, 1, `{"a":1,"text":"{\"content\":\"x\",\"a\":2}"}`, "", "content.text must not name a key that also stands beside it"},
		{"empty content beside text", 101, 1, `{"content":"","text":"{\"content\":\"x\"}"}`, `{"content":"x"}`, ""},
		{"null content beside text", 101, 1, `{"content":null,"text":"{\"content\":\"x\"}"}`, `{"content":"x"}`, ""},
		{"text beside content is an extra key", 101, 1, `{"content":"x","text":5}`, `{"content":"x","text":5}`, ""},
		{"extra keys", 101, 1, `{"content":"x","n":1e400,"o":{"p":null}}`, `{"content":"x","n":1e400,"o":{"p":null}}`, ""},
		{"blank text", 101, 1, `{"content":" "}`, `{"content":" "}`, ""},
		{"inner text key", 101, 1, `{"text":"{\"content\":\"x\",\"text\":\"y\"}"}`, `{"content":"x","text":"y"}`, ""},
		{"text not JSON", 101, 1, `{"text":"hello"}`, "", badText},
		{"text empty", 101, 1, `{"text":""}`, "", badText},
		{"text null inside", 101, 1, `{"text":"null"}`, "", badText},
		{"text a list inside", 101, 1, `{"text":"[]"}`, "", badText},
		{"text without content", 101, 1, `{"text":"{}"}`, "", badText},
		{"text with empty content", 101, 1, `{"text":"{\"content\":\"\"}"}`, "", badText},
		{"text with a number", 101, 1, `{"text":"{\"content\":1}"}`, "", badText},
		{"text with more behind", 101, 1, `{"text":"{\"content\":\"x\"} 1"}`, "", badText},
		{"text a number", 101, 1, `{"text":1}`, "", "content.text must be a string"},
		{"text null", 101, 1, `{"text":null}`, "", "content.content is required"},
		{"nothing", 101, 1, `{}`, "", "content.content is required"},
		{"wrong case", 101, 1, `{"Content":"x"}`, "", "content.content is required"},
		{"largest", 101, 1, long(MaxContentBytes), long(MaxContentBytes), ""},
		{"too large", 101, 1, long(MaxContentBytes + 1), "", "content must be at most 65536 bytes of JSON, has 65537"},
		{"1 MB", 101, 1, long(1 << 20), "", "content must be at most 65536 bytes of JSON, has 1048576"},
		{"white space does not count", 101, 1, strings.Repeat(" ", MaxContentBytes) + `{"content":"x"}`, `{"content":"x"}`, ""},

		{"not JSON", 101, 1, `{"content":`, "", "content must be an object"},
		{"empty", 101, 1, ``, "", "content must be an object"},
		{"null", 101, 1, `null`, "", "content must be an object"},
		{"a list", 114, 1, `[]`, "", "content must be an object"},
		{"a string", 114, 1, `"x"`, "", "content must be an object"},

		{"1000 at users", 106, 2, `{"atUserList":` + many(1000) + `}`, `{"atUserList":` + many(1000) + `}`, ""},
		{"1001 at users", 106, 2, `{"atUserList":` + many(1001) + `}`, "", "content.atUserList must have at most 1000 entries, has 1001"},
		{"at user of wrong type", 106, 2, `{"atUserList":["a",1,null]}`, "", "content.atUserList.1 must be a string; content.atUserList.2 must be a string"},
		{"at users info", 106, 2, `{"atUserList":[],"atUsersInfo":[{"atUserID":"a","groupNickname":"b","more":1}]}`, `{"atUserList":[],"atUsersInfo":[{"atUserID":"a","groupNickname":"b","more":1}]}`, ""},
		{"at users info of wrong type", 106, 2, `{"atUserList":[],"atUsersInfo":[{"atUserID":1},2]}`, "", "content.atUsersInfo.0.atUserID must be a string; content.atUsersInfo.1 must be an object"},
		{"custom data not a string", 110, 1, `{"data":{"a":1}}`, "", "content.data must be a string"},
		{"custom data not JSON", 110, 1, `{"data":"not json"}`, `{"data":"not json"}`, ""},
		{"quote", 114, 1, `{"text":"a","quoteMessage":{"x":[]}}`, `{"text":"a","quoteMessage":{"x":[]}}`, ""},
		{"mixType", 1400, 4, `{"notificationName":"n","notificationType":-1,"text":"t","mixType":6}`, "", "content.mixType must be an integer from 0 to 5"},
		{"one picture too few", 102, 1, `{"sourcePicture":` + aPicture + `,"bigPicture":{}}`, "", "content.bigPicture.type is required; content.bigPicture.width is required; content.bigPicture.height is required; content.bigPicture.url is required; content.snapshotPicture is required"},

		{"unknown type", 107, 1, `{}`, "", "contentType must be one of 101, 102, 103, 104, 105, 106, 110, 114, 118, 1400"},
		{"negative type", -1, 1, `{}`, "", "contentType must be one of 101, 102, 103, 104, 105, 106, 110, 114, 118, 1400"},
		{"1400 to one", 1400, 1, smallest[1400], "", "sessionType must be 4 for contentType 1400"},
		{"1400 to a group", 1400, 3, smallest[1400], "", "sessionType must be 4 for contentType 1400"},
		{"text as notification", 101, 4, smallest[101], "", "contentType must be 1400 for sessionType 4"},
		{"session out of range is the caller's finding", 1400, 9, smallest[1400], smallest[1400], ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			normal, fields := CheckContent(tt.contentType, tt.sessionType, json.RawMessage(tt.content))
			if string(normal) != tt.normal || findings(fields) != tt.wrong {
				t.Errorf("got %.200s, findings %q\nwant %.200s, findings %q", normal, findings(fields), tt.normal, tt.wrong)
			}
		})
	}
}

func TestCheckContentStopsCounting(t *testing.T) {
	_, fields := CheckContent(106, 2, json.RawMessage(`{"atUserList":[`+strings.Repeat("1,", 500)+`1]}`))
	if len(fields) != MaxFindings {
		t.Errorf("%d findings, want %d", len(fields), MaxFindings)
	}
}

func TestDefaultPushTitle(t *testing.T) {
	for contentType, want := range map[int]string{101: "[TEXT]", 102: "[PICTURE]", 103: "[VOICE]", 104: "[VIDEO]", 105: "[File]", 106: "[@TEXT]", 110: "[NEWMSG]", 1400: "[NEWMSG]", 0: "[NEWMSG]"} {
		if got := DefaultPushTitle(contentType); got != want {
			t.Errorf("%d: %s, want %s", contentType, got, want)
		}
	}
}

func FuzzCheckContent(f *testing.F) {
	for contentType, content := range smallest {
		f.Add(contentType, sessionOf(contentType), []byte(content))
	}
	for _, content := range []string{
		`{"text":"{\"content\":\"hello\",\"k\":1}","z":"<\u2028>"}`, `{"text":"x"}`, `{"content":"a","content":"b"}`, `[[[[`, "{\"\xff\":1,\"text\":\"{\\\"content\\\":\\\"a\\\"}\"}", `{"text":"{\"content\":\"\\ud800\"}"}`,
	} {
		f.Add(101, 1, []byte(content))
	}
	f.Fuzz(func(t *testing.T, contentType, sessionType int, content []byte) {
		before := slices.Clone(content)
		normal, fields := CheckContent(contentType, sessionType, content)
		if !slices.Equal(before, content) {
			t.Fatal("the content was written to")
		}
		if (normal == nil) == (len(fields) == 0) || len(fields) > MaxFindings {
			t.Fatalf("normal %q with findings %v", normal, fields)
		}
		if normal == nil {
			return
		}
		var members map[string]any
		if len(normal) > MaxContentBytes || !json.Valid(normal) || normal[0] != '{' {
			t.Fatalf("not a stored content: %q", normal)
		}
		if json.Unmarshal(normal, &members) == nil && contentType == ContentText {
			if s, ok := members["content"].(string); !ok || s == "" {
				t.Fatalf("no text: %q", normal)
			}
		}
		again, fields := CheckContent(contentType, sessionType, normal)
		if len(fields) > 0 || !reflect.DeepEqual(again, normal) {
			t.Fatalf("%q became %q, findings %v", normal, again, fields)
		}
	})
}
