// Package client calls Carillon's HTTP API.
//
// The types and the calls come from docs/openapi.yaml: each call is a method of Client, with the name
// of its operation. Data reads the answer of a call. What stands around the calls is this package's
// own:
//
//   - tokens, and an operationID for each call;
//   - errors: whatever is not a success is an *Error, with the code, the fields and the fix;
//   - repeats of what may be repeated, and no others;
//   - Watch, which follows a campaign, and iterators over lists.
//
// A server of a newer version may answer with fields and states that this package does not know.
// Unknown fields are left out, unknown states are kept as texts.
package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// DefaultServer is where carillon serve listens unless told otherwise.
const DefaultServer = "http://127.0.0.1:8080"

// Options say which server is called, and how.
type Options struct {
	// Server is the server's address, such as https://carillon.example.com. A path in it is kept.
	// Empty means DefaultServer.
	Server string

	// Token is an admin's token, or a user's for the routes of their own inbox.
	Token string

	// MakeToken makes a token when Token is empty. It is called before each attempt, so it should
	// keep what it has made.
	MakeToken func(context.Context) (string, error)

	// UserAgent names the program. Empty means carillon-client.
	UserAgent string

	// OperationID is the trace ID of all calls. Empty means that each call gets one of its own.
	OperationID string

	// Repeats is how often a call that may be repeated is made again. 0 means 3, below 0 none.
	Repeats int

	// LongestWait is how long the client waits before one repeat. A server that asks for more gets
	// no repeat, and the caller gets the error. 0 means 30 s.
	LongestWait time.Duration

	// HTTP makes the requests. Nil means a client that follows no redirect.
	HTTP *http.Client
}

// Client calls one server. Its methods may be called at the same time.
type Client struct {
	*Calls
	doer *doer
}

// New makes a client. It calls nobody yet. The error says what is wrong with the server's address.
func New(o Options) (*Client, error) {
	base, err := parseServer(o.Server)
	if err != nil {
		return nil, err
	}
	d := newDoer(base, o)
	calls, err := NewClient(base.String(), WithHTTPClient(d))
	if err != nil {
		return nil, err
	}
	return &Client{calls, d}, nil
}

// Address is the address of the server, without a slash at its end.
func (c *Client) Address() string { return c.doer.server }

// Close ends the connections that no call uses.
func (c *Client) Close() { c.doer.http.CloseIdleConnections() }

func parseServer(text string) (*url.URL, error) {
	if text == "" {
		text = DefaultServer
	}
	u, err := url.Parse(strings.TrimRight(text, "/"))
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("the server's address must be like %s or https://carillon.example.com", DefaultServer)
	case u.User != nil:
		return nil, fmt.Errorf("the server's address must be without user and password: give a token instead")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("the server's address must end before ? and #")
	}
	return u, nil
}

// newHTTP makes requests with time-outs for each step. A whole request has none: streams and
// exports are long. The answer to Prefer: wait=60 begins after 60 s.
func newHTTP() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // the standard library says so
	t.ResponseHeaderTimeout = 90 * time.Second
	t.MaxIdleConnsPerHost = 16
	// A redirect would turn a POST into a GET, or carry the token to another host.
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}
