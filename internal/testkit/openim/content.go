package openim

import (
	"encoding/json"
)

const (
	typeNotification = 1400
	maxAtUsers       = 1000
	maxMixType       = 5
)

// form is what a field of a content must be. All of them must be there and must not be zero.
type form int

const (
	text    form = iota // a string
	number              // a number
	picture             // an object with type, width, height and url
	list                // an array; it may be empty
)

// required are the fields of each contentType that the server takes.
var required = map[int]map[string]form{
	101: {"content": text},
	102: {"sourcePicture": picture, "bigPicture": picture, "snapshotPicture": picture},
	103: {"sourceUrl": text, "duration": number},
	104: {
		"videoUrl": text, "videoType": text, "videoSize": number, "duration": number,
		"snapshotUrl": text, "snapshotWidth": number, "snapshotHeight": number,
	},
	105:              {"sourceUrl": text, "fileName": text, "fileSize": number},
	106:              {"atUserList": list},
	110:              {"data": text},
	114:              {},
	118:              {"content": text},
	typeNotification: {"notificationName": text, "notificationType": number, "text": text},
}

var pictureFields = map[string]form{"type": text, "width": number, "height": number, "url": text}

// fits is the content check.
func (m *message) fits() answer {
	fields, ok := required[m.ContentType]
	if !ok {
		return refusal(codeArgs, "unsupported contentType %d", m.ContentType)
	}
	if (m.ContentType == typeNotification) != (m.SessionType == sessionNotification) {
		return refusal(codeArgs, "contentType 1400 and sessionType 4 go together")
	}
	var content map[string]json.RawMessage
	if json.Unmarshal(m.Content, &content) != nil {
		return decoding("content")
	}
	if a := hold(content, fields); a.code != 0 {
		return a
	}
	return m.within(content)
}

// within checks the bounds that are more than being there.
func (m *message) within(content map[string]json.RawMessage) answer {
	switch m.ContentType {
	case 103:
		if n, _ := value[float64](content["duration"]); n < 1 {
			return validation("duration")
		}
	case 106:
		if users, ok := value[[]string](content["atUserList"]); !ok {
			return decoding("atUserList")
		} else if len(users) > maxAtUsers {
			return validation("atUserList")
		}
	case typeNotification:
		if raw, there := content["mixType"]; there {
			if n, ok := value[float64](raw); !ok {
				return decoding("mixType")
			} else if n < 0 || n > maxMixType {
				return validation("mixType")
			}
		}
	}
	return answer{}
}

// hold checks that an object has its fields.
func hold(object map[string]json.RawMessage, fields map[string]form) answer {
	for name, f := range fields {
		raw, there := object[name]
		if !there || string(raw) == "null" {
			return validation(name)
		}
		if a := f.check(name, raw); a.code != 0 {
			return a
		}
	}
	return answer{}
}

func (f form) check(name string, raw json.RawMessage) answer {
	zero, ok := false, false
	switch f {
	case text:
		var s string
		s, ok = value[string](raw)
		zero = s == ""
	case number:
		var n float64
		n, ok = value[float64](raw)
		zero = n == 0
	case list:
		_, ok = value[[]json.RawMessage](raw)
	case picture:
		var object map[string]json.RawMessage
		if object, ok = value[map[string]json.RawMessage](raw); ok {
			return hold(object, pictureFields)
		}
	}
	switch {
	case !ok:
		return decoding(name)
	case zero:
		return validation(name)
	}
	return answer{}
}

func value[T any](raw json.RawMessage) (v T, ok bool) {
	ok = json.Unmarshal(raw, &v) == nil
	return v, ok
}

// validation and decoding are the two texts by which the server says that a content does not fit its type.
func validation(field string) answer {
	return refusal(codeServerInternal, "Field validation for '%s' failed on the 'required' tag", field)
}

func decoding(field string) answer {
	return refusal(codeServerInternal, "1 error(s) decoding: '%s' has another type", field)
}
