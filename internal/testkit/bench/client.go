package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"time"

	"carillon/internal/testkit/lab"
	"carillon/models"
)

// Client speaks to the API as an admin, and takes every refusal for a fault of the run.
type Client struct{ *lab.Client }

// message is what everybody is sent, by Carillon and by the loops it is compared with.
func message() models.Message {
	return models.Message{
		SendID: "openIMAdmin", SenderPlatformID: 1, SenderNickname: "Carillon", ContentType: 101, SessionType: 1,
		Content: json.RawMessage(`{"content":"The doors open at eight, and the first bell rings at nine."}`),
	}
}

// do makes one request and decodes the answer's data. Any status of 300 or more is an error.
func (c *Client) do(ctx context.Context, method, path string, body, data any) error {
	r, err := c.Do(ctx, method, path, "", body)
	switch {
	case err != nil:
		return err
	case r.Status >= http.StatusMultipleChoices:
		return fmt.Errorf("%s %s answers %d: %s", method, path, r.Status, r.ErrDlt)
	case data == nil:
		return nil
	}
	return json.Unmarshal(r.Data, data)
}

// post makes a campaign; no users are all users. A listed few are transactional by default.
func (c *Client) post(ctx context.Context, users ...string) (lab.View, error) {
	return c.postWith(ctx, nil, users...)
}

// postWith is post with more in its body.
func (c *Client) postWith(ctx context.Context, more map[string]any, users ...string) (lab.View, error) {
	audience := map[string]any{"all": true}
	if len(users) > 0 {
		audience = map[string]any{"userIDs": users}
	}
	m := message()
	body := map[string]any{"name": "bench", "audience": audience, "message": map[string]any{
		"sendID": m.SendID, "senderPlatformID": m.SenderPlatformID, "senderNickname": m.SenderNickname, "contentType": m.ContentType, "content": m.Content,
	}}
	maps.Copy(body, more)
	var made lab.View
	return made, c.do(ctx, http.MethodPost, "/v1/campaigns", body, &made)
}

func (c *Client) get(ctx context.Context, id string) (v lab.View, err error) {
	return v, c.do(ctx, http.MethodGet, "/v1/campaigns/"+id, nil, &v)
}

const (
	stuck = time.Minute            // a campaign may stand still so long before the bench gives up
	look  = 100 * time.Millisecond // between two looks: closer ones would cost what is measured
)

// await waits until a campaign is completed with everybody sent, and returns when that was. The time is the API's
// own, and is not believed unless it lies between the last look that saw it running and the first that did not.
func (c *Client) await(ctx context.Context, id string) (ended time.Time, err error) {
	var running time.Time
	moved, pending := time.Now(), -1
	for {
		begun := time.Now()
		v, err := c.get(ctx, id)
		switch {
		case err != nil:
			return ended, err
		case v.Status == "completed" && v.Counts.Sent == v.Counts.Total && v.FinishedAt != nil:
			if v.FinishedAt.Before(running.Add(-look)) || v.FinishedAt.After(time.Now().Add(look)) {
				return ended, fmt.Errorf("the campaign says that it was finished at %s, and was seen running at %s", v.FinishedAt, running)
			}
			return *v.FinishedAt, nil
		case v.Status != "running":
			return ended, fmt.Errorf("the campaign is %s (%s) with %d of %d sent", v.Status, v.Reason, v.Counts.Sent, v.Counts.Total)
		case v.Counts.Pending != pending:
			moved, pending = time.Now(), v.Counts.Pending
		case time.Since(moved) > stuck:
			return ended, fmt.Errorf("the campaign stands still with %d of %d sent (%s)", v.Counts.Sent, v.Counts.Total, v.Reason)
		}
		running = begun
		if err := wait(ctx, look); err != nil {
			return ended, err
		}
	}
}
