package models

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// The content types that code refers to. contentSpecs lists all of them.
const (
	ContentText           = 101
	ContentOANotification = 1400
)

// MaxContentBytes bounds a message's content, in bytes. The content stands in the campaign's row,
// is read with every page and goes out with every send. At a million recipients, each KiB more is a
// GiB more on the wire.
const MaxContentBytes = 64 << 10

// MaxFindings is how many refused fields one answer names. That is enough to mend a request. A list
// of 100,000 bad IDs does not make an answer as large as the list.
const MaxFindings = 10

// maxAtUsers is OpenIM's limit on atUserList.
const maxAtUsers = 1000

// fieldRule is the rule for one field of a content. A field that is absent or null is refused only
// if it is required. Fields without a rule are kept and forwarded unread.
type fieldRule struct {
	name     string
	kind     fieldKind
	required bool        // present, and not the zero value of its kind; an array may be empty
	min, max int64       // of an integer
	maxItems int         // of an array
	item     fieldKind   // of an array's entries
	sub      []fieldRule // of an object, or of each object in an array
}

type fieldKind int

const (
	kindString fieldKind = iota
	kindInteger
	kindBoolean
	kindObject
	kindArray
)

// contentSpec is the rule for one contentType: the default push title, as OpenIM has it, and its
// fields.
type contentSpec struct {
	pushTitle string
	fields    []fieldRule
}

var (
	picture = []fieldRule{
		needed(text("type")), needed(integer("width", 1, math.MaxInt32)), needed(integer("height", 1, math.MaxInt32)), needed(text("url")),
		text("uuid"), integer("size", 0, math.MaxInt64),
	}
	pictureElem = []fieldRule{
		needed(object("sourcePicture", picture...)), needed(object("bigPicture", picture...)), needed(object("snapshotPicture", picture...)),
		text("sourcePath"),
	}
	soundElem = []fieldRule{
		needed(text("sourceUrl")), needed(integer("duration", 1, math.MaxInt64)),
		text("uuid"), text("soundPath"), integer("dataSize", 0, math.MaxInt64),
	}
	videoElem = []fieldRule{
		needed(text("videoUrl")), needed(text("videoType")), needed(integer("videoSize", 1, math.MaxInt64)), needed(integer("duration", 1, math.MaxInt64)),
		needed(text("snapshotUrl")), needed(integer("snapshotWidth", 1, math.MaxInt32)), needed(integer("snapshotHeight", 1, math.MaxInt32)),
		text("videoPath"), text("videoUUID"), text("snapshotPath"), text("snapshotUUID"), integer("snapshotSize", 0, math.MaxInt64),
	}
	fileElem = []fieldRule{
		needed(text("sourceUrl")), needed(text("fileName")), needed(integer("fileSize", 1, math.MaxInt64)),
		text("filePath"), text("uuid"),
	}
)

// contentSpecs is the table "content per contentType" of the facts page.
var contentSpecs = map[int]contentSpec{
	ContentText: {"[TEXT]", []fieldRule{needed(text("content"))}},
	102:         {"[PICTURE]", pictureElem},
	103:         {"[VOICE]", soundElem},
	104:         {"[VIDEO]", videoElem},
	105:         {"[File]", fileElem},
	106: {"[@TEXT]", []fieldRule{
		needed(fieldRule{name: "atUserList", kind: kindArray, item: kindString, maxItems: maxAtUsers}),
		text("text"), {name: "isAtSelf", kind: kindBoolean}, object("quoteMessage"),
		{name: "atUsersInfo", kind: kindArray, item: kindObject, maxItems: maxAtUsers, sub: []fieldRule{text("atUserID"), text("groupNickname")}},
	}},
	110: {"[NEWMSG]", []fieldRule{needed(text("data")), text("description"), text("extension")}},
	114: {"[NEWMSG]", []fieldRule{text("text"), object("quoteMessage")}},
	118: {"[NEWMSG]", []fieldRule{needed(text("content"))}},
	ContentOANotification: {"[NEWMSG]", []fieldRule{
		needed(text("notificationName")), needed(integer("notificationType", math.MinInt32, math.MaxInt32)), needed(text("text")),
		integer("mixType", 0, 5), text("notificationFaceURL"), text("url"), text("ex"),
		object("pictureElem", pictureElem...), object("soundElem", soundElem...), object("videoElem", videoElem...), object("fileElem", fileElem...),
	}},
}

func text(name string) fieldRule { return fieldRule{name: name, kind: kindString} }

func integer(name string, low, high int64) fieldRule {
	return fieldRule{name: name, kind: kindInteger, min: low, max: high}
}

func object(name string, sub ...fieldRule) fieldRule {
	return fieldRule{name: name, kind: kindObject, sub: sub}
}

func needed(r fieldRule) fieldRule {
	r.required = true
	return r
}

// DefaultPushTitle is what the phone shows for a message without a push title of its own.
func DefaultPushTitle(contentType int) string {
	if spec, ok := contentSpecs[contentType]; ok {
		return spec.pushTitle
	}
	return "[NEWMSG]"
}

// CheckContent checks content against its contentType and sessionType. It returns the form in which
// the content is stored and sent: compact, and with a wrapped text {"text":"{\"content\":\"…\"}"}
// unwrapped.
//
// Findings are named from the message's root ("content.sourcePicture.width"). If there are any,
// normal is nil. Syntax is left to the decoder: duplicate keys and ill-formed characters pass
// unchanged.
func CheckContent(contentType, sessionType int, content json.RawMessage) (normal json.RawMessage, fields []FieldError) {
	spec, ok := contentSpecs[contentType]
	if !ok {
		known := strings.ReplaceAll(strings.Trim(fmt.Sprint(slices.Sorted(maps.Keys(contentSpecs))), "[]"), " ", ", ")
		return nil, []FieldError{{"contentType", "must be one of " + known}}
	}
	var c contentCheck
	switch {
	case sessionType == SessionNotification && contentType != ContentOANotification:
		c.add("contentType", "must be %d for sessionType %d", ContentOANotification, SessionNotification)
	case contentType == ContentOANotification && SessionSingle <= sessionType && sessionType <= SessionLargeGroup:
		c.add("sessionType", "must be %d for contentType %d", SessionNotification, ContentOANotification)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, content); err != nil || compact.Bytes()[0] != '{' {
		c.add("content", "must be an object")
		return nil, c.fields
	}
	normal = compact.Bytes()
	if contentType == ContentText {
		normal = c.unwrapText(normal)
	}
	if len(normal) > MaxContentBytes {
		c.add("content", "must be at most %d bytes of JSON, has %d", MaxContentBytes, len(normal))
		return nil, c.fields // there is no rule for its fields
	}
	if normal != nil {
		c.object("content", normal, spec.fields)
	}
	if len(c.fields) > 0 {
		return nil, c.fields
	}
	return normal, nil
}

// contentCheck collects what is wrong with one content.
type contentCheck struct{ fields []FieldError }

func (c *contentCheck) add(field, format string, args ...any) {
	if len(c.fields) < MaxFindings {
		c.fields = append(c.fields, FieldError{field, fmt.Sprintf(format, args...)})
	}
}

// unwrapText turns the contract's {"text":"{\"content\":\"…\"}"} into {"content":"…"}. A text that
// is not wrapped comes back unchanged. Keys on both levels are kept; a key that stands on both
// would lose a value, and is refused. The inner bytes are copied as they are, so unwrapping does
// not make a content longer.
func (c *contentCheck) unwrapText(content json.RawMessage) json.RawMessage {
	var outer map[string]json.RawMessage
	_ = json.Unmarshal(content, &outer) // Compact has accepted it as an object
	wrapped, ok := outer["text"]
	if direct := string(outer["content"]); !ok || string(wrapped) == "null" || direct != "" && direct != "null" && direct != `""` {
		return content
	}
	var s string
	if json.Unmarshal(wrapped, &s) != nil {
		c.add("content.text", "must be a string")
		return nil
	}
	var compact bytes.Buffer
	var inner map[string]json.RawMessage
	var words string
	if json.Compact(&compact, []byte(s)) != nil || json.Unmarshal([]byte(s), &inner) != nil || json.Unmarshal(inner["content"], &words) != nil || words == "" {
		c.add("content.text", `must be JSON with a non-empty string named content, as in "{\"content\":\"hello\"}"`)
		return nil
	}
	delete(outer, "text")
	delete(outer, "content")
	compact.Truncate(compact.Len() - 1) // open again for the keys beside it
	for _, key := range slices.Sorted(maps.Keys(outer)) {
		if _, both := inner[key]; both {
			c.add("content.text", "must not name a key that also stands beside it")
			return nil
		}
		name, _ := JSON(key) // a string always has a JSON form
		fmt.Fprintf(&compact, ",%s:%s", name, outer[key])
	}
	compact.WriteByte('}')
	return compact.Bytes()
}

// object checks the fields of the object raw, which stands at path.
func (c *contentCheck) object(path string, raw json.RawMessage, rules []fieldRule) {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		c.add(path, "must be an object")
		return
	}
	for _, r := range rules {
		at := path + "." + r.name
		value, ok := members[r.name]
		switch {
		case ok && string(value) != "null":
			c.value(at, value, r)
		case r.required:
			c.add(at, "is required")
		}
	}
}

// value checks one value against its rule. Only an entry of an array may be null here.
func (c *contentCheck) value(path string, raw json.RawMessage, r fieldRule) {
	first := raw[0]
	switch r.kind {
	case kindString:
		if first != '"' {
			c.add(path, "must be a string")
		} else if r.required && len(raw) == len(`""`) {
			c.add(path, "must not be empty")
		}
	case kindInteger:
		c.integer(path, raw, r)
	case kindBoolean:
		if first != 't' && first != 'f' {
			c.add(path, "must be true or false")
		}
	case kindObject:
		if first != '{' {
			c.add(path, "must be an object")
		} else if len(r.sub) > 0 {
			c.object(path, raw, r.sub)
		}
	case kindArray:
		c.array(path, raw, r)
	}
}

func (c *contentCheck) integer(path string, raw json.RawMessage, r fieldRule) {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	switch {
	case err != nil && !isInteger(raw):
		c.add(path, "must be an integer")
	case err == nil && n == 0 && r.required:
		c.add(path, "must not be 0")
	case err != nil || n < r.min || n > r.max:
		c.add(path, "must be an integer from %d to %d", r.min, r.max)
	}
}

// isInteger reports whether a number is an integer, even one too large for an int64.
func isInteger(raw []byte) bool {
	return len(bytes.Trim(raw, "-0123456789")) == 0
}

func (c *contentCheck) array(path string, raw json.RawMessage, r fieldRule) {
	var items []json.RawMessage
	if raw[0] != '[' || json.Unmarshal(raw, &items) != nil {
		c.add(path, "must be an array")
		return
	}
	if len(items) > r.maxItems {
		c.add(path, "must have at most %d entries, has %d", r.maxItems, len(items))
		return
	}
	for i, item := range items {
		c.value(path+"."+strconv.Itoa(i), item, fieldRule{kind: r.item, sub: r.sub})
	}
}
