package webhook

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"carillon/channels"
	"carillon/channels/provider"
	"carillon/models"
)

const (
	maxErrMsgChars      = 255
	maxErrMsgBytes      = 4 * maxErrMsgChars
	maxServerMsgIDBytes = 64
	maxStatusChars      = 32 // of an unknown status, where it is shown
)

const (
	notNamed   = "the provider's results do not name this recipient"
	numberedID = notNamed + "; they have an ID that is a number, and IDs are texts"
	contradict = "the provider's results contradict each other about this recipient"
	noStatus   = "the provider's result for this recipient has no known status"
	saidTwice  = "the provider's result for this recipient has a field twice"
)

// list is what results say of the recipients that were asked for.
type list struct {
	items []channels.Recipient
	out   []channels.Outcome
	next  int                  // the item that comes next when results are in order
	index map[recipientKey]int // of items; empty until results are not in order
	entry entry                // the one being read

	numbered bool // an ID was a number
}

type recipientKey struct{ user, group string }

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

// entry is one of the results. Its texts are reused for the next one.
type entry struct {
	fields      field
	duplicated  bool
	user, group int // places in items; -1 = nobody that was asked for
	status      []byte
	errCode     models.Code
	errMsg      []byte
	serverMsgID []byte
}

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

func (l *list) reset(items []channels.Recipient, out []channels.Outcome) {
	l.items, l.out, l.next, l.numbered = items, out, 0, false
	clear(l.index)
}

// set takes one of the entry's texts.
func (l *list) set(f field, text []byte) {
	e := &l.entry
	switch f {
	case fieldRecvID:
		e.user = l.find(text, false)
	case fieldGroupID:
		e.group = l.find(text, true)
	case fieldStatus:
		e.status = append(e.status, text[:min(len(text), 4*maxStatusChars)]...)
	case fieldErrMsg:
		e.errMsg = append(e.errMsg, text[:min(len(text), maxErrMsgBytes)]...)
	case fieldServerMsgID:
		if len(text) <= maxServerMsgIDBytes {
			e.serverMsgID = append(e.serverMsgID, text...)
		}
	case fieldErrCode, otherField: // which are no texts of the entry
	}
}

// find is the place of the item with that ID, or -1.
func (l *list) find(id []byte, group bool) int {
	if len(id) == 0 {
		return -1
	}
	if l.next < len(l.items) {
		it := &l.items[l.next]
		if !group && it.GroupID == "" && it.UserID == string(id) || group && it.UserID == "" && it.GroupID == string(id) {
			l.next++
			return l.next - 1
		}
	}
	if len(l.index) == 0 {
		if l.index == nil {
			l.index = make(map[recipientKey]int, len(l.items))
		}
		for i, it := range l.items {
			l.index[recipientKey{it.UserID, it.GroupID}] = i
		}
	}
	key := recipientKey{user: string(id)}
	if group {
		key = recipientKey{group: string(id)}
	}
	if i, ok := l.index[key]; ok {
		l.next = i + 1
		return i
	}
	return -1
}

// recordEntry writes the outcome of the entry for the recipients that it names.
func (l *list) recordEntry() {
	e := &l.entry
	for _, i := range [...]int{e.user, e.group} {
		if i < 0 {
			continue
		}
		o := e.outcome()
		if had := l.out[i]; had.Result != o.Result && had != ambiguous(notNamed) {
			o = ambiguous(contradict)
		}
		l.out[i] = o
	}
}

func (e *entry) outcome() channels.Outcome {
	if e.duplicated {
		return ambiguous(saidTwice)
	}
	switch string(e.status) {
	case "sent":
		return channels.Outcome{Result: channels.Sent, ServerMsgID: provider.CleanID(e.serverMsgID)}
	case "failed":
		return e.refusal(channels.Failed, "the provider refused this recipient")
	case "retry":
		return e.refusal(channels.Retry, "the provider asked to try this recipient again")
	}
	if word := provider.CleanText(string(e.status), maxStatusChars); word != "" {
		return ambiguous(fmt.Sprintf("%s: %q is none of sent, failed and retry", noStatus, word))
	}
	return ambiguous(noStatus)
}

func (e *entry) refusal(result channels.Result, text string) channels.Outcome {
	o := channels.Outcome{Result: result, ErrCode: models.CodeCallback, ErrMsg: text}
	if e.errCode != 0 {
		o.ErrCode = e.errCode
	}
	if said := provider.CleanText(string(e.errMsg), maxErrMsgChars); said != "" {
		o.ErrMsg = said
	}
	return o
}
