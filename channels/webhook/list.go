package webhook

import (
	"fmt"

	"carillon/channels"
	"carillon/channels/provider"
	"carillon/models"
)

const (
	maxErrMsgBytes      = 4 * models.MaxTextChars
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
	if said := provider.CleanText(string(e.errMsg), models.MaxTextChars); said != "" {
		o.ErrMsg = said
	}
	return o
}
