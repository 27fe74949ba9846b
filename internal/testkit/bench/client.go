package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"time"

	"carillon/internal/testkit/lab"
	"carillon/models"
)

// Client speaks to the API as an admin, and takes every refusal for a fault of the run.
type Client struct {
	*lab.Client
	url, token string
	bare       http.Client // of post
}

func newClient(url, token string) (*Client, error) {
	const limit = 30 * time.Second
	api, err := lab.NewClient(url, token, limit)
	return &Client{Client: api, url: url, token: token, bare: http.Client{Timeout: limit, Transport: &http.Transport{}}}, err
}

// message is what everybody is sent, by Carillon and by the loops it is compared with.
func message() models.Message {
	return models.Message{
		SendID: "openIMAdmin", SenderPlatformID: 1, SenderNickname: "Carillon", ContentType: 101, SessionType: 1,
		Content: json.RawMessage(`{"content":"The doors open at eight, and the first bell rings at nine."}`),
	}
}

// Close ends the connections that no call uses.
func (c *Client) Close() {
	c.Client.Close()
	c.bare.CloseIdleConnections()
}

// post makes a campaign and returns its ID; no users are all users. A listed few are transactional by default.
func (c *Client) post(ctx context.Context, users ...string) (id string, err error) {
	return c.postWith(ctx, nil, users...)
}

// postWith is post with more in its body. Its request is bare, because posts are timed: the product's client would add work of
// its own, and an Idempotency-Key, which the server stores.
func (c *Client) postWith(ctx context.Context, more map[string]any, users ...string) (id string, err error) {
	audience := map[string]any{"all": true}
	if len(users) > 0 {
		audience = map[string]any{"userIDs": users}
	}
	m := message()
	body := map[string]any{"name": "bench", "audience": audience, "message": map[string]any{
		"sendID": m.SendID, "senderPlatformID": m.SenderPlatformID, "senderNickname": m.SenderNickname, "contentType": m.ContentType, "content": m.Content,
	}}
	maps.Copy(body, more)
	raw, err := json.Marshal(body)
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+"/v1/campaigns", bytes.NewReader(raw))
	if err != nil {
		return "", err
	}
	req.Header.Set("token", c.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.bare.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	if raw, err = io.ReadAll(resp.Body); err != nil {
		return "", err
	}
	var answer struct{ Data struct{ ID string } }
	if err := json.Unmarshal(raw, &answer); err != nil || answer.Data.ID == "" {
		return "", fmt.Errorf("POST /v1/campaigns answers %d: %.300s", resp.StatusCode, raw)
	}
	return answer.Data.ID, nil
}

const (
	stuck = time.Minute            // a campaign may stand still so long before the bench gives up
	look  = 100 * time.Millisecond // between two looks: closer ones would cost what is measured
)

// await waits until a campaign is completed with everybody sent, and returns when that was. The time is the API's
// own, and is not believed unless it lies between the last look that saw it running and the first that did not.
func (c *Client) await(ctx context.Context, id string) (ended time.Time, err error) {
	var running time.Time
	moved, pending := time.Now(), int64(-1)
	for {
		begun := time.Now()
		v, err := c.Campaign(ctx, id)
		switch {
		case err != nil:
			return ended, err
		case v.Status == "completed" && v.Counts.Sent == v.Counts.Total && v.FinishedAt != nil:
			if v.FinishedAt.Before(running.Add(-look)) || v.FinishedAt.After(time.Now().Add(look)) {
				return ended, fmt.Errorf("the campaign says that it was finished at %s, and was seen running at %s", v.FinishedAt, running)
			}
			return *v.FinishedAt, nil
		case v.Status != "running":
			return ended, fmt.Errorf("the campaign is %s (%s) with %d of %d sent", v.Status, v.StatusReason, v.Counts.Sent, v.Counts.Total)
		case v.Counts.Pending != pending:
			moved, pending = time.Now(), v.Counts.Pending
		case time.Since(moved) > stuck:
			return ended, fmt.Errorf("the campaign stands still with %d of %d sent (%s)", v.Counts.Sent, v.Counts.Total, v.StatusReason)
		}
		running = begun
		if err := wait(ctx, look); err != nil {
			return ended, err
		}
	}
}
