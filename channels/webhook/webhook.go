// Package webhook is the channel that posts to the operator's own provider, signed per Standard Webhooks. docs/webhook.md
// is its contract.
package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"sync"
	"time"

	"carillon/channels"
	"carillon/channels/provider"
	"carillon/models"
)

// Name is the channel's name.
const Name = "webhook"

const (
	defaultTimeout = 5 * time.Second
	maxBatch       = 1000 // the largest page
)

var errURL = errors.New("webhook URL: must be an absolute http or https URL")

// Channel sends by POST. A Send of n recipients makes ceil(n/Batch) requests, several at once.
//
// It never repeats a request and follows no redirect: whether to try again is the caller's to decide, by the outcome.
// Package provider says how that is kept.
type Channel struct {
	batch   int
	path    string   // of its URL, which may hold a token
	secrets []string // that no text may show: its key, and what of its URL may be a token
	client  *provider.Client
	encoder *encoder
	readers sync.Pool // of *answerReader
}

var _ channels.Channel = (*Channel)(nil)

// New checks cfg and opens no connection. Its errors name the setting and quote neither URL (its
// query may hold a token) nor secret.
func New(cfg Config) (*Channel, error) {
	u, err := url.Parse(cfg.URL)
	switch {
	case err != nil, u.Host == "", u.Scheme != "http" && u.Scheme != "https":
		return nil, errURL
	case u.User != nil:
		return nil, errors.New("webhook URL: must not hold a user or password; the signature proves who is calling")
	}
	key, err := decodeSecret(cfg.Secret)
	if err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	if cfg.Batch < 1 || cfg.Batch > maxBatch {
		return nil, fmt.Errorf("webhook batch: must be 1 to %d recipients", maxBatch)
	}
	if cfg.Timeout < 0 || cfg.Timeout > channels.MaxTimeout {
		return nil, fmt.Errorf("webhook timeout: must be more than 0 and at most %s", channels.MaxTimeout)
	}
	client, head, err := provider.New(u, cfg.Timeout)
	if err != nil { // e.g. a host that is no name
		return nil, errURL
	}
	return &Channel{
		batch: cfg.Batch, path: u.EscapedPath(), secrets: secretsOf(u, cfg.Secret), client: client,
		encoder: newEncoder(head, key), readers: sync.Pool{New: func() any { return newAnswerReader() }},
	}, nil
}

// Traits: the provider decides who exists.
func (w *Channel) Traits() channels.Traits {
	return channels.Traits{Name: Name, MaxBatch: w.batch, GroupEach: true, GroupOnce: true}
}

// Close drops the connections that are idle. The channel may still be used.
func (w *Channel) Close() { w.client.Close() }

// Send posts the message to all of b's recipients and returns one outcome each, in order. Where a request got no whole
// answer, the outcomes are those of provider.Client.Send.
func (w *Channel) Send(ctx context.Context, b channels.Batch) []channels.Outcome {
	n := len(b.Recipients)
	message, err := w.encoder.messages.Of(b)
	if err != nil {
		return channels.Same(n, channels.Outcome{Result: channels.Failed, ErrCode: models.CodeInternal, ErrMsg: "the campaign's message cannot be encoded"})
	}
	out := make([]channels.Outcome, n)
	part := func(i int) (lo, hi int) { return i * w.batch, min((i+1)*w.batch, n) }
	w.client.Send(ctx, (n+w.batch-1)/w.batch, b.MayStart, func(i int) provider.Exchange {
		lo, hi := part(i)
		return &post{Channel: w, message: message, items: b.Recipients[lo:hi], out: out[lo:hi]}
	}, func(i int, took time.Duration) (again bool) {
		if b.Answered != nil {
			lo, hi := part(i)
			b.Answered(lo, out[lo:hi], took)
		}
		return false
	})
	return out
}

// post is one request.
type post struct {
	*Channel
	message    []byte
	items      []channels.Recipient
	out        []channels.Outcome // one for each of items
	errorWords string             // by an answer that is an error
}

// Write writes the request.
func (p *post) Write(w io.Writer, begun time.Time, traceparent string) error {
	return p.encoder.write(w, p.message, p.items, begun, traceparent)
}

// Read fills out from a 2xx, and errorWords from an error.
func (p *post) Read(a provider.Answer) {
	switch status := a.Status(); {
	case status >= 400 && status < 600:
		p.errorWords = p.errorText(a.Body(), a.Header("Content-Encoding"))
	case a.Good():
		r := p.readers.Get().(*answerReader)
		r.outcomes(a.Body(), a.Header("Content-Encoding"), p.items, p.out)
		if r.reset() {
			p.readers.Put(r)
		}
	}
}

// Answered fills out when the answer is no 2xx.
func (p *post) Answered(a provider.Answer) (good bool) {
	if a.Good() {
		return true
	}
	o := p.statusOutcome(a.Status(), a.Header)
	if p.errorWords != "" {
		o.ErrMsg += ": " + p.errorWords
	}
	p.Failed(o)
	return o.Result == channels.Failed
}

// Failed makes o the outcome of all recipients.
func (p *post) Failed(o channels.Outcome) {
	for i := range p.out {
		p.out[i] = o
	}
}
