package channels

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"sync"
	"syscall"
	"time"

	"carillon/models"
)

const (
	defaultWebhookTimeout = 5 * time.Second
	MaxWebhookTimeout     = 8 * time.Second // a request lives under its page's lease of 10 s, with room to write its outcome
	maxWebhookBatch       = 1000            // the largest page

	// maxSend: a Send begins no request later than this after its own beginning. So the outcomes of a chunk are
	// written before its page looks stuck, which is after a minute.
	maxSend = 30 * time.Second
)

var errWebhookURL = errors.New("webhook URL: must be an absolute http or https URL")

// WebhookConfig says where the webhook channel sends and how.
type WebhookConfig struct {
	URL     string        // http or https, without user and password
	Secret  string        // "whsec_" + base64 of >= 24 bytes; signs every request
	Batch   int           // recipients a request, 1 to 1000; 0 = 1
	Timeout time.Duration // of one request, from waiting for a connection to the answer's last byte; 0 = 5 s, at most 8 s
}

// Webhook sends by POST to the operator's own provider, signed per Standard Webhooks. A Send of n recipients
// makes ceil(n/Batch) requests, several at once.
//
// It never repeats a request and follows no redirect: whether to try again is the caller's to decide, by the
// outcome. It speaks HTTP/1.1 only: with one request on a connection at a time, the bytes written to the
// connection tell for certain whether any of this request left. It uses no proxy, whatever the environment says: a
// proxy would see users' IDs and texts, and its own errors would pass for the provider's answers.
type Webhook struct {
	batch     int
	timeout   time.Duration
	path      string   // of its URL, which may hold a token
	secrets   []string // that no text may show: its key, and what of its URL may be a token
	transport *transport
	limiter   *limiter
	encoder   *encoder
	readers   sync.Pool // of *answerReader
}

var _ Channel = (*Webhook)(nil)

// NewWebhook checks cfg and opens no connection. Its errors name the setting and quote neither URL (its
// query may hold a token) nor secret.
func NewWebhook(cfg WebhookConfig) (*Webhook, error) {
	u, err := url.Parse(cfg.URL)
	switch {
	case err != nil, u.Host == "", u.Scheme != "http" && u.Scheme != "https":
		return nil, errWebhookURL
	case u.User != nil:
		return nil, errors.New("webhook URL: must not hold a user or password; the signature proves who is calling")
	}
	key, err := decodeSecret(cfg.Secret)
	if err != nil {
		return nil, err
	}
	t, head, err := newTransport(u)
	if err != nil { // e.g. a host that is no name
		return nil, errWebhookURL
	}
	if cfg.Batch == 0 {
		cfg.Batch = 1
	}
	if cfg.Batch < 1 || cfg.Batch > maxWebhookBatch {
		return nil, fmt.Errorf("webhook batch: must be 1 to %d recipients", maxWebhookBatch)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultWebhookTimeout
	}
	if cfg.Timeout < 0 || cfg.Timeout > MaxWebhookTimeout {
		return nil, fmt.Errorf("webhook timeout: must be more than 0 and at most %s", MaxWebhookTimeout)
	}
	return &Webhook{
		batch: cfg.Batch, timeout: cfg.Timeout, path: u.EscapedPath(), secrets: secretsOf(u, cfg.Secret), transport: t, limiter: newLimiter(),
		encoder: newEncoder(head, key), readers: sync.Pool{New: func() any { return newAnswerReader() }},
	}, nil
}

// Name is "webhook".
func (w *Webhook) Name() string { return models.ChannelWebhook }

// MaxBatch is the number of recipients a request carries.
func (w *Webhook) MaxBatch() int { return w.batch }

// KnowsUsers is false: the provider decides who exists.
func (w *Webhook) KnowsUsers() bool { return false }

// Close drops the connections that are idle. The channel may still be used.
func (w *Webhook) Close() { w.transport.closeIdle() }

// Send posts the message to all of b's recipients and returns one outcome each, in order. When ctx ends,
// requests not begun are Retry and those under way Ambiguous, unless nothing of them was written. b.MayStart is
// asked before each request, and once more if the request then waited long for its connection. A Send begins no
// request later than 30 s after its own beginning; the rest is NotTried.
func (w *Webhook) Send(ctx context.Context, b Batch) []Outcome {
	n := len(b.Recipients)
	message, err := w.encoder.message(b)
	if err != nil {
		return Same(n, Outcome{Result: Failed, ErrCode: models.CodeInternal, ErrMsg: "the campaign's message cannot be encoded"})
	}
	out := make([]Outcome, n)
	requests := (n + w.batch - 1) / w.batch
	f := newFlight(ctx, requests, b.MayStart)
	defer f.close()
	waits, cancel := context.WithTimeout(ctx, maxSend)
	defer cancel()
	w.limiter.forEach(waits, requests, func(i int, placed bool) (tried, good bool, took time.Duration) {
		lo, hi := i*w.batch, min((i+1)*w.batch, n)
		p := post{Webhook: w, flight: f, no: i, message: message, items: b.Recipients[lo:hi], out: out[lo:hi]}
		tried, good, took = p.run(placed)
		if b.Answered != nil {
			b.Answered(lo, out[lo:hi], took)
		}
		return tried, good, took
	})
	return out
}

// post is one request.
type post struct {
	*Webhook
	*flight
	no         int
	message    []byte
	items      []Recipient
	out        []Outcome // one for each of items
	errorWords string    // by an answer that is an error
}

// run makes the request and fills out. placed says whether it has a place in flight. tried is false when no request was
// begun.
func (p *post) run(placed bool) (tried, good bool, took time.Duration) {
	switch {
	case !p.mayStart(), !placed && p.ctx.Err() == nil:
		p.fill(Outcome{Result: NotTried})
		return false, false, 0
	case p.ctx.Err() != nil:
		p.fill(p.faultOutcome(p.ctx, p.ctx.Err(), false))
		return false, false, 0
	}
	begun := time.Now()
	c, err := p.transport.get(p.ctx, begun, p.timeout)
	for {
		if err != nil {
			p.fill(p.faultOutcome(p.ctx, err, false))
			return true, false, time.Since(begun)
		}
		// A dial can take as long as a request may, and a pause or the loss of the lease meanwhile must still stop
		// the request.
		if c.fresh() && time.Since(begun) > dialAskAgain && !p.mayStart() {
			p.transport.put(c, time.Now())
			p.fill(Outcome{Result: NotTried})
			return false, false, 0
		}
		good, unread, ended := p.exchange(c, begun)
		if !unread {
			return true, good, ended.Sub(begun)
		}
		// The provider had given up the kept connection before it saw any of the request. A new connection is never
		// said to be unread, so this is the only repeat.
		c, err = p.transport.dial(p.ctx, begun.Add(p.timeout))
	}
}

func (p *post) fill(o Outcome) {
	for i := range p.out {
		p.out[i] = o
	}
}

// exchange writes the request to c and fills out from the answer. Afterwards c is idle or closed.
//
//   - good is false when no answer came, or one that asks to come again.
//   - unread is true when it is certain that a kept connection was closed before its other end read any of the request.
//   - ended is when the answer was complete, or given up.
func (p *post) exchange(c *conn, begun time.Time) (good, unread bool, ended time.Time) {
	if !p.track(p.no, c) {
		p.transport.put(c, begun)
		p.fill(p.faultOutcome(p.ctx, p.ctx.Err(), false))
		return false, false, begun
	}
	before, sent := c.writes(), c.sent()
	err := p.encoder.write(c, p.message, p.items, begun)
	written := err == nil || c.wroteSince(before)
	var bodyErr error
	if err == nil {
		if err = c.readHead(); err == nil {
			bodyErr = p.readBody(c)
		}
	}
	if !c.fresh() {
		unread = p.usedAgain(c, begun, sent, written, err)
	}
	p.untrack(p.no)
	ended = time.Now()
	if err != nil || bodyErr != nil || !c.reusable() {
		_ = c.Close()
	} else {
		defer p.transport.put(c, ended) // its answer is read until then
	}
	switch status := c.resp.StatusCode(); {
	case err != nil:
		p.fill(p.faultOutcome(p.ctx, err, written))
	case !is2xx(status):
		o := p.statusOutcome(status, answerHeader(c))
		if p.errorWords != "" {
			o.ErrMsg += ": " + p.errorWords
		}
		p.fill(o)
		return o.Result == Failed, false, ended
	case bodyErr != nil: // the part that is missing may name recipients that were refused
		p.fill(p.faultOutcome(p.ctx, bodyErr, true))
	default:
		return true, false, ended
	}
	return false, unread, ended
}

// usedAgain records whether a kept connection was still open when its request was written. It returns true when it is
// certain that the connection was closed before its other end read any of the request.
func (p *post) usedAgain(c *conn, begun time.Time, sent int64, written bool, err error) (unread bool) {
	closed := err != nil && (!written || errors.Is(err, io.EOF) || errors.Is(err, syscall.EPIPE)) // without a byte of an answer
	if c.trial || closed {
		p.transport.recordReuse(c, begun, !closed)
	}
	return closed && p.ctx.Err() == nil && (!written || unreadByPeer(c, sent, err))
}

// readBody reads an answer to its end, so that the connection can be kept. It fills out from a 2xx, and errorWords from an
// error. An error of its own means that the answer is not complete.
func (p *post) readBody(c *conn) error {
	c.beginBody()
	switch status := c.resp.StatusCode(); {
	case status >= 400 && status < 600:
		p.errorWords = p.errorText(&c.body, string(c.resp.Header.Peek("Content-Encoding")))
	case is2xx(status):
		r := p.readers.Get().(*answerReader)
		r.outcomes(&c.body, string(c.resp.Header.Peek("Content-Encoding")), p.items, p.out)
		if r.reset() {
			p.readers.Put(r)
		}
	}
	return c.endBody()
}
