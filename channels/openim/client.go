package openim

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"carillon/channels/provider"
	"carillon/internal/tracing"
	"carillon/models"
)

const (
	// maxAnswer: a page of 1,000 users whose ex are 16 KiB each. More is refused.
	maxAnswer = 16 << 20

	// idleTime is shorter than the keep-alive of common servers: a request on a connection that is just being closed
	// fails.
	idleTime = 1500 * time.Millisecond
)

// Client calls OpenIM's REST API as an admin. It is safe for concurrent use. Its errors are *Error, or the context's.
//
// It uses no proxy, follows no redirect and repeats nothing by itself, but for a call whose token was refused: such a
// call is made once more with a newer token.
type Client struct {
	url    *url.URL // without a slash at its end
	base   string   // the same as a text
	secret string
	admin  string
	limit  time.Duration
	http   *http.Client
	tokens *tokens
}

// NewClient checks cfg and opens no connection. rdb holds the admin token that all processes share, and stays the
// caller's to close. Without one (nil) the client has a token of its own.
func NewClient(cfg Config, rdb redis.UniversalClient) (*Client, error) {
	cfg = cfg.withDefaults()
	u, err := cfg.check()
	if err != nil {
		return nil, err
	}
	c := &Client{url: u, base: u.String(), secret: cfg.Secret, admin: cfg.Admin, limit: cfg.Timeout, http: &http.Client{
		Transport: &http.Transport{
			DialContext: new(net.Dialer).DialContext, IdleConnTimeout: idleTime, MaxIdleConnsPerHost: 8,
			MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: false,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       cfg.Timeout,
	}}
	c.tokens, err = newTokens(c.base, cfg, rdb, c.getAdminToken)
	return c, err
}

// Close drops the connections that are idle. The client may still be used.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// envelope is what every route answers.
type envelope struct {
	ErrCode *models.Code    `json:"errCode"` // null or missing: this is no envelope
	ErrMsg  string          `json:"errMsg"`
	ErrDlt  string          `json:"errDlt"`
	Data    json.RawMessage `json:"data"`
}

// call makes a call with the admin token and decodes the answer's data into out (nil = nobody wants it). An answer that
// refuses the token makes it renew the token and call once more. header is that of the answer.
func (c *Client) call(ctx context.Context, route string, in, out any) (header http.Header, err error) {
	t, err := c.tokens.get(ctx)
	if err != nil {
		return nil, err
	}
	var renewals renewals
	for {
		header, err = c.post(ctx, route, t.text, in, out)
		if refused := (*Error)(nil); !errors.As(err, &refused) || refused.Kind != Token || !renewals.left() {
			return header, err
		}
		if t, err = renewals.renew(ctx, c.tokens, t); err != nil {
			return nil, err
		}
	}
}

// post makes one request. token "" leaves the header out. header is that of the answer; nil = there was none.
func (c *Client) post(ctx context.Context, route, token string, in, out any) (header http.Header, err error) {
	body, err := models.JSON(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+route, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.GetBody = nil // so that net/http repeats nothing
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "carillon")
	req.Header.Set("operationID", "carillon-"+strings.ToLower(rand.Text()))
	if token != "" {
		req.Header.Set("token", token)
	}
	if parent := tracing.Traceparent(ctx); parent != "" {
		req.Header.Set(tracing.Header, parent)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.noAnswer(ctx, route, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, c.noAnswer(ctx, route, err)
	case len(raw) > maxAnswer:
		return nil, &Error{Kind: Refused, Route: route, HTTP: resp.StatusCode, Code: models.CodeTooLarge, Said: "the answer is larger than 16 MiB"}
	}
	return resp.Header, c.open(route, resp, raw, out)
}

// noAnswer is the error of a call without a whole answer: the context's own where that has ended.
func (c *Client) noAnswer(ctx context.Context, route string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &Error{Kind: Network, Route: route, Said: networkReason(err, c.limit)}
}

// open takes the data out of an answer.
func (c *Client) open(route string, resp *http.Response, raw []byte, out any) error {
	var env envelope
	e := &Error{Kind: Refused, Route: route, HTTP: resp.StatusCode}
	noEnvelope := json.Unmarshal(raw, &env) != nil || env.ErrCode == nil
	if !noEnvelope {
		e.Code, e.Said = *env.ErrCode, shown(env.ErrMsg, c.secret, maxSaid)
	}
	switch {
	case resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode >= 500:
		e.Kind, e.RetryAfter = Later, provider.RetryAfter(resp.Header.Get)
		return e
	case noEnvelope:
		e.Kind = Foreign
		return e
	case e.Code != 0:
		e.Kind = kindOf(route, e.Code, env.ErrDlt)
		return e
	case resp.StatusCode != http.StatusOK, out != nil && json.Unmarshal(env.Data, out) != nil:
		e.Kind = Foreign
		return e
	}
	return nil
}

// kindOf sorts the codes of calls other than sends. For get_admin_token, OpenIM v3.8 answers 1002 where the secret is
// wrong, and 1001 or 1004 where the user is no admin; its detail (errDlt) says so too.
func kindOf(route string, code models.Code, detail string) Kind {
	switch {
	case code >= models.CodeTokenExpired && code <= models.CodeTokenNotExist:
		return Token
	case codes[code].class == later:
		return Later
	case route == routeAdminToken && code == models.CodeNoPermission:
		if detail = strings.ToLower(detail); strings.Contains(detail, "admin") && !strings.Contains(detail, "secret") {
			return Admin
		}
		return Secret
	case route == routeAdminToken, code == models.CodeNoPermission:
		return Admin
	}
	return Refused
}

const (
	codeDatabase    models.Code = 90002
	grpcDeadline    models.Code = 4
	grpcExhausted   models.Code = 8
	grpcUnavailable models.Code = 14
)
