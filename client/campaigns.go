package client

import (
	"context"
	"iter"
)

// Send makes a campaign. key is its Idempotency-Key: a second call with the same key and request
// makes no second campaign. With an empty key the client makes one, which is good for this call
// alone.
func (c *Client) Send(ctx context.Context, key string, campaign CampaignRequest) (Campaign, error) {
	var p CreateCampaignParams
	if key != "" {
		p.IdempotencyKey = &key
	}
	return Data[Campaign](c.CreateCampaign(ctx, &p, campaign))
}

// Estimate says what Send would do with the same campaign. It makes none.
func (c *Client) Estimate(ctx context.Context, campaign CampaignRequest) (Estimate, error) {
	return Data[Estimate](c.EstimateCampaign(ctx, &EstimateCampaignParams{}, campaign))
}

// SendTest sends the message of a campaign to some users, now. The test is a campaign of its own. key
// is as in Send.
func (c *Client) SendTest(ctx context.Context, key string, campaign TestedCampaignRequest, userIDs ...string) (Campaign, error) {
	var p TestCampaignParams
	if key != "" {
		p.IdempotencyKey = &key
	}
	return Data[Campaign](c.TestCampaign(ctx, &p, CampaignTestRequest{Campaign: campaign, UserIDs: userIDs}))
}

// Campaign returns a campaign as it is now.
func (c *Client) Campaign(ctx context.Context, id string) (Campaign, error) {
	return Data[Campaign](c.GetCampaign(ctx, id))
}

// Campaigns lists campaigns, newest first, without their messages.
func (c *Client) Campaigns(ctx context.Context, p ListCampaignsParams) iter.Seq2[Campaign, error] {
	return Pages(func(cursor *string) ([]Campaign, string, error) {
		p.Cursor = cursor
		page, err := Data[Campaigns](c.ListCampaigns(ctx, &p))
		return page.Campaigns, page.NextCursor, err
	})
}

// Recipients lists what became of a campaign's recipients, or of those with one status. A campaign
// that is still being planned has recipients who are not in the list yet: see Campaign.Planned.
func (c *Client) Recipients(ctx context.Context, id string, p ListRecipientsParams) iter.Seq2[Recipient, error] {
	return Pages(func(cursor *string) ([]Recipient, string, error) {
		p.Cursor = cursor
		page, err := Data[Recipients](c.ListRecipients(ctx, id, &p))
		if page.Planned != nil && !*page.Planned && len(page.Recipients) == 0 {
			page.NextCursor = ""
		}
		return page.Recipients, page.NextCursor, err
	})
}

// Recipient returns what became of one recipient, and why.
func (c *Client) Recipient(ctx context.Context, id, userID string) (Recipient, error) {
	return Data[Recipient](c.GetRecipient(ctx, id, userID))
}

// CampaignEvents lists what happened to a campaign, newest first.
func (c *Client) CampaignEvents(ctx context.Context, id string, p CampaignHistoryParams) iter.Seq2[Event, error] {
	return Pages(func(cursor *string) ([]Event, string, error) {
		p.Cursor = cursor
		page, err := Data[Events](c.CampaignHistory(ctx, id, &p))
		return page.Events, page.NextCursor, err
	})
}

// EventsAfter lists events behind the place after, oldest first, up to the last that is stored. after is
// the place that an earlier call came to, the ID of an event, "0" or "now". When the list ends, *place is
// where a later call goes on. It then misses no event and repeats none.
func (c *Client) EventsAfter(ctx context.Context, after string, p ListEventsParams, place *string) iter.Seq2[Event, error] {
	*place = after
	return func(yield func(Event, error) bool) {
		for more := true; more; {
			p.After = place
			page, err := Data[Events](c.ListEvents(ctx, &p))
			if err != nil {
				yield(Event{}, err)
				return
			}
			for _, e := range page.Events {
				*place = e.EventID
				if !yield(e, nil) {
					return
				}
			}
			*place, more = page.NextCursor, page.More
		}
	}
}

// Events lists who changed what, when and why, newest first.
func (c *Client) Events(ctx context.Context, p ListEventsParams) iter.Seq2[Event, error] {
	return Pages(func(cursor *string) ([]Event, string, error) {
		p.Cursor = cursor
		page, err := Data[Events](c.ListEvents(ctx, &p))
		return page.Events, page.NextCursor, err
	})
}
