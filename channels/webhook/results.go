package webhook

import (
	"bytes"
	"math"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"carillon/models"
)

// field is one of an entry's, and the set of those it had.
type field int

const (
	fieldRecvID field = 1 << iota
	fieldGroupID
	fieldStatus
	fieldErrCode
	fieldErrMsg
	fieldServerMsgID
	otherField field = 0
)

// fieldsSeen is which fields of an entry an object elsewhere in the answer has. One with both looks like an entry of results.
type fieldsSeen uint8

const (
	sawID fieldsSeen = 1 << iota
	sawStatus
)

func seenIn(name []byte) fieldsSeen {
	switch fieldOf(name) {
	case fieldRecvID, fieldGroupID:
		return sawID
	case fieldStatus:
		return sawStatus
	default:
		return 0
	}
}

// Read hands the answer to the JSON decoder, which holds what it has not yet returned. That must not be much.
func (r *answerReader) Read(p []byte) (int, error) {
	held := r.bytesRead - r.json.InputOffset()
	r.maxHeld = max(r.maxHeld, held)
	if held > maxTokenBytes {
		return 0, errLongText
	}
	n, err := r.in.Read(p)
	r.bytesRead += int64(n)
	return n, err
}

// object reads the answer's one JSON object and what stands behind it.
func (r *answerReader) object() error {
	r.bytesRead = 0
	r.json.Reset(r, r.options...)
	if _, err := r.json.ReadToken(); err != nil {
		return err
	}
	var had, listed, elsewhere bool
	var self fieldsSeen
	for r.json.PeekKind() != '}' {
		name, err := r.readText()
		switch {
		case err != nil:
			return err
		case !named(name, "results"):
			self |= seenIn(name)
			found, err := r.skipField()
			if err != nil {
				return err
			}
			elsewhere = elsewhere || found
			continue
		case had:
			return errTwice
		}
		had = true
		switch r.json.PeekKind() {
		case 'n':
			_, err = r.json.ReadToken()
		case '[':
			listed = true
			err = r.results()
		case jsontext.KindInvalid:
			_, err = r.json.ReadToken()
		default:
			err = errNoList
		}
		if err != nil {
			return err
		}
	}
	if _, err := r.json.ReadToken(); err != nil {
		return err
	}
	if !listed && (elsewhere || self == sawID|sawStatus) {
		return errElsewhere
	}
	var behind remark
	if !behind.accept(r.json.UnreadBuffer()) {
		return errBehind
	}
	return behind.read(r.in, errBehind)
}

// readText reads the next text, without its quotes. The bytes are valid until the next call.
func (r *answerReader) readText() ([]byte, error) {
	raw, err := r.json.ReadValue()
	if err != nil {
		return nil, err
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1], nil
	}
	r.value, _ = jsontext.AppendUnquote(r.value[:0], raw) // its error is about UTF-8, and is put right when it is kept
	return r.value, nil
}

// skipField reads past a field that is not results. It returns true when anything in it looks like results.
func (r *answerReader) skipField() (found bool, err error) {
	r.openObjects = r.openObjects[:0]
	for {
		switch r.json.PeekKind() {
		case '{', '[':
			_, err = r.json.ReadToken()
			r.openObjects = append(r.openObjects, 0)
		case '}', ']':
			if _, err = r.json.ReadToken(); err != nil { // it closes nothing
				return found, err
			}
			top := len(r.openObjects) - 1
			found = found || r.openObjects[top] == sawID|sawStatus
			r.openObjects = r.openObjects[:top]
		case '"':
			var text []byte
			text, err = r.readText()
			in, n := r.json.StackIndex(r.json.StackDepth())
			if isName := in == '{' && n%2 == 1; err == nil && isName && len(r.openObjects) > 0 {
				found = found || named(text, "results")
				r.openObjects[len(r.openObjects)-1] |= seenIn(text)
			}
		default:
			_, err = r.json.ReadToken()
		}
		if err != nil || len(r.openObjects) == 0 {
			return found, err
		}
	}
}

// results reads the list.
func (r *answerReader) results() error {
	if _, err := r.json.ReadToken(); err != nil {
		return err
	}
	l := &r.list
	unnamed := ambiguous(notNamed)
	for i := range l.out {
		l.out[i] = unnamed
	}
	for r.json.PeekKind() != ']' {
		if r.json.PeekKind() != '{' { // it names nobody
			if err := r.json.SkipValue(); err != nil {
				return err
			}
			continue
		}
		if err := r.readEntry(); err != nil {
			return err
		}
		l.recordEntry()
	}
	for i := range l.out {
		if l.numbered && l.out[i] == unnamed {
			l.out[i].ErrMsg = numberedID
		}
	}
	_, err := r.json.ReadToken()
	return err
}

func (r *answerReader) readEntry() error {
	if _, err := r.json.ReadToken(); err != nil {
		return err
	}
	e := &r.list.entry
	*e = entry{user: -1, group: -1, status: e.status[:0], errMsg: e.errMsg[:0], serverMsgID: e.serverMsgID[:0]}
	for r.json.PeekKind() != '}' {
		name, err := r.readText()
		if err != nil {
			return err
		}
		f := fieldOf(name)
		e.duplicated = e.duplicated || e.fields&f != 0
		e.fields |= f
		switch kind := r.json.PeekKind(); {
		case f != otherField && kind == '"':
			var text []byte
			if text, err = r.readText(); err == nil {
				r.list.set(f, text)
			}
		case f == fieldErrCode && kind == '0':
			var number jsontext.Value
			if number, err = r.json.ReadValue(); err == nil {
				e.errCode = codeOf(number)
			}
		case (f == fieldRecvID || f == fieldGroupID) && kind == '0':
			r.list.numbered = true
			err = r.json.SkipValue()
		default:
			err = r.json.SkipValue()
		}
		if err != nil {
			return err
		}
	}
	_, err := r.json.ReadToken()
	return err
}

// codeOf is a provider's own code, or 0 for what is none: the ledger's column is an INT.
func codeOf(number jsontext.Value) models.Code {
	n, err := strconv.ParseInt(string(number), 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt32 {
		return 0
	}
	return models.Code(n)
}

func named(name []byte, field string) bool {
	return string(name) == field || len(name) >= len(field) && strings.EqualFold(string(name), field)
}

// fieldOf knows a field by its name, in large or small letters.
func fieldOf(name []byte) field {
	switch string(name) {
	case "recvID":
		return fieldRecvID
	case "groupID":
		return fieldGroupID
	case "status":
		return fieldStatus
	case "errCode":
		return fieldErrCode
	case "errMsg":
		return fieldErrMsg
	case "serverMsgID":
		return fieldServerMsgID
	}
	for i, known := range [...]string{"recvID", "groupID", "status", "errCode", "errMsg", "serverMsgID"} {
		if strings.EqualFold(string(name), known) {
			return 1 << i
		}
	}
	return otherField
}
