package openim

import (
	"context"
	"io"
	"time"

	"carillon/channels"
	"carillon/channels/provider"
	"carillon/models"
)

// step is which request for a recipient is under way.
type step int

const (
	// ask: before a send, whether an earlier one was accepted.
	ask step = iota + 1
	// send: the message.
	send
	// askAfter: whether the send that has just ended without a clear answer was accepted.
	askAfter
)

// sending is one Send.
type sending struct {
	*Channel
	ctx       context.Context
	batch     channels.Batch
	message   []byte // encoded, up to the recipient
	operation string // what begins all operationIDs
	out       []channels.Outcome
	tries     []try
}

// try is what is done for one recipient: at most ask, send and askAfter, and each of them once more when the token was
// refused.
type try struct {
	*sending
	to       *channels.Recipient
	out      *channels.Outcome
	step     step
	token    *token        // of the request
	renewals renewals      // of the token, for this recipient
	took     time.Duration // by the request that led to out

	// What came of the request.
	class   class
	came    channels.Outcome // for askAfter it does not matter
	no      bool             // there was no answer
	status  int              // of an ask
	missing bool             // account_check is to tell what OpenIM did not find
}

// Write writes the request.
func (t *try) Write(w io.Writer, _ time.Time, traceparent string) error {
	if t.step == send {
		return t.encoder.writeSend(w, t.message, t.to, t.operation, t.token.text, traceparent)
	}
	return t.encoder.writeCheck(w, t.to, t.operation, t.token.text, traceparent)
}

// Read reads the answer.
func (t *try) Read(a provider.Answer) {
	p := readReply(a)
	r := p.classify()
	t.class, t.status = r.class, p.status
	t.came = p.outcome(r, a.Header, t.secret)
}

// Answered ends a request by an answer.
func (t *try) Answered(provider.Answer) (good bool) { return t.class != later && t.class != foreign }

// Failed ends a request that has no answer.
func (t *try) Failed(o channels.Outcome) { t.no, t.came = true, o }

// next decides what comes after a request. false = nothing: out stands, unless missing is set.
func (t *try) next(took time.Duration) (again bool) {
	switch {
	case !t.no && t.renewals.left() && (t.class == kicked || t.class == badToken):
		return t.renew(took)
	case t.step == ask:
		return t.afterAsk(took)
	case t.step == send:
		return t.afterSend(took)
	}
	if t.saysSent() {
		t.settle(channels.Outcome{Result: channels.Sent}, took)
	}
	return false // else what the send has led to stands
}

// settle makes an outcome that of the recipient.
func (t *try) settle(o channels.Outcome, took time.Duration) { *t.out, t.took = o, took }

// saysSent is true when the answer to an ask says that the message was sent.
func (t *try) saysSent() bool { return !t.no && t.class == sent && t.status == sentStatus }

// renew gets a newer token for the same request.
func (t *try) renew(took time.Duration) (again bool) {
	_, err := t.renewals.renew(t.ctx, t.tokens, t.token)
	if err == nil {
		return true
	}
	if t.step != askAfter {
		t.settle(tokenOutcome(err), took)
	}
	return false
}

// afterAsk goes on to the send, unless the message was sent, or nobody can tell now.
func (t *try) afterAsk(took time.Duration) (again bool) {
	switch {
	case t.saysSent():
		t.settle(channels.Outcome{Result: channels.Sent}, took)
		return false
	case t.no, t.class == later, t.class == foreign && t.came.HTTP != noSuchRoute, t.class == kicked, t.class == badToken:
		// A question sends nothing: whether an earlier request was accepted is as open as before.
		o := t.came
		if o.Result == channels.Ambiguous {
			o.Result, o.Foreign = channels.Retry, t.class == foreign && !t.no
		}
		o.Unsure = false
		t.settle(o, took)
		return false
	case t.batch.AtMostOnce: // guard: openim-weak-no
		t.settle(channels.Outcome{Result: channels.Ambiguous, ErrCode: models.CodeNetwork, ErrMsg: mayBeSent}, took)
		return false
	}
	t.step = send
	return true
}

const (
	mayBeSent = "it may have been sent: an earlier request got no answer, and OpenIM does not say that it was accepted"

	noSuchRoute = 404 // an OpenIM that cannot be asked
)

// afterSend asks at once about a send without a clear answer.
func (t *try) afterSend(took time.Duration) (again bool) {
	t.missing = !t.no && t.class == missing
	t.settle(t.came, took)
	unclear := t.came.Result == channels.Ambiguous || t.came.Unsure && t.batch.AtMostOnce
	if !unclear || t.ctx.Err() != nil { // guard: openim-ask
		return false
	}
	t.step = askAfter
	return true
}
