// Package eventhook posts events to the receiver that an operator has named, signed per Standard Webhooks.
package eventhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"carillon/channels/provider"
	"carillon/internal/outbound"
	"carillon/internal/stdwebhook"
	"carillon/internal/tlsfault"
)

const (
	// Timeout is what one post may take, from the connection to the answer.
	Timeout = 10 * time.Second
	// Conns is how many connections to the receiver there are at most.
	Conns = 64

	answerMost = 64 << 10 // bytes of an answer that are read
)

// ErrURL is a URL that cannot be posted to.
var ErrURL = errors.New("must be an absolute http or https URL without user and password; the signature proves who is calling")

// Receiver is where events are posted. Any goroutine may use it.
type Receiver struct {
	url    *url.URL
	key    []byte
	reach  outbound.Reach
	client *http.Client
}

// New makes a Receiver, and opens no connection. The errors are ErrURL and stdwebhook.ErrSecret.
func New(rawURL, secret string, reach outbound.Reach) (*Receiver, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return nil, ErrURL
	}
	key, err := stdwebhook.Key(secret)
	if err != nil {
		return nil, err
	}
	return &Receiver{u, key, reach, reach.Client(Timeout, Conns)}, nil
}

// Answer is how a post ended.
type Answer struct {
	Err  error         // nil = the receiver has taken the event; it quotes neither URL nor body
	Away bool          // the receiver as a whole takes nothing now
	Rest time.Duration // how long it asks to be left alone, at most an hour; 0 = it does not say
}

// Post posts a body under an ID. Every answer 2xx takes the event, and no other does.
func (r *Receiver) Post(ctx context.Context, id string, body []byte) Answer {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url.String(), bytes.NewReader(body))
	if err != nil {
		return Answer{Err: ErrURL, Away: true}
	}
	now := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header = http.Header{
		"Content-Type":      {"application/json"},
		"User-Agent":        {"carillon"},
		"Webhook-Id":        {id},
		"Webhook-Timestamp": {now},
		"Webhook-Signature": {stdwebhook.Sign(r.key, id, now, body)},
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return Answer{Err: plain(err), Away: away(err)}
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, answerMost)) // so that the connection is kept
	_ = resp.Body.Close()
	if resp.StatusCode/100 == 2 {
		return Answer{}
	}
	rest := provider.RetryAfter(resp.Header.Get)
	asks := resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable && rest > 0
	a := Answer{Err: fmt.Errorf("the receiver answered %d", resp.StatusCode), Away: asks}
	if asks {
		a.Rest = rest
	}
	return a
}

// plain is an error without the URL: its path and query may hold a token.
func plain(err error) error {
	if failed := (*url.Error)(nil); errors.As(err, &failed) {
		return failed.Err
	}
	return err
}

// away says that no connection came about: then it is not the event.
func away(err error) bool {
	dial := (*net.OpError)(nil)
	dns := (*net.DNSError)(nil)
	return errors.As(err, &dial) && dial.Op == "dial" || errors.As(err, &dns) || tlsfault.NoTLS(err) || tlsfault.BadCertificate(err)
}

// Close ends the idle connections.
func (r *Receiver) Close() { r.client.CloseIdleConnections() }

// Host is where the receiver is, for people. It shows no path and no query.
func (r *Receiver) Host() string { return r.url.Host }

// Try connects to the receiver, and for https shakes hands. It sends no request. The error says what to do.
func (r *Receiver) Try(ctx context.Context) error {
	port := r.url.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[r.url.Scheme]
	}
	conn, err := r.reach.Dialer(Timeout).DialContext(ctx, "tcp", net.JoinHostPort(r.url.Hostname(), port))
	if err == nil && r.url.Scheme == "https" {
		shaken := tls.Client(conn, &tls.Config{ServerName: r.url.Hostname(), MinVersion: tls.VersionTLS12})
		err = shaken.HandshakeContext(ctx)
	}
	if conn != nil {
		_ = conn.Close()
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, outbound.ErrRefused):
		return fmt.Errorf("%w: name another receiver in CARILLON_EVENTS_URL%s", err, networksHint(err))
	case tlsfault.NoTLS(err):
		return fmt.Errorf("%w: it speaks no TLS: write http:// in CARILLON_EVENTS_URL, or set up TLS there", err)
	case tlsfault.BadCertificate(err):
		return fmt.Errorf("%w: give it a certificate that this machine trusts, or let this machine trust its issuer", err)
	}
	return fmt.Errorf("%w: start the receiver, or mend CARILLON_EVENTS_URL", err)
}

func networksHint(err error) string {
	if strings.Contains(err.Error(), "no public address") {
		return ", or set CARILLON_EVENTS_NETWORKS=any"
	}
	return ""
}
