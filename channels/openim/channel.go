package openim

import (
	"context"
	"errors"
	"time"

	"carillon/channels"
	"carillon/channels/provider"
	"carillon/models"
)

// Name is the channel's name.
const Name = "openim"

// Channel sends by OpenIM's send_msg, one request for each recipient.
type Channel struct {
	*Client
	requests *provider.Client
	encoder  *encoder
}

var _ channels.Channel = (*Channel)(nil)

// New opens no connection. The channel shares the client's token.
func New(c *Client) (*Channel, error) {
	requests, _, err := provider.New(c.url, c.limit)
	if err != nil { // e.g. a host that is no name
		return nil, errURL
	}
	e, err := newEncoder(c.url)
	if err != nil {
		return nil, errURL
	}
	return &Channel{Client: c, requests: requests, encoder: e}, nil
}

// Traits:
//   - OpenIM decides who exists.
//   - OpenIM can be asked whether it has accepted a message.
//   - OpenIM takes a group's message once. It refuses sessionType 2.
func (*Channel) Traits() channels.Traits {
	return channels.Traits{Name: Name, MaxBatch: 1, GroupOnce: true, Asks: true, SyncsSender: true, SyncsUsers: true}
}

// Close drops the connections that are idle. The channel may still be used.
func (c *Channel) Close() {
	c.requests.Close()
	c.Client.Close()
}

// Send sends the message to each of b's recipients. A recipient who is MaybeSent is asked about first. A send without a
// clear answer is asked about at once.
func (c *Channel) Send(ctx context.Context, b channels.Batch) []channels.Outcome {
	n := len(b.Recipients)
	message, err := c.encoder.messages.Of(b)
	if err != nil {
		return channels.Same(n, channels.Outcome{Result: channels.Failed, ErrCode: models.CodeInternal, ErrMsg: "the campaign's message cannot be encoded"})
	}
	if b.MayStart != nil && !b.MayStart() {
		return channels.Same(n, channels.Outcome{Result: channels.NotTried})
	}
	begun := time.Now()
	if _, err := c.tokens.get(ctx); err != nil {
		if e := (*Error)(nil); errors.As(err, &e) && !e.at.IsZero() {
			begun = e.at // a failure that is remembered says nothing of now
		}
		out := channels.Same(n, tokenOutcome(err))
		if b.Answered != nil {
			b.Answered(0, out, time.Since(begun))
		}
		return out
	}
	s := &sending{
		Channel: c, ctx: ctx, batch: b, message: message, operation: operationPrefix(b.OperationID),
		out: make([]channels.Outcome, n), tries: make([]try, n),
	}
	c.requests.Send(ctx, n, b.MayStart, s.exchange, s.over)
	s.confirm()
	return s.out
}

// exchange is the next request for a recipient.
func (s *sending) exchange(i int) provider.Exchange {
	t := &s.tries[i]
	if t.step == 0 {
		*t = try{sending: s, to: &s.batch.Recipients[i], out: &s.out[i], step: send}
		if t.to.MaybeSent { // guard: openim-ask-first
			t.step = ask
		}
	}
	t.no, t.class, t.token = false, 0, s.tokens.current.Load()
	return t
}

// over ends a request for a recipient.
func (s *sending) over(i int, took time.Duration) (again bool) {
	t := &s.tries[i]
	if t.next(took) {
		return true
	}
	if !t.missing {
		s.tell(i)
	}
	return false
}

// tell tells the caller what became of a recipient.
func (s *sending) tell(i int) {
	if s.batch.Answered != nil {
		s.batch.Answered(i, s.out[i:i+1], s.tries[i].took)
	}
}

// tokenOutcome is the outcome of recipients for whom there is no token. Nothing was sent to them.
func tokenOutcome(err error) channels.Outcome {
	e := (*Error)(nil)
	if !errors.As(err, &e) { // the context's
		return channels.Outcome{Result: channels.Retry, ErrCode: models.CodeNetwork, ErrMsg: "stopped before the request was sent", Stopped: true}
	}
	o := channels.Outcome{Result: channels.Retry, ErrCode: e.Code, ErrMsg: e.Error()}
	if e.HTTP != 200 {
		o.HTTP = e.HTTP
	}
	if o.ErrCode == 0 {
		o.ErrCode = models.CodeCallback
	}
	switch e.Kind {
	case Network:
		o.ErrCode, o.Fault = models.CodeNetwork, channels.Away
	case Later:
		o.Fault, o.RetryAfter = channels.Away, e.RetryAfter
	case Foreign:
		o.Foreign = true
	case Secret, Admin, Token, Refused:
		o.Result, o.Campaign = channels.Failed, true
	}
	return o
}
