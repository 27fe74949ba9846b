package models

import (
	"context"
	"errors"

	"gorm.io/gorm"
)

// DueCampaigns are up to 100 scheduled campaigns whose sendAt has come, oldest first, by internal number. Those that wait for
// the directory's sync are left out.
func (s *Store) DueCampaigns(ctx context.Context) (ids []int64, err error) {
	where, args := "status=? AND send_at<="+s.d.now, []any{StatusScheduled}
	waiting, more, err := s.waiting(ctx)
	if err != nil {
		return nil, err
	}
	if waiting != "" {
		where, args = where+" AND NOT ("+waiting+")", append(args, more...)
	}
	err = s.db.WithContext(ctx).Raw("SELECT id FROM campaigns WHERE "+where+" ORDER BY send_at LIMIT 100", args...).Scan(&ids).Error
	return ids, err
}

// DefaultStartGrace is how late a campaign of a sendAt still starts unless it says otherwise.
const DefaultStartGrace Millis = 3_600_000

// missedStart is the reason of a campaign at whose sendAt nothing ran.
var missedStart = Reason{ReasonMissed, "missed: nothing ran at its sendAt"}

// expireMissed ends a scheduled campaign that comes too late to start, as missed and missedGrace say. By local time each
// zone has a time of its own, and the planner decides.
func (s *Store) expireMissed(tx *gorm.DB, id int64) (missed bool, err error) {
	n, err := s.transition(tx, StatusScheduled, move{to: StatusExpired, reason: missedStart, via: ViaScheduler,
		// One that waited for the directory's sync was there in time.
		only:     "wall_at=0 AND status_reason_code NOT IN ? AND send_at<" + s.d.now + "-CASE WHEN missed='' THEN ? WHEN missed=? AND missed_grace>? THEN missed_grace ELSE ? END",
		onlyArgs: []any{[]ReasonCode{ReasonDirectorySync, ReasonDirectoryAsIs}, DefaultStartGrace, MissedOnce, OnTime, OnTime}}, id)
	return n == 1, err
}

// StartCampaign makes a scheduled campaign whose time has come running and freezes its audience. started is false
// when it was not: another process was first, or somebody paused, cancelled or moved it, or it waits for the
// directory's sync, or it comes too late and expires. One whose audience is gone meanwhile fails, and says why.
func (s *Store) StartCampaign(ctx context.Context, id int64) (out Created, started bool, err error) {
	err = s.tx(ctx, func(tx *gorm.DB) error {
		out, started = Created{}, false
		if missed, err := s.expireMissed(tx, id); err != nil || missed {
			return err
		}
		if held, err := s.holdForSync(tx, id); err != nil || held {
			return err
		}
		n, err := s.transition(tx, StatusScheduled, move{to: StatusRunning, via: ViaScheduler, set: "started_at=" + s.d.now, only: "send_at<=" + s.d.now}, id)
		if err != nil || n == 0 {
			return err
		}
		started = true
		var c Campaign
		if err := tx.Where("id = ?", id).Take(&c).Error; err != nil {
			return err
		}
		out.PublicID, out.Late = c.PublicID, max(0, c.StartedAt-c.SendAt)
		return s.start(tx, &c, &out)
	})
	return out, started, err
}

func (s *Store) start(tx *gorm.DB, c *Campaign, out *Created) error {
	if c.AudienceType == AudienceGroup {
		if _, err := s.lockGroup(tx, c.GroupID); err != nil && AsError(err).Code != CodeRecordNotFound {
			return err
		}
	}
	dir, err := s.directoryState(tx, c.Message.SendID)
	if err != nil {
		return err
	}
	err = s.freeze(tx, c, dir, int(c.Total))
	var refused *Error
	if errors.As(err, &refused) {
		// Nobody is left to send to: what its POST would have been refused for today.
		m := move{to: StatusFailed, via: ViaScheduler, reason: Reason{ReasonNoAudience, CutText("could not start: "+refused.Fields[0].Field+" "+refused.Fields[0].Reason, MaxTextChars)}}
		if !c.Planned {
			m.set, m.setArgs = "planned=?, total=0, finished_at=?", []any{true, dir.Now}
		}
		_, err := s.transition(tx, StatusRunning, m, c.ID)
		return err
	}
	if err != nil {
		return err
	}
	if !c.Planned {
		out.Plan = &PlanTask{Campaign: c.ID, Epoch: 1, Priority: c.Priority}
		c.PlanEpoch, c.PlanDue = 1, Millis(dir.Now)+PlanLease
	}
	err = tx.Exec("UPDATE campaigns SET mark=?, total=?, group_version=?, inbox=?, plan_epoch=?, plan_due=? WHERE id=?",
		c.Mark, c.Total, c.GroupVersion, c.Inbox, c.PlanEpoch, c.PlanDue, c.ID).Error
	if err != nil || !c.Planned {
		return err
	}
	var pages []Page
	if err := tx.Where("campaign_id = ? AND state = ?", c.ID, PageNew).Order("no").Limit(firstWindow).Find(&pages).Error; err != nil {
		return err
	}
	for _, p := range pages {
		task, query, args := s.queuePageSQL(p, c.Priority)
		if err := tx.Exec(query, args...).Error; err != nil {
			return err
		}
		out.Tasks = append(out.Tasks, task)
	}
	return nil
}
