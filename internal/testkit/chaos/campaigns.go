package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

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
	lab.View
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
	RetryAfter string
}

// Last is the latest sample.
func (c *Campaign) Last() lab.View {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.Samples) == 0 {
		return lab.View{}
	}
	return c.Samples[len(c.Samples)-1].View
}

func (o Order) body() map[string]any {
	audience := map[string]any{"userIDs": o.Users}
	if o.All {
		audience = map[string]any{"all": true}
	}
	body := map[string]any{
		"name": o.Name, "priority": cmp.Or(o.Priority, "bulk"), "audience": audience, "ratePerSecond": o.Rate,
		"message": map[string]any{"sendID": "openIMAdmin", "contentType": 101, "content": map[string]string{"content": "chaos"}, "senderPlatformID": 1},
	}
	if o.Delivery != "" {
		body["delivery"] = o.Delivery
	}
	return body
}

// Post posts a campaign as a careful client does: under one key, again and again until it is answered. It is
// watched from then on. A refusal (4xx) is returned as the reply, with no campaign.
func (s *System) Post(ctx context.Context, o Order) (*Campaign, lab.Reply, error) {
	key := rand.Text()
	for {
		r, err := s.Client.Do(ctx, http.MethodPost, "/v1/campaigns", key, o.body())
		switch {
		case err == nil && r.Status == http.StatusAccepted:
			var v lab.View
			if err := json.Unmarshal(r.Data, &v); err != nil {
				return nil, r, err
			}
			c := &Campaign{Order: o, ID: v.ID, Posted: time.Now(), done: make(chan struct{})}
			watching, stop := context.WithCancel(ctx)
			c.stop = stop
			go s.watch(watching, c)
			return c, r, nil
		case err == nil && r.Status >= 400 && r.Status < 500 && r.Status != http.StatusConflict:
			return nil, r, nil
		}
		if !lab.Sleep(ctx, 200*time.Millisecond) {
			return nil, r, fmt.Errorf("the POST of %s is not answered: status %d, %s, %w", o.Name, r.Status, r.ErrDlt, err)
		}
	}
}

// MustPost is Post for a campaign that has to be taken.
func (s *System) MustPost(ctx context.Context, o Order) (*Campaign, error) {
	c, r, err := s.Post(ctx, o)
	if err == nil && c == nil {
		err = fmt.Errorf("the POST of %s was refused: status %d, %s", o.Name, r.Status, r.ErrDlt)
	}
	return c, err
}

// watch samples a campaign until it is over.
func (s *System) watch(ctx context.Context, c *Campaign) {
	defer close(c.done)
	for {
		v, r, err := s.Client.Get(ctx, c.ID)
		c.mu.Lock()
		switch {
		case err != nil: // the API is down
		case r.Status == http.StatusOK:
			c.Samples = append(c.Samples, Sample{time.Now(), v})
		default:
			c.refusals = append(c.refusals, Refusal{time.Now(), r.Status, r.RetryAfter})
		}
		c.mu.Unlock()
		if err == nil && v.Over() || !lab.Sleep(ctx, 100*time.Millisecond) {
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
		if !c.Last().Over() {
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
