package handlers

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"carillon/handlers/web"
	"carillon/models"
)

// jsonFields is a body under construction: field name to JSON value.
type jsonFields map[string]string

// but gives a copy with the changes; an empty value takes the field out.
func (f jsonFields) but(changes jsonFields) jsonFields {
	out := maps.Clone(f)
	for name, value := range changes {
		out[name] = value
		if value == "" {
			delete(out, name)
		}
	}
	return out
}

func (f jsonFields) body() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(f)) {
		fmt.Fprintf(&b, `,"%s":%s`, name, f[name])
	}
	return "{" + strings.TrimPrefix(b.String(), ",") + "}"
}

var (
	okMessage = jsonFields{"sendID": `"imAdmin"`, "content": `{"content":"hi"}`, "contentType": "101", "sessionType": "1"}
	okBatch   = okMessage.but(jsonFields{"recvIDs": `["u1"]`})
)

func asJSON(s string) string { return `"` + s + `"` }

func idList(n int) string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf(`"user%06d"`, i)
	}
	return "[" + strings.Join(ids, ",") + "]"
}

func pushInfo(field, value string) string { return `{"` + field + `":` + value + `}` }

// messageCases are the fields that both routes share, as changes to an accepted message, with the finding
// or "" when it is accepted. bind marks those that POST /msg/batch_send_msg answers with 400.
var messageCases = []struct {
	field, value, want string
	bind               bool
}{
	{"sendID", "", "sendID is required", true},
	{"sendID", "null", "sendID is required", true},
	{"sendID", `""`, "sendID is required", true},
	{"sendID", "1", "sendID must be a string", true},
	{"sendID", asJSON(strings.Repeat("a", 64)), "", false},
	{"sendID", asJSON(strings.Repeat("a", 65)), "sendID must be at most 64 bytes, has 65", false},
	{"sendID", asJSON(strings.Repeat("é", 33)), "sendID must be at most 64 bytes, has 66", false},
	{"sendID", `"a\tb"`, "sendID must not hold control characters (U+0009)", false},
	{"sendID", `"/ .. % é"`, "", false},
	{"senderNickname", "null", "", false},
	{"senderNickname", "1", "senderNickname must be a string", true},
	{"senderNickname", asJSON(strings.Repeat("é", 255)), "", false},
	{"senderNickname", asJSON(strings.Repeat("é", 256)), "senderNickname must be at most 255 characters, has 256", false},
	{"senderFaceURL", "null", "", false},
	{"senderFaceURL", "{}", "senderFaceURL must be a string", true},
	{"senderFaceURL", asJSON(strings.Repeat("a", 1024)), "", false},
	{"senderFaceURL", asJSON(strings.Repeat("a", 1025)), "senderFaceURL must be at most 1024 bytes, has 1025", false},
	{"senderPlatformID", "null", "", false},
	{"senderPlatformID", `"1"`, "senderPlatformID must be an integer", true},
	{"senderPlatformID", "1.5", "senderPlatformID must be an integer", true},
	{"senderPlatformID", "0", "", false},
	{"senderPlatformID", "10", "", false},
	{"senderPlatformID", "11", "senderPlatformID must be from 0, which is none, to 10", false},
	{"senderPlatformID", "-1", "senderPlatformID must be from 0, which is none, to 10", false},
	{"content", "", "content is required", true},
	{"content", "null", "content is required", true},
	{"content", `"hi"`, "content must be an object", true},
	{"content", "[]", "content must be an object", true},
	{"content", "0", "content must be an object", true},
	{"content", "{}", "content.content is required", false},
	{"content", `{"content":1}`, "content.content must be a string", false},
	{"content", `{"text":"hi"}`, `content.text must be JSON with a non-empty string named content, as in "{\"content\":\"hello\"}"`, false},
	{"content", `{"text":"{\"content\":\"a\\u0000\"}"}`, "content.text holds JSON whose content must not hold a NUL character", false},
	{"content", `{"text":"{\"content\":\"\\ud800\"}"}`, `content.text holds JSON whose content must not hold an \u escape that is no character`, false},
	{"content", `{"text":"{\"content\":\"a\",\"content\":\"b\"}"}`, "content.text holds JSON whose content must not be given twice", false},
	{"content", `{"text":"{\"content\":\"a\",\"b\":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}"}`, "content.text holds JSON whose b must not be nested deeper than 100 levels", false},
	{"content", `{"text":"{\"content\":\"a\"}","more":[1]}`, "", false},
	{"content", `{"content":"` + strings.Repeat("x", 65536-14) + `"}`, "", false},
	{"content", `{"content":"` + strings.Repeat("x", 65536-13) + `"}`, "content must be at most 65536 bytes of JSON, has 65537", false},
	{"content", `{"content":"` + strings.Repeat("x", 1<<20) + `"}`, "content must be at most 65536 bytes of JSON, has 1048590", false},
	{"content", `{"text":"{\"content\":\"` + strings.Repeat("x", 1<<20) + `\"}"}`, "content must be at most 65536 bytes of JSON, has 1048590", false},
	{"content", `{"content":"x","a":"` + "\x00" + `"}`, "content.a must not hold a NUL character", true},
	{"contentType", "", "contentType is required", true},
	{"contentType", "null", "contentType is required", true},
	{"contentType", "0", "contentType is required", true},
	{"contentType", `"101"`, "contentType must be an integer", true},
	{"contentType", "101.5", "contentType must be an integer", true},
	{"contentType", "1e400", "contentType must be an integer", true},
	{"contentType", "9223372036854775808", "contentType must be an integer of at most 64 bits", true},
	{"contentType", "107", "contentType must be one of 101, 102, 103, 104, 105, 106, 110, 114, 118, 1400", false},
	{"contentType", "1400", "sessionType must be 4 for contentType 1400; content.notificationName is required; content.notificationType is required; content.text is required", false},
	{"contentType", "118", "", false},
	{"sessionType", `"1"`, "sessionType must be an integer", true},
	{"sessionType", "true", "sessionType must be an integer", true},
	{"sessionType", "-1", "sessionType must be 1, 2, 3 or 4", false},
	{"sessionType", "5", "sessionType must be 1, 2, 3 or 4", false},
	{"sessionType", "4", "contentType must be 1400 for sessionType 4", false},
	{"isOnlineOnly", "null", "", false},
	{"isOnlineOnly", "true", "", false},
	{"isOnlineOnly", "1", "isOnlineOnly must be true or false", true},
	{"notOfflinePush", "null", "", false},
	{"notOfflinePush", `"true"`, "notOfflinePush must be true or false", true},
	{"offlinePushInfo", "null", "", false},
	{"offlinePushInfo", "{}", "", false},
	{"offlinePushInfo", `"x"`, "offlinePushInfo must be an object", true},
	{"offlinePushInfo", pushInfo("iOSBadgeCount", "1"), "offlinePushInfo.iOSBadgeCount must be true or false", true},
	{"offlinePushInfo", pushInfo("title", "1"), "offlinePushInfo.title must be a string", true},
	{"offlinePushInfo", pushInfo("title", "null"), "", false},
	{"offlinePushInfo", pushInfo("title", asJSON(strings.Repeat("a", 1024))), "", false},
	{"offlinePushInfo", pushInfo("title", asJSON(strings.Repeat("a", 1025))), "offlinePushInfo.title must be at most 1024 bytes, has 1025", false},
	{"offlinePushInfo", pushInfo("desc", asJSON(strings.Repeat("a", 1025))), "offlinePushInfo.desc must be at most 1024 bytes, has 1025", false},
	{"offlinePushInfo", pushInfo("ex", asJSON(strings.Repeat("a", 1025))), "offlinePushInfo.ex must be at most 1024 bytes, has 1025", false},
	{"offlinePushInfo", pushInfo("iOSPushSound", asJSON(strings.Repeat("a", 1025))), "offlinePushInfo.iOSPushSound must be at most 1024 bytes, has 1025", false},
	{"ex", "null", "", false},
	{"ex", "[]", "ex must be a string", true},
	{"ex", asJSON(strings.Repeat("a", 8192)), "", false},
	{"ex", asJSON(strings.Repeat("a", 8193)), "ex must be at most 8192 bytes, has 8193", false},
}

func TestMessageFields(t *testing.T) {
	for _, tt := range messageCases {
		name := fmt.Sprintf("%s=%.40s", tt.field, tt.value)
		changed := jsonFields{tt.field: tt.value}
		text, bind := refusedBy(t, parseBatchSend, okBatch.but(changed).body())
		if text != tt.want || bind != tt.bind {
			t.Errorf("batch_send_msg %s: got %q, bind %v; want %q, %v", name, text, bind, tt.want, tt.bind)
		}
		want := tt.want
		if want != "" {
			want = "message." + strings.ReplaceAll(want, "; ", "; message.")
		}
		text, bind = refusedBy(t, parseCampaign, okCampaign(okMessage.but(changed), jsonFields{}).body())
		if malformed := strings.Contains(tt.value, "\x00"); text != want || bind != malformed {
			t.Errorf("campaigns %s: got %q, bind %v; want %q", name, text, bind, want)
		}
	}
}

func okCampaign(message, changes jsonFields) jsonFields {
	return jsonFields{"message": message.body(), "audience": `{"userIDs":["u1"]}`}.but(changes)
}

// refusal is what a client can tell of an error: its text, and whether the body could not be bound.
func refusal(t *testing.T, err error) (text string, bind bool) {
	t.Helper()
	var e *models.Error
	switch {
	case err == nil:
		return "", false
	case !errors.As(err, &e):
		t.Fatalf("%T is no *models.Error", err)
	case e.Code == models.CodeArgs && len(e.Fields) == 0:
		t.Errorf("%q names no field", e)
	}
	return strings.TrimSuffix(e.Error(), ": [1001]ArgsError"), web.StatusOf(err, e, true) == http.StatusBadRequest
}

// refusedBy gives the refusal of a body, and holds both outcomes to what every caller relies on.
func refusedBy(t *testing.T, parse func([]byte) (models.CampaignSpec, error), body string) (string, bool) {
	t.Helper()
	spec, err := parse([]byte(body))
	if err != nil && !reflect.DeepEqual(spec, models.CampaignSpec{}) {
		t.Errorf("refused with a spec: %+v", spec)
	}
	return refusal(t, err)
}

func TestBatchFields(t *testing.T) {
	group := okMessage.but(jsonFields{"sessionType": "3", "groupID": `"g"`})
	note := okBatch.but(jsonFields{"contentType": "1400", "content": `{"notificationName":"n","notificationType":1,"text":"t"}`, "sessionType": "4"})
	for _, tt := range []struct {
		name string
		body jsonFields
		want string
		bind bool
	}{
		{"nothing", jsonFields{}, "sendID is required; content is required; contentType is required; sessionType is required", true},
		{"session absent", okBatch.but(jsonFields{"sessionType": ""}), "sessionType is required", true},
		{"session null", okBatch.but(jsonFields{"sessionType": "null"}), "sessionType is required", true},
		{"session 0", okBatch.but(jsonFields{"sessionType": "0"}), "sessionType is required", true},
		{"unknown field", okBatch.but(jsonFields{"clientMsgID": `"x"`, "offlinePushInfo": `{"signalInfo":1}`}), "", false},

		{"recvIDs absent", okMessage, "recvIDs must name at least one recipient unless isSendAll is true", false},
		{"recvIDs null", okMessage.but(jsonFields{"recvIDs": "null"}), "recvIDs must name at least one recipient unless isSendAll is true", false},
		{"recvIDs empty", okMessage.but(jsonFields{"recvIDs": "[]"}), "recvIDs must name at least one recipient unless isSendAll is true", false},
		{"recvIDs a string", okMessage.but(jsonFields{"recvIDs": `"u1"`}), "recvIDs must be an array", true},
		{"recvIDs with a number", okMessage.but(jsonFields{"recvIDs": `["u1",2]`}), "recvIDs.1 must be a string", true},
		{"recvIDs with an empty one", okMessage.but(jsonFields{"recvIDs": `["u1",""]`}), "recvIDs.1 must not be empty", false},
		{"recvIDs with null", okMessage.but(jsonFields{"recvIDs": `[null,"u1"]`}), "recvIDs.0 must not be empty", false},
		{"recvIDs with 65 bytes", okMessage.but(jsonFields{"recvIDs": `["u0","u1","u2","` + strings.Repeat("a", 65) + `"]`}), "recvIDs.3 must be at most 64 bytes, has 65", false},
		{"recvIDs with control", okMessage.but(jsonFields{"recvIDs": `["a\nb","c\u0085"]`}), "recvIDs.0 must not hold control characters (U+000A); recvIDs.1 must not hold control characters (U+0085)", false},
		{"recvIDs with invalid UTF-8", okMessage.but(jsonFields{"recvIDs": "[\"a\xff\"]"}), "recvIDs.0 must be valid UTF-8", true},
		{"recvIDs of any form", okMessage.but(jsonFields{"recvIDs": `["/","..","%2F","..%00","a b","Bob","bob","bób","\ud83d\ude00","` + strings.Repeat("x", 64) + `"]`}), "", false},
		{"100,000", okMessage.but(jsonFields{"recvIDs": idList(100_000)}), "", false},
		{"100,001", okMessage.but(jsonFields{"recvIDs": idList(100_001)}), "recvIDs must have at most 100000 entries, has 100001: [3004]TooLarge", false},
		{"100,001 repeats", okMessage.but(jsonFields{"recvIDs": `["a"` + strings.Repeat(`,"a"`, 100_000) + "]"}), "recvIDs must have at most 100000 entries, has 100001: [3004]TooLarge", false},

		{"isSendAll null", okBatch.but(jsonFields{"isSendAll": "null"}), "", false},
		{"isSendAll a string", okBatch.but(jsonFields{"isSendAll": `"true"`}), "isSendAll must be true or false", true},
		{"all, recvIDs absent", okMessage.but(jsonFields{"isSendAll": "true"}), "", false},
		{"all, recvIDs null", okMessage.but(jsonFields{"isSendAll": "true", "recvIDs": "null"}), "", false},
		{"all, recvIDs empty", okMessage.but(jsonFields{"isSendAll": "true", "recvIDs": "[]"}), "", false},
		{"all and recvIDs", okBatch.but(jsonFields{"isSendAll": "true"}), "isSendAll must not be true when recvIDs names recipients; recvIDs must be empty when isSendAll is true", false},
		{"all, type 2", okMessage.but(jsonFields{"isSendAll": "true", "sessionType": "2"}), "isSendAll must not be true for sessionType 2, which goes to a group; sessionType must be 1 or 4 when isSendAll is true", false},
		{"all, type 3 and a group", group.but(jsonFields{"isSendAll": "true"}), "isSendAll must not be true for sessionType 3, which goes to a group; sessionType must be 1 or 4 when isSendAll is true", false},
		{"all and a group", okMessage.but(jsonFields{"isSendAll": "true", "groupID": `"g"`}), "groupID must be empty for sessionType 1, which goes to users", false},

		{"group", group, "", false},
		{"group, type 2", group.but(jsonFields{"sessionType": "2"}), "", false},
		{"group, recvIDs empty", group.but(jsonFields{"recvIDs": "[]"}), "", false},
		{"group, recvIDs null", group.but(jsonFields{"recvIDs": "null"}), "", false},
		{"group and recvIDs", group.but(jsonFields{"recvIDs": `["u1"]`}), "recvIDs must be empty for sessionType 3, which goes to a group", false},
		{"group online only", group.but(jsonFields{"isOnlineOnly": "true"}), "", false},
		{"group absent", group.but(jsonFields{"groupID": ""}), "groupID is required for sessionType 3", false},
		{"group null", group.but(jsonFields{"groupID": "null", "sessionType": "2"}), "groupID is required for sessionType 2", false},
		{"group empty", group.but(jsonFields{"groupID": `""`}), "groupID is required for sessionType 3", false},
		{"group a number", group.but(jsonFields{"groupID": "7"}), "groupID must be a string", true},
		{"group too long", group.but(jsonFields{"groupID": asJSON(strings.Repeat("g", 65))}), "groupID must be at most 64 bytes, has 65", false},
		{"group for users", okBatch.but(jsonFields{"groupID": `"g"`}), "groupID must be empty for sessionType 1, which goes to users", false},

		{"notification", note, "", false},
		{"notification to all", note.but(jsonFields{"recvIDs": "", "isSendAll": "true"}), "", false},
		{"notification to none", note.but(jsonFields{"recvIDs": "[]"}), "recvIDs must name at least one recipient unless isSendAll is true", false},
		{"notification to a group", note.but(jsonFields{"recvIDs": "", "groupID": `"g"`}), "groupID must be empty for sessionType 4, which goes to users", false},

		{"sendTime null", okBatch.but(jsonFields{"sendTime": "null"}), "", false},
		{"sendTime 0", okBatch.but(jsonFields{"sendTime": "0"}), "", false},
		{"sendTime", okBatch.but(jsonFields{"sendTime": "1700000000000"}), "", false},
		{"sendTime negative", okBatch.but(jsonFields{"sendTime": "-1"}), "sendTime must be a stamp in milliseconds, from 0, which is none, to 253402300799999", false},
		{"sendTime beyond", okBatch.but(jsonFields{"sendTime": "253402300800000"}), "sendTime must be a stamp in milliseconds, from 0, which is none, to 253402300799999", false},
		{"sendTime a string", okBatch.but(jsonFields{"sendTime": `"1"`}), "sendTime must be an integer", true},
		{"several at once", okBatch.but(jsonFields{"ex": asJSON(strings.Repeat("e", 9000)), "sendTime": "-1", "recvIDs": `[""]`}), "ex must be at most 8192 bytes, has 9000; sendTime must be a stamp in milliseconds, from 0, which is none, to 253402300799999; recvIDs.0 must not be empty", false},
	} {
		text, bind := refusedBy(t, parseBatchSend, tt.body.body())
		if text != tt.want || bind != tt.bind {
			t.Errorf("%s: got %q, bind %v; want %q, %v", tt.name, text, bind, tt.want, tt.bind)
		}
	}
}

func TestCampaignFields(t *testing.T) {
	userIDs := func(n int) jsonFields { return jsonFields{"audience": `{"userIDs":` + idList(n) + `}`} }
	all := jsonFields{"audience": `{"all":true}`}
	toGroup := jsonFields{"audience": `{"groupID":"g"}`}
	noSession := okMessage.but(jsonFields{"sessionType": ""})
	one := "audience must have exactly one of all, userIDs and groupID"
	for _, tt := range []struct {
		name string
		body jsonFields
		want string
	}{
		{"nothing", jsonFields{}, "audience is required; message is required"},
		{"message null", okCampaign(okMessage, jsonFields{"message": "null"}), "message is required"},
		{"message a string", okCampaign(okMessage, jsonFields{"message": `"x"`}), "message must be an object"},
		{"message empty", okCampaign(jsonFields{}, jsonFields{}), "message.sendID is required; message.content is required; message.contentType is required"},
		{"unknown field", okCampaign(okMessage, jsonFields{"recvIDs": "[]"}), "recvIDs is not a field of this request"},
		{"unknown in message", okCampaign(okMessage.but(jsonFields{"sendTime": "1"}), jsonFields{}), "message.sendTime is not a field of this request"},
		{"recvIDs in message", okCampaign(okMessage.but(jsonFields{"recvIDs": `["u"]`}), jsonFields{}), "message.recvIDs is not a field of message; name the recipients in audience.userIDs"},
		{"groupID in message", okCampaign(okMessage.but(jsonFields{"groupID": `"g"`}), jsonFields{}), "message.groupID is not a field of message; name the group in audience.groupID"},
		{"isSendAll in message", okCampaign(okMessage.but(jsonFields{"isSendAll": "true"}), jsonFields{}), "message.isSendAll is not a field of message; for all users say audience.all"},
		{"unknown in audience", okCampaign(okMessage, jsonFields{"audience": `{"everyone":true}`}), "audience.everyone is not a field of this request"},
		{"unknown in push info", okCampaign(okMessage.but(jsonFields{"offlinePushInfo": `{"sound":"x"}`}), jsonFields{}), "message.offlinePushInfo.sound is not a field of this request"},
		{"unknown in content", okCampaign(okMessage.but(jsonFields{"content": `{"content":"x","more":1}`}), jsonFields{}), ""},
		{"sendAt", okCampaign(okMessage, jsonFields{"sendAt": `"2999-01-01T00:00:00Z"`}), ""},
		{"sendAt a number", okCampaign(okMessage, jsonFields{"sendAt": "1"}), "sendAt must be a string"},
		{"sendAt empty", okCampaign(okMessage, jsonFields{"sendAt": `""`}), "sendAt must be a time like 2026-01-31T09:00:00Z"},
		{"expireAt empty", okCampaign(okMessage, jsonFields{"expireAt": `""`}), ""},
		{"local time empty", okCampaign(okMessage, jsonFields{"localTime": "true", "sendAt": `""`}), "sendAt must, with localTime, be a date and clock like 2026-01-31T09:00:00"},
		{"sendAt is no time", okCampaign(okMessage, jsonFields{"sendAt": `"friday"`}), "sendAt must be a time like 2026-01-31T09:00:00Z"},
		{"sendAt is over", okCampaign(okMessage, jsonFields{"sendAt": `"2001-01-01T00:00:00Z"`}), "sendAt must not be in the past"},
		{"expireAt before sendAt", okCampaign(okMessage, jsonFields{"sendAt": `"2999-01-01T00:00:00Z"`, "expireAt": `"2998-01-01T00:00:00Z"`}), "expireAt must be after sendAt"},
		{"expireAfter", okCampaign(okMessage, jsonFields{"expireAfter": `"1h"`}), "expireAfter is for the campaign of a schedule; say expireAt"},
		{"local time", okCampaign(okMessage, jsonFields{"localTime": "true", "sendAt": `"2999-01-01T09:00:00"`, "missed": `"skip"`, "missedGrace": `"1h"`}), ""},
		{"local time with an offset", okCampaign(okMessage, jsonFields{"localTime": "true", "sendAt": `"2999-01-01T09:00:00+02:00"`}), ""},
		{"local time of when", okCampaign(okMessage, jsonFields{"localTime": "true"}), "sendAt is required with localTime: the date and clock at which each user gets it"},
		{"local time is no time", okCampaign(okMessage, jsonFields{"localTime": "true", "sendAt": `"nine"`}), "sendAt must, with localTime, be a date and clock like 2026-01-31T09:00:00"},
		{"local time is over", okCampaign(okMessage, jsonFields{"localTime": "true", "sendAt": `"2001-01-01T09:00:00"`}), "sendAt must not be past in every time zone"},
		{"local time of a group", okCampaign(okMessage.but(jsonFields{"sessionType": "3"}), toGroup).but(jsonFields{"localTime": "true", "sendAt": `"2999-01-01T09:00:00"`}),
			"localTime cannot be used with sessionType 3, whose one recipient is the group; use sessionType 2"},
		{"an end at night", okCampaign(okMessage, jsonFields{"localTime": "true", "sendAt": `"2999-01-01T23:00:00"`, "expireAt": `"2999-01-01T10:00:00Z"`, "quietHours": `{"from":"22:00","to":"08:00"}`}),
			"expireAt leaves nobody a moment outside quietHours"},
		{"late start", okCampaign(okMessage, jsonFields{"sendAt": `"2999-01-01T09:00:00Z"`, "missed": `"skip"`, "missedGrace": `"1h"`}), ""},
		{"late start, unknown", okCampaign(okMessage, jsonFields{"sendAt": `"2999-01-01T09:00:00Z"`, "missed": `"late"`}), "missed must be skip or once"},
		{"missed without a start", okCampaign(okMessage, jsonFields{"missed": `"skip"`, "missedGrace": `"1h"`}), "missed goes with sendAt; missedGrace goes with sendAt"},
		{"missed unknown", okCampaign(okMessage, jsonFields{"localTime": "true", "sendAt": `"2999-01-01T09:00:00"`, "missed": `"late"`, "missedGrace": `"soon"`}),
			"missed must be skip or once; missedGrace must be a duration like 10m, at most 168h0m0s"},
		{"quiet hours", okCampaign(okMessage, jsonFields{"quietHours": `{"from":"22:00","to":"08:00"}`}), ""},
		{"quiet hours unknown", okCampaign(okMessage, jsonFields{"quietHours": `{"start":"22:00"}`}), "quietHours.start is not a field of this request"},
		{"quiet hours wrong", okCampaign(okMessage, jsonFields{"quietHours": `{"from":"24:00","to":"8"}`}), "quietHours.from must be a time of day as HH:MM, 00:00 to 23:59; quietHours.to must be a time of day as HH:MM, 00:00 to 23:59"},
		{"quiet all day", okCampaign(okMessage, jsonFields{"quietHours": `{"from":"08:00","to":"08:00"}`}), "quietHours.to must not be when the quiet hours begin: they would be the whole day"},
		{"expireAt", okCampaign(okMessage, jsonFields{"expireAt": `"2999-01-31T09:00:00+02:00"`}), ""},
		{"expireAt is a number", okCampaign(okMessage, jsonFields{"expireAt": "1"}), "expireAt must be a string"},
		{"expireAt is no time", okCampaign(okMessage, jsonFields{"expireAt": `"tomorrow"`}), "expireAt must be a time like 2026-01-31T09:00:00Z"},
		{"expireAt is over", okCampaign(okMessage, jsonFields{"expireAt": `"2001-01-31T09:00:00Z"`}), "expireAt must be in the future"},
		{"delivery", okCampaign(okMessage, jsonFields{"delivery": `"atMostOnce"`}), ""},
		{"delivery unknown", okCampaign(okMessage, jsonFields{"delivery": `"exactlyOnce"`}), "delivery must be atLeastOnce or atMostOnce"},
		{"null is absent", okCampaign(okMessage, jsonFields{"sendAt": "null", "expireAt": "null", "delivery": "null", "name": "null", "channel": "null", "ratePerSecond": "null", "priority": "null"}), ""},

		{"name", okCampaign(okMessage, jsonFields{"name": asJSON(strings.Repeat("é", 255))}), ""},
		{"name too long", okCampaign(okMessage, jsonFields{"name": asJSON(strings.Repeat("é", 256))}), "name must be at most 255 characters, has 256"},
		{"name a number", okCampaign(okMessage, jsonFields{"name": "1"}), "name must be a string"},
		{"channel", okCampaign(okMessage, jsonFields{"channel": `"webhook"`}), ""},
		{"channel too long", okCampaign(okMessage, jsonFields{"channel": asJSON(strings.Repeat("c", 17))}), "channel must be at most 16 bytes, has 17"},
		{"rate", okCampaign(okMessage, jsonFields{"ratePerSecond": "1000000"}), ""},
		{"rate too high", okCampaign(okMessage, jsonFields{"ratePerSecond": "1000001"}), "ratePerSecond must be from 0, which is no limit, to 1000000"},
		{"rate negative", okCampaign(okMessage, jsonFields{"ratePerSecond": "-1"}), "ratePerSecond must be from 0, which is no limit, to 1000000"},
		{"rate a fraction", okCampaign(okMessage, jsonFields{"ratePerSecond": "0.5"}), "ratePerSecond must be an integer"},

		{"audience null", okCampaign(okMessage, jsonFields{"audience": "null"}), "audience is required"},
		{"audience a list", okCampaign(okMessage, jsonFields{"audience": `["u"]`}), "audience must be an object"},
		{"audience empty", okCampaign(okMessage, jsonFields{"audience": `{}`}), one},
		{"audience of nulls", okCampaign(okMessage, jsonFields{"audience": `{"all":null,"userIDs":null}`}), one},
		{"two keys", okCampaign(okMessage, jsonFields{"audience": `{"all":true,"userIDs":["u"]}`}), one},
		{"two keys, one saying nothing", okCampaign(okMessage, jsonFields{"audience": `{"all":false,"userIDs":["u"]}`}), one},
		{"one key and a null", okCampaign(okMessage, jsonFields{"audience": `{"all":null,"userIDs":["u"],"groupID":null}`}), ""},
		{"all false", okCampaign(okMessage, jsonFields{"audience": `{"all":false}`}), "audience.all must be true; a part of the users is named by userIDs or groupID"},
		{"all a number", okCampaign(okMessage, jsonFields{"audience": `{"all":1}`}), "audience.all must be true or false"},
		{"no users", okCampaign(okMessage, jsonFields{"audience": `{"userIDs":[]}`}), "audience.userIDs must name at least one recipient unless audience.all is true"},
		{"bad user", okCampaign(okMessage, jsonFields{"audience": `{"userIDs":["a","","b\u0001"]}`}), "audience.userIDs.1 must not be empty; audience.userIDs.2 must not hold control characters (U+0001)"},
		{"100,001 users", okCampaign(okMessage, userIDs(100_001)), "audience.userIDs must have at most 100000 entries, has 100001: [3004]TooLarge"},
		{"no group", okCampaign(okMessage, jsonFields{"audience": `{"groupID":""}`}), "audience.groupID must not be empty"},
		{"bad group", okCampaign(noSession, jsonFields{"audience": `{"groupID":"a\tb"}`}), "audience.groupID must not hold control characters (U+0009)"},
		{"all, type 3", okCampaign(okMessage.but(jsonFields{"sessionType": "3"}), all), "audience.all must not be true for message.sessionType 3, which goes to a group; message.sessionType must be 1 or 4 when audience.all is true"},
		{"users, type 2", okCampaign(okMessage.but(jsonFields{"sessionType": "2"}), jsonFields{}), "audience.userIDs must be empty for message.sessionType 2, which goes to a group; audience.groupID is required for message.sessionType 2"},
		{"group, type 1", okCampaign(okMessage, toGroup), "audience.groupID must be empty for message.sessionType 1, which goes to users"},
		{"group, type 2", okCampaign(okMessage.but(jsonFields{"sessionType": "2"}), toGroup), ""},

		{"priority unknown", okCampaign(okMessage, jsonFields{"priority": `"high"`}), "priority must be bulk or transactional"},
		{"priority a number", okCampaign(okMessage, jsonFields{"priority": "1"}), "priority must be a string"},
		{"transactional 1,000", okCampaign(okMessage, userIDs(1000).but(jsonFields{"priority": `"transactional"`})), ""},
		{"transactional 1,001", okCampaign(okMessage, userIDs(1001).but(jsonFields{"priority": `"transactional"`})), "priority must be bulk for more than 1000 recipients, has 1001"},
		{"transactional all", okCampaign(okMessage, all.but(jsonFields{"priority": `"transactional"`})), "priority must be bulk for all users"},
		{"transactional group", okCampaign(noSession, toGroup.but(jsonFields{"priority": `"transactional"`})), ""},
	} {
		if text, bind := refusedBy(t, parseCampaign, tt.body.body()); text != tt.want || bind {
			t.Errorf("%s: got %q, bind %v; want %q", tt.name, text, bind, tt.want)
		}
	}
	if text, bind := refusedBy(t, parseCampaign, `{"message":{`); text != "body ends in the middle of its JSON" || !bind {
		t.Errorf("half a body: %q, bind %v", text, bind)
	}
}

func TestAtMostTenFindings(t *testing.T) {
	_, err := parseBatchSend([]byte(okBatch.but(jsonFields{"recvIDs": `[""` + strings.Repeat(`,""`, 50_000) + "]"}).body()))
	var e *models.Error
	if !errors.As(err, &e) || len(e.Fields) != models.MaxFindings || e.Fields[9].Field != "recvIDs.9" || len(err.Error()) > 1000 {
		t.Errorf("%v", err)
	}
}
