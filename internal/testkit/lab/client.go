package lab

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
)

// Counts are a campaign's, as the API shows them.
type Counts struct {
	Total     int `json:"total"`
	Pending   int `json:"pending"`
	Sent      int `json:"sent"`
	Failed    int `json:"failed"`
	Skipped   int `json:"skipped"`
	Expired   int `json:"expired"`
	Cancelled int `json:"cancelled"`
	Unknown   int `json:"unknown"`
}

// Sum is what Total must be.
func (c Counts) Sum() int {
	return c.Pending + c.Sent + c.Failed + c.Skipped + c.Expired + c.Cancelled + c.Unknown
}

// View is what is read of GET /v1/campaigns/{id}.
type View struct {
	ID      string `json:"id"`
	Status  string `json:"status"`
	Reason  string `json:"statusReason"`
	Planned bool   `json:"planned"`
	Counts  Counts `json:"counts"`
	// FinishedAt is by the database's clock, to the millisecond; nil until then.
	FinishedAt *time.Time `json:"finishedAt"`
}

// Over says whether the campaign has come to its end.
func (v View) Over() bool {
	switch v.Status {
	case "completed", "cancelled", "expired", "failed":
		return v.Counts.Pending == 0
	}
	return false
}

// Row is a recipient in the ledger.
type Row struct {
	UserID      string `json:"userID"`
	Status      string `json:"status"`
	Attempts    int    `json:"attempts"`
	ErrCode     int    `json:"errCode"`
	ErrMsg      string `json:"errMsg"`
	ClientMsgID string `json:"clientMsgID"`
}

// Reply is one answer of the API.
type Reply struct {
	Status     int
	RetryAfter string
	ErrDlt     string
	Data       json.RawMessage
}

const (
	streamLimit = 10 * time.Minute // for a file's
	importLines = 50_000           // users of one request
)

// Client speaks to the API as an admin.
type Client struct {
	Base  string // of URLs, without a slash at the end
	Token string
	Limit time.Duration // for a request and its answer; files have streamLimit
	http  http.Client
}

// NewClient is a client with connections of its own.
func NewClient(base, token string, limit time.Duration) *Client {
	return &Client{Base: base, Token: token, Limit: limit}
}

// CloseIdleConnections gives back what the client no longer needs.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

// Do makes one request. An error means that no complete answer came.
func (c *Client) Do(ctx context.Context, method, path, key string, body any) (Reply, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return Reply{}, err
	}
	if body == nil {
		raw = nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.Limit)
	defer cancel()
	resp, err := c.request(ctx, method, path, key, "application/json", bytes.NewReader(raw))
	if err != nil {
		return Reply{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	r := Reply{Status: resp.StatusCode, RetryAfter: resp.Header.Get("Retry-After")}
	raw, err = io.ReadAll(resp.Body)
	if err != nil {
		return Reply{}, err
	}
	var envelope struct {
		ErrDlt string          `json:"errDlt"`
		Data   json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(raw, &envelope); err != nil {
		return r, fmt.Errorf("%s %s answered %d with no envelope: %.200q", method, path, r.Status, raw)
	}
	r.ErrDlt, r.Data = envelope.ErrDlt, envelope.Data
	return r, nil
}

func (c *Client) request(ctx context.Context, method, path, key, contentType string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.Base+path, body)
	if err != nil {
		return nil, err
	}
	req.GetBody = nil // net/http must not repeat a POST by itself
	req.Header.Set("token", c.Token)
	req.Header.Set("Content-Type", contentType)
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	return c.http.Do(req)
}

// Get reads a campaign; the reply tells why when there is none.
func (c *Client) Get(ctx context.Context, id string) (v View, r Reply, err error) {
	r, err = c.Do(ctx, http.MethodGet, "/v1/campaigns/"+id, "", nil)
	if err == nil && r.Status == http.StatusOK {
		err = json.Unmarshal(r.Data, &v)
	}
	return v, r, err
}

// Import puts users into the directory, a part at a time.
func (c *Client) Import(ctx context.Context, users []string) error {
	for part := range slices.Chunk(users, importLines) {
		if err := c.importPart(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) importPart(ctx context.Context, users []string) error {
	var body bytes.Buffer
	for _, u := range users {
		fmt.Fprintf(&body, "{\"userID\":%q}\n", u)
	}
	ctx, cancel := context.WithTimeout(ctx, streamLimit)
	defer cancel()
	resp, err := c.request(ctx, http.MethodPost, "/v1/users/import", "", "application/x-ndjson", &body)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("import answered %d: %.300s", resp.StatusCode, raw)
	}
	return err
}

// Rows reads all of a campaign's recipients.
func (c *Client) Rows(ctx context.Context, id string) ([]Row, error) {
	ctx, cancel := context.WithTimeout(ctx, streamLimit)
	defer cancel()
	resp, err := c.request(ctx, http.MethodGet, "/v1/campaigns/"+id+"/recipients.ndjson", "", "", nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("recipients.ndjson answered %d", resp.StatusCode)
	}
	var rows []Row
	for in := bufio.NewScanner(resp.Body); ; {
		if !in.Scan() {
			return rows, in.Err()
		}
		var r Row
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
}
