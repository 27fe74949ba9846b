package channels

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"carillon/models"
)

const (
	defaultWebhookTimeout = 5 * time.Second
	maxWebhookTimeout     = 8 * time.Second // a request lives under its page's lease of 15 s, with room to write its outcome
	maxWebhookBatch       = 1000            // the largest page

	// maxConns bounds the connections of one process: 10,000 recipients/s at a provider that takes 50 ms
	// need 500 at once, and a little more to make up for what is not waiting.
	maxConns = 768

	// idleConnTimeout is shorter than the keep-alive of common servers (gunicorn 2 s; Node, Apache and
	// uvicorn 5 s): a request that meets a connection its server is just closing is ambiguous, and a new
	// connection after a quiet second costs next to nothing.
	idleConnTimeout = 1500 * time.Millisecond

	maxAnswerHeaderBytes = 64 << 10
)

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
	url       *url.URL
	signer    signer
	batch     int
	timeout   time.Duration
	transport *http.Transport
}

var _ Channel = (*Webhook)(nil)

// NewWebhook checks cfg and opens no connection. Its errors name the setting and quote neither URL (its
// query may hold a token) nor secret.
func NewWebhook(cfg WebhookConfig) (*Webhook, error) {
	u, err := url.Parse(cfg.URL)
	switch {
	case err != nil, u.Host == "", u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("webhook URL: must be an absolute http or https URL")
	case u.User != nil:
		return nil, errors.New("webhook URL: must not hold a user or password; the signature proves who is calling")
	}
	s, err := newSigner(cfg.Secret)
	if err != nil {
		return nil, err
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
	if cfg.Timeout < 0 || cfg.Timeout > maxWebhookTimeout {
		return nil, fmt.Errorf("webhook timeout: must be more than 0 and at most %s", maxWebhookTimeout)
	}
	return &Webhook{url: u, signer: s, batch: cfg.Batch, timeout: cfg.Timeout, transport: newTransport(cfg.Timeout)}, nil
}

func newTransport(timeout time.Duration) *http.Transport {
	http1 := new(http.Protocols)
	http1.SetHTTP1(true)
	dialer := net.Dialer{Timeout: timeout} // dials outlive the request that asked for them, so they need their own limit
	return &http.Transport{
		Proxy:                  nil,
		Protocols:              http1,
		DialContext:            watchWrites(dialer.DialContext),
		TLSHandshakeTimeout:    timeout,
		MaxConnsPerHost:        maxConns,
		MaxIdleConnsPerHost:    maxConns,
		IdleConnTimeout:        idleConnTimeout,
		DisableCompression:     true, // the limit on an answer's size is then also one on what it unpacks to
		MaxResponseHeaderBytes: maxAnswerHeaderBytes,
	}
}

// Name is "webhook".
func (w *Webhook) Name() string { return "webhook" }

// MaxBatch is the number of recipients a request carries.
func (w *Webhook) MaxBatch() int { return w.batch }

// KnowsUsers is false: the provider decides who exists.
func (w *Webhook) KnowsUsers() bool { return false }

// Close drops the connections that are idle. The channel may still be used.
func (w *Webhook) Close() { w.transport.CloseIdleConnections() }

// Send posts the message to all of b's recipients and returns one outcome each, in order. When ctx ends,
// requests not begun are Retry and those under way Ambiguous, unless nothing of them was written. b.MayStart is
// asked before each request, and once more if the request then waited long for its connection.
func (w *Webhook) Send(ctx context.Context, b Batch) []Outcome {
	n := len(b.Recipients)
	head, err := encodeHead(b)
	if err != nil {
		return Same(n, Outcome{Result: Failed, ErrCode: models.CodeInternal, ErrMsg: "the campaign's message cannot be encoded"})
	}
	mayStart := b.MayStart
	if mayStart == nil {
		mayStart = func() bool { return true }
	}
	out := make([]Outcome, n)
	fanOut((n+w.batch-1)/w.batch, func(i int) {
		lo, hi := i*w.batch, min((i+1)*w.batch, n)
		began := time.Now()
		copy(out[lo:hi], w.post(ctx, mayStart, head, b.Recipients[lo:hi]))
		if b.Answered != nil {
			b.Answered(lo, out[lo:hi], time.Since(began))
		}
	})
	return out
}

// encodeHead is the part of the body that all requests of one Send share, up to the recipients.
func encodeHead(b Batch) ([]byte, error) {
	if b.Message == nil {
		return nil, errors.New("no message")
	}
	head, err := json.Marshal(struct {
		CampaignID  string          `json:"campaignID"`
		OperationID string          `json:"operationID"`
		Message     *models.Message `json:"message"`
	}{b.CampaignID, b.OperationID, b.Message})
	if err != nil {
		return nil, err
	}
	return append(bytes.TrimSuffix(head, []byte("}")), `,"recipients":`...), nil
}

// webhookItem is one recipient as it stands in the body.
type webhookItem struct {
	RecvID      string `json:"recvID,omitempty"`
	GroupID     string `json:"groupID,omitempty"`
	ClientMsgID string `json:"clientMsgID"`
}

// encodeBody is head with the items behind it.
func encodeBody(head []byte, items []Recipient) ([]byte, error) {
	wire := make([]webhookItem, len(items))
	for i, r := range items {
		wire[i] = webhookItem{RecvID: r.UserID, GroupID: r.GroupID, ClientMsgID: r.ClientMsgID}
	}
	list, err := json.Marshal(wire)
	if err != nil {
		return nil, err
	}
	body := make([]byte, 0, len(head)+len(list)+1)
	return append(append(append(body, head...), list...), '}'), nil
}

// post makes one request and returns one outcome per item.
func (w *Webhook) post(ctx context.Context, mayStart func() bool, head []byte, items []Recipient) []Outcome {
	n := len(items)
	body, err := encodeBody(head, items)
	if err != nil { // strings only: cannot happen
		return Same(n, Outcome{Result: Failed, ErrCode: models.CodeInternal, ErrMsg: "the recipients cannot be encoded"})
	}
	reqCtx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	reqCtx, wire := watchRequest(reqCtx, mayStart)
	req := w.newRequest(reqCtx, requestKey(items), body)
	switch {
	case !mayStart():
		return Same(n, Outcome{Result: NotTried})
	case ctx.Err() != nil:
		return Same(n, w.faultOutcome(ctx, ctx.Err(), false))
	}
	resp, err := w.transport.RoundTrip(req)
	if err != nil {
		if wire.refused() {
			return Same(n, Outcome{Result: NotTried})
		}
		return Same(n, w.faultOutcome(ctx, err, wire.written()))
	}
	defer func() { _ = resp.Body.Close() }()
	answer, readErr := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes+1)) // to the end, so that the connection is kept
	if !is2xx(resp.StatusCode) {
		return Same(n, statusOutcome(resp))
	}
	if readErr != nil { // the part that is missing may name recipients that were refused
		return Same(n, w.faultOutcome(ctx, readErr, true))
	}
	return answerOutcomes(answer, items)
}

// newRequest leaves GetBody nil on purpose: with it, net/http takes a POST that carries an Idempotency-Key
// for replayable (isReplayable in net/http/request.go) and sends it again by itself, unseen, when a reused connection
// closes without an answer.
func (w *Webhook) newRequest(ctx context.Context, key string, body []byte) *http.Request {
	now := time.Now().Unix()
	req := &http.Request{
		Method: http.MethodPost,
		URL:    w.url,
		Header: http.Header{
			"Content-Type":      {"application/json"},
			"User-Agent":        {"carillon"},
			"Idempotency-Key":   {key},
			"Webhook-Id":        {key},
			"Webhook-Timestamp": {strconv.FormatInt(now, 10)},
			"Webhook-Signature": {w.signer.sign(key, now, body)},
		},
		Body:          io.NopCloser(bytes.NewReader(body)),
		ContentLength: int64(len(body)),
	}
	return req.WithContext(ctx)
}
