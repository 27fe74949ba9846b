package lab

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"carillon/client"
)

const (
	fileLimit   = 10 * time.Minute // for a file's request and its answer
	importLines = 50_000           // users of one request
)

// Client is the product's own client as an admin, and repeats nothing: who tries the product wants to see each answer.
type Client struct {
	*client.Client
	files *client.Client // for requests and answers that are files
}

// NewClient is a client with connections of its own. limit is for a request and its answer; files have more time.
func NewClient(base, token string, limit time.Duration) (*Client, error) {
	with := func(limit time.Duration) (*client.Client, error) {
		return client.New(client.Options{
			Server: base, Token: token, Repeats: -1, UserAgent: "carillon-lab",
			HTTP: &http.Client{Timeout: limit, Transport: http.DefaultTransport.(*http.Transport).Clone()}, //nolint:forcetypeassert // the standard library says so
		})
	}
	c, err := with(limit)
	if err != nil {
		return nil, err
	}
	files, err := with(fileLimit)
	return &Client{c, files}, err
}

// Close ends the connections that no call uses.
func (c *Client) Close() {
	c.Client.Close()
	c.files.Close()
}

// Refusal is what the API answered in place of a success; nil if err is nil, or if no answer came.
func Refusal(err error) *client.Error {
	var e *client.Error
	if errors.As(err, &e) && e.Status != 0 {
		return e
	}
	return nil
}

// Over says whether a campaign has come to its end.
func Over(c client.Campaign) bool {
	switch c.Status {
	case client.CampaignStatusCompleted, client.CampaignStatusCancelled, client.CampaignStatusExpired, client.CampaignStatusFailed:
		return c.Counts.Pending == 0
	case client.CampaignStatusPaused, client.CampaignStatusRunning, client.CampaignStatusScheduled:
	}
	return false
}

// Sum is what the total of counts must be.
func Sum(n client.Counts) int64 {
	return n.Pending + n.Sent + n.Failed + n.Skipped + n.Expired + n.Cancelled + n.Unknown
}

// Import puts users into the directory, a part at a time.
func (c *Client) Import(ctx context.Context, users []string) error {
	for part := range slices.Chunk(users, importLines) {
		var body bytes.Buffer
		for _, u := range part {
			fmt.Fprintf(&body, "{\"userID\":%q}\n", u)
		}
		if _, err := client.Data[client.ImportReport](c.files.ImportUsersWithBody(ctx, nil, "application/x-ndjson", &body)); err != nil {
			return fmt.Errorf("import users: %w", err)
		}
	}
	return nil
}

// Row is a recipient in the ledger, as a line of an export has it.
type Row struct {
	UserID      string `json:"userID"`
	Status      string `json:"status"`
	Attempts    int    `json:"attempts"`
	ErrCode     int    `json:"errCode"`
	ErrMsg      string `json:"errMsg"`
	ClientMsgID string `json:"clientMsgID"`
}

// Rows reads all of a campaign's recipients.
func (c *Client) Rows(ctx context.Context, id string) ([]Row, error) {
	resp, err := c.files.ExportRecipientsNDJSON(ctx, id, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
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
