package models

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	"gorm.io/gorm"
)

// CampaignChange is what PATCH may change; nil = as it is.
type CampaignChange struct {
	Name          *string
	RatePerSecond *int
	ExpireAt      *Millis // 0 = never
	SendAt        *Millis // of one that has not started
	WallAt        *Millis // with SendAt, of a local-time campaign
	// Seen is the campaign as the caller saw it; nil = the caller did not look. A field that is to be changed, and is not as it
	// was seen, refuses the change (3001).
	Seen *CampaignSeen
}

// CampaignSeen are the fields that people change on a page.
type CampaignSeen struct {
	Name          string
	RatePerSecond int
	ExpireAt      Millis
}

// meanwhile refuses a change whose caller saw other values than the campaign now has.
func (ch CampaignChange) meanwhile(c Campaign) error {
	if ch.Seen == nil {
		return nil
	}
	var found []FieldError
	if ch.Name != nil && c.Name != ch.Seen.Name {
		found = append(found, FieldError{"name", fmt.Sprintf("is %q now", c.Name)})
	}
	if ch.RatePerSecond != nil && c.RatePerSecond != ch.Seen.RatePerSecond {
		found = append(found, FieldError{"ratePerSecond", fmt.Sprintf("is %d now", c.RatePerSecond)})
	}
	if ch.ExpireAt != nil && c.ExpireAt != ch.Seen.ExpireAt {
		found = append(found, FieldError{"expireAt", "is another one now"})
	}
	if len(found) == 0 {
		return nil
	}
	return &Error{Code: CodeIllegalTransition, Detail: "the campaign was changed meanwhile", Fields: found}
}

// UpdateCampaign changes a campaign; workers see it within a second. The rate and the end of one that has
// finished cannot be changed, nor the beginning of one that has started (3001).
func (s *Store) UpdateCampaign(ctx context.Context, publicID string, ch CampaignChange) (CampaignView, error) {
	view, err := s.Campaign(ctx, publicID)
	if err != nil {
		return view, err
	}
	err = s.tx(ctx, func(tx *gorm.DB) error {
		if _, err := s.lockCampaigns(tx, "id = ?", view.ID); err != nil {
			return err
		}
		var c Campaign
		if err := tx.Raw("SELECT "+listedColumns+" FROM campaigns WHERE id=?", view.ID).Scan(&c).Error; err != nil {
			return err
		}
		if err := ch.meanwhile(c); err != nil {
			return err
		}
		next, err := ch.on(c)
		if err != nil {
			return err
		}
		changed := campaignChanges(c, next)
		if len(changed) == 0 {
			return nil
		}
		// guard: one-door
		err = tx.Exec("UPDATE campaigns SET name=?, rate_per_second=?, expire_at=?, expire_after=?, send_at=?, wall_at=? WHERE id=?",
			next.Name, next.RatePerSecond, next.ExpireAt, next.ExpireAfter, next.SendAt, next.WallAt, c.ID).Error
		if err != nil {
			return err
		}
		return s.record(tx, ViaAPI, Event{Kind: EventCampaignChanged, CampaignID: c.PublicID, ScheduleID: c.ScheduleID, Data: EventData{"changed": changed}})
	})
	if err != nil {
		return view, err
	}
	return s.Campaign(ctx, publicID)
}

// on is a campaign with the change, or why it cannot be changed so.
func (ch CampaignChange) on(c Campaign) (Campaign, error) {
	open := slices.Contains([]Status{StatusScheduled, StatusRunning, StatusPaused}, c.Status)
	if (ch.RatePerSecond != nil || ch.ExpireAt != nil) && !open {
		return c, Errorf(CodeIllegalTransition, "the campaign is %s; only its name can be changed", c.Status)
	}
	if ch.SendAt != nil && (c.StartedAt != 0 || c.Status != StatusScheduled && c.Status != StatusPaused) {
		return c, Errorf(CodeIllegalTransition, "the campaign has started or ended; its sendAt can no longer be changed")
	}
	if ch.Name != nil {
		c.Name = *ch.Name
	}
	if ch.RatePerSecond != nil {
		c.RatePerSecond = *ch.RatePerSecond
	}
	if ch.ExpireAt != nil {
		c.ExpireAt, c.ExpireAfter = *ch.ExpireAt, 0 // one end for everybody
	}
	if ch.SendAt != nil {
		c.SendAt = *ch.SendAt
		if ch.WallAt != nil {
			c.WallAt = *ch.WallAt
		}
	}
	return c, nil
}

// changes are fields with what stood there before and what stands there now.
type changes map[string]any

// add notes a field unless it is the same as before.
func (ch changes) add(field string, before, now any) {
	if before != now {
		ch[field] = map[string]any{"from": before, "to": now}
	}
}

// addTime is add for a time in a layout; "" = none.
func (ch changes) addTime(field string, before, now Millis, layout string) {
	text := func(m Millis) string {
		if m == 0 {
			return ""
		}
		return m.Shown(layout)
	}
	ch.add(field, text(before), text(now))
}

// campaignChanges are the fields in which a campaign differs from what it was.
func campaignChanges(before, now Campaign) changes {
	ch := changes{}
	ch.add("name", before.Name, now.Name)
	ch.add("ratePerSecond", before.RatePerSecond, now.RatePerSecond)
	ch.addTime("expireAt", before.ExpireAt, now.ExpireAt, time.RFC3339Nano)
	if now.WallAt != 0 {
		ch.addTime("sendAt", before.WallAt, now.WallAt, WallClock)
	} else {
		ch.addTime("sendAt", before.SendAt, now.SendAt, time.RFC3339Nano)
	}
	return ch
}

// scheduleChanges are the fields in which a schedule differs from what it was. Of its template only the fact is told: it holds a
// message.
func scheduleChanges(before, now Schedule) changes {
	ch := changes{}
	ch.add("name", before.Name, now.Name)
	ch.add("cron", before.Cron, now.Cron)
	ch.add("timezone", before.Timezone, now.Timezone)
	ch.add("localTime", before.LocalTime, now.LocalTime)
	ch.addTime("startAt", before.StartAt, now.StartAt, time.RFC3339Nano)
	ch.addTime("endAt", before.EndAt, now.EndAt, time.RFC3339Nano)
	ch.add("missed", before.Missed, now.Missed)
	ch.add("missedGraceMillis", before.MissedGrace, now.MissedGrace)
	ch.add("overlap", before.Overlap, now.Overlap)
	if !reflect.DeepEqual(before.Campaign, now.Campaign) {
		ch["campaign"] = true
	}
	return ch
}

// recordSchedule stores the events of a change of a schedule: of its skipped slots, of its fields, and of its state.
// skipsDropped is how many skipped slots the schedule no longer has.
func (s *Store) recordSchedule(tx *gorm.DB, before, now Schedule, why ReasonCode, skipsDropped int) error {
	for _, slot := range newSkips(before.Skipped, now.Skipped) {
		e := Event{Kind: EventScheduleSkipped, ScheduleID: now.PublicID, ReasonCode: ReasonSkippedByHand, Reason: skippedByHand,
			Data: EventData{"slot": now.shownSlot(slot)}}
		if err := s.record(tx, ViaAPI, e); err != nil {
			return err
		}
	}
	e := Event{Kind: EventScheduleEdited, ScheduleID: now.PublicID, ReasonCode: why}
	if changed := scheduleChanges(before, now); len(changed) > 0 {
		e.Data = EventData{"changed": changed}
		if skipsDropped > 0 {
			e.Data["skipsDropped"] = skipsDropped
		}
		if err := s.record(tx, ViaAPI, e); err != nil {
			return err
		}
	}
	e.Data, e.FromStatus, e.ToStatus = nil, string(before.Status), string(now.Status)
	switch {
	case before.Status == now.Status && before.PauseID == now.PauseID:
		return nil
	case now.Status == ScheduleDeleted:
		e.Kind = EventScheduleDeleted
	case now.Status == SchedulePaused:
		e.Kind = EventSchedulePaused
	case before.Status == SchedulePaused:
		e.Kind = EventScheduleResumed
	}
	return s.record(tx, ViaAPI, e)
}
