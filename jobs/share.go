package jobs

import (
	"sync"
	"time"

	"carillon/models"
)

// share counts the pages this process holds, so that one campaign never holds more than half of its slots,
// nor one channel more than three quarters.
type share struct {
	mu        sync.Mutex
	campaigns map[int64]int
	channels  map[string]int
	turned    map[string]turnedAway // by channel, the last one for want of room on it
}

type turnedAway struct {
	campaign int64
	at       time.Time
}

// wantedFor: a page that was turned away comes back within this time.
const wantedFor = 500 * time.Millisecond

func newShare() *share {
	return &share{campaigns: map[int64]int{}, channels: map[string]int{}, turned: map[string]turnedAway{}}
}

// enter takes a place for a page of c. When there is none it says where the page goes instead: back among the new ones,
// of which whoever holds the campaign's places takes one after the other, or, where other campaigns hold the channel's,
// into a wait until it comes back by itself.
func (s *share) enter(c models.Campaign, slots int) (instead models.Chunk, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.campaigns[c.ID] >= max(1, slots/2) {
		return models.Chunk{State: models.PageNew}, false
	}
	if s.channels[c.Channel] >= max(1, slots*3/4) {
		s.turned[c.Channel] = turnedAway{c.ID, time.Now()}
		return models.Chunk{State: models.PageWaiting, ReadyIn: soon}, false
	}
	s.campaigns[c.ID]++
	s.channels[c.Channel]++
	return models.Chunk{}, true
}

func (s *share) leave(c models.Campaign) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.campaigns[c.ID]--; s.campaigns[c.ID] == 0 {
		delete(s.campaigns, c.ID)
	}
	s.channels[c.Channel]--
}

// wanted says whether another campaign was just turned away from c's channel, and would take c's place on it.
func (s *share) wanted(c models.Campaign) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.turned[c.Channel]
	return ok && t.campaign != c.ID && time.Since(t.at) < wantedFor
}
