package jobs

import (
	"context"
	"maps"
	"sync"
	"time"

	"carillon/models"
)

// share counts the pages this process holds, so that one campaign never holds more than half of its slots,
// nor one channel more than three quarters, and evens out what the campaigns on a full channel hold.
type share struct {
	mu        sync.Mutex
	slots     int
	campaigns map[int64]int
	channels  map[string]int
	turned    map[string]map[int64]turnedAway // by channel, the campaigns that found no place on it
	left      map[int64]time.Time             // when a campaign last gave a place back
	here      map[int64]bool                  // the campaigns of which a page waits in its slot for a place
}

type turnedAway struct{ first, last time.Time }

// turnedFor: a page that was turned away comes back within this time, unless there are so many of them that nobody need
// be waited for.
const turnedFor = 500 * time.Millisecond

// slowRate, in recipients a second, is where every single token counts: from there on a bucket saves none for those that come late.
const slowRate = 10

func newShare(slots int) *share {
	return &share{slots: slots, campaigns: map[int64]int{}, channels: map[string]int{}, turned: map[string]map[int64]turnedAway{}, left: map[int64]time.Time{}, here: map[int64]bool{}}
}

// enterSoon is enter for a campaign that waits here: it tries for up to maxSleep, unless the process is to end.
func (s *share) enterSoon(drain context.Context, c models.Campaign) (ok bool) {
	for begun := time.Now(); !ok && time.Since(begun) < maxSleep && drain.Err() == nil; {
		time.Sleep(maxSleep / 25)
		_, ok = s.enter(c)
	}
	return ok
}

// waitHere says that a page of c may wait in its slot for the campaign's first place in this process: one of a slow campaign, whose next
// token would be lost meanwhile. Others would only take longer turns to the same end, and keep those waiting that have a place
// already. A few may wait at once: the other slots are for other channels.
func (s *share) waitHere(c models.Campaign) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.RatePerSecond == 0 || c.RatePerSecond >= slowRate || s.campaigns[c.ID] > 0 || s.here[c.ID] || len(s.here) >= s.slots/8 {
		return false
	}
	s.here[c.ID] = true
	return true
}

func (s *share) waitNoMore(c models.Campaign) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.here, c.ID)
}

// enter takes a place for a page of c. When there is none it says where the page goes instead: before the new ones,
// of which whoever holds the campaign's places takes one after the other, or, where other campaigns hold the channel's,
// into a wait until it comes back by itself.
func (s *share) enter(c models.Campaign) (instead models.Chunk, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.campaigns[c.ID] >= max(1, s.slots/2) {
		return models.Chunk{State: models.PageNew}, false
	}
	if s.free(c.Channel) <= s.before(c) {
		s.turnAway(c)
		return models.Chunk{State: models.PageWaiting, ReadyIn: soon}, false
	}
	delete(s.turned[c.Channel], c.ID)
	s.campaigns[c.ID]++
	s.channels[c.Channel]++
	return models.Chunk{}, true
}

func (s *share) turnAway(c models.Campaign) {
	now := time.Now()
	if s.turned[c.Channel] == nil {
		s.turned[c.Channel] = map[int64]turnedAway{}
	}
	t, ok := s.turned[c.Channel][c.ID]
	if !ok {
		t.first = now
	}
	t.last = now
	s.turned[c.Channel][c.ID] = t
}

// waiting are the campaigns that were just turned away from a channel.
func (s *share) waiting(channel string) map[int64]turnedAway {
	maps.DeleteFunc(s.turned[channel], func(_ int64, t turnedAway) bool { return time.Since(t.last) > turnedFor })
	return s.turned[channel]
}

// before counts the campaigns that come before c on its channel: they hold fewer places, or, when c has just given one
// back, wait longer for as many. Any other place is for whoever comes: to keep it for one that is away would leave it empty.
func (s *share) before(c models.Campaign) (n int) {
	all := s.waiting(c.Channel)
	own, waits := all[c.ID]
	maps.DeleteFunc(s.left, func(_ int64, at time.Time) bool { return time.Since(at) > turnedFor })
	_, had := s.left[c.ID]
	for id, t := range all {
		if s.campaigns[id] < s.campaigns[c.ID] || had && s.campaigns[id] == s.campaigns[c.ID] && (!waits || t.first.Before(own.first)) {
			n++
		}
	}
	return n
}

func (s *share) leave(c models.Campaign) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.campaigns[c.ID]--; s.campaigns[c.ID] == 0 {
		delete(s.campaigns, c.ID)
	}
	s.channels[c.Channel]--
	s.left[c.ID] = time.Now()
}

// wanted says whether c is to give up a place, because a campaign was just turned away from its channel that has none,
// or that would still hold no more than c if it had one of c's, and no place is free for it.
func (s *share) wanted(c models.Campaign) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.campaigns[c.ID] == 0 {
		return false // a transactional one has none of these places
	}
	n := 0
	for id := range s.waiting(c.Channel) {
		if id != c.ID && s.campaigns[id] < max(1, s.campaigns[c.ID]-1) {
			n++
		}
	}
	return n > s.free(c.Channel)
}

// free is how many more places a channel may have.
func (s *share) free(channel string) int { return max(1, s.slots*3/4) - s.channels[channel] }
