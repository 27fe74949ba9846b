package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"sync"
	"time"

	"carillon/client"
	"carillon/internal/testkit/lab"
)

// Order is a campaign to post.
type Order struct {
	Name     string
	Users    []string
	All      bool   // the audience is "all users", who are Users
	Rate     int    // recipients per second; 0 = no limit
	Priority string // "" = bulk
	Delivery string // "" = the default
}

// Sample is one look at a campaign while it ran.
type Sample struct {
	At time.Time
	client.Campaign
}

// Campaign is what the oracle knows of a campaign: what was asked for, what the API said meanwhile, and what
// the ledger holds at the end.
type Campaign struct {
	Order
	ID      string
	Posted  time.Time
	Samples []Sample
	Rows    []lab.Row // nil when the campaign did not end

	mu       sync.Mutex // of Samples and refusals while it is watched
	refusals []Refusal
	stop     context.CancelFunc
	done     chan struct{} // closed when nobody watches any more
}

// Refusal is an answer of the API that is not the campaign.
type Refusal struct {
	At         time.Time
	Status     int
	RetryAfter time.Duration // 0 = it does not say
}

// Last is the latest sample.
func (c *Campaign) Last() client.Campaign {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.Samples) == 0 {
		return client.Campaign{}
	}
	return c.Samples[len(c.Samples)-1].Campaign
}

func (o Order) request() client.CampaignRequest {
	priority := client.Priority(cmp.Or(o.Priority, "bulk"))
	r := client.CampaignRequest{Name: &o.Name, Priority: &priority, RatePerSecond: &o.Rate, Message: message()}
	if o.All {
		r.Audience.All = &o.All
	} else {
		r.Audience.UserIDs = &o.Users
	}
	if o.Delivery != "" {
		delivery := client.Delivery(o.Delivery)
		r.Delivery = &delivery
	}
	return r
}

func message() client.MessageRequest {
	return client.MessageRequest{SendID: "openIMAdmin", ContentType: 101, Content: client.Content{"content": "chaos"}}
}

// Post posts a campaign as a careful client does: under one key, again and again until it is answered. It is
// watched from then on. An answer of 4xx is the error; see lab.Refusal.
func (s *System) Post(ctx context.Context, o Order) (*Campaign, error) {
	key := rand.Text()
	for {
		made, err := s.Client.Send(ctx, key, o.request())
		refused := lab.Refusal(err)
		switch {
		case err == nil:
			c := &Campaign{Order: o, ID: made.ID, Posted: time.Now(), done: make(chan struct{})}
			watching, stop := context.WithCancel(ctx)
			c.stop = stop
			go s.watch(watching, c)
			return c, nil
		case refused != nil && refused.Status >= 400 && refused.Status < 500 && refused.Status != http.StatusConflict:
			return nil, fmt.Errorf("the POST of %s was refused: %w", o.Name, err)
		}
		if !lab.Sleep(ctx, 200*time.Millisecond) {
			return nil, fmt.Errorf("the POST of %s is not answered: %w", o.Name, err)
		}
	}
}

// watch samples a campaign until it is over.
func (s *System) watch(ctx context.Context, c *Campaign) {
	defer close(c.done)
	for {
		now, err := s.Client.Campaign(ctx, c.ID)
		refused := lab.Refusal(err)
		c.mu.Lock()
		switch {
		case err == nil:
			c.Samples = append(c.Samples, Sample{time.Now(), now})
		case refused != nil: // else the API is down
			c.refusals = append(c.refusals, Refusal{time.Now(), refused.Status, refused.RetryAfter})
		}
		c.mu.Unlock()
		if err == nil && lab.Over(now) || !lab.Sleep(ctx, 100*time.Millisecond) {
			return
		}
	}
}

// Await waits until all campaigns are over, or limit has passed, then reads their rows and returns what the
// oracle judges.
func (s *System) Await(ctx context.Context, limit time.Duration, events []Event, campaigns ...*Campaign) (*Evidence, error) {
	e := &Evidence{Chunk: chunkSize, Events: events, Campaigns: campaigns}
	waiting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, c := range campaigns {
		select {
		case <-c.done:
		case <-waiting.Done():
		}
		c.stop()
		<-c.done // from here on nobody adds to its samples
	}
	if ctx.Err() != nil {
		return e, ctx.Err()
	}
	for _, c := range campaigns {
		e.Refusals = append(e.Refusals, c.refusals...)
		if !lab.Over(c.Last()) {
			continue
		}
		rows, err := s.Client.Rows(ctx, c.ID)
		if err != nil {
			return e, fmt.Errorf("the recipients of %s: %w", c.Name, err)
		}
		c.Rows = rows
	}
	e.Races = s.races()
	var err error
	if e.Arrivals = s.Provider.Log(); s.OpenIM != nil {
		e.Arrivals, err = s.sentThroughOpenIM(campaigns)
	}
	return e, err
}

// userIDs are n IDs in key order.
func userIDs(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("user-%06d", i)
	}
	return ids
}
