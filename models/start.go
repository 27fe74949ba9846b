package models

import (
	"context"
	"errors"

	"gorm.io/gorm"
)

// DueCampaigns are up to 100 scheduled campaigns whose sendAt has come, oldest first, by internal number.
func (s *Store) DueCampaigns(ctx context.Context) (ids []int64, err error) {
	err = s.db.WithContext(ctx).Raw("SELECT id FROM campaigns WHERE status=? AND send_at<="+s.d.now+" ORDER BY send_at LIMIT 100", StatusScheduled).Scan(&ids).Error
	return ids, err
}

// DefaultStartGrace is how late a campaign of a sendAt still starts unless it says otherwise.
const DefaultStartGrace Millis = 3_600_000

// missedStart is the statusReason of a campaign at whose sendAt nothing ran.
const missedStart = "missed: nothing ran at its sendAt"

// expireMissed ends a scheduled campaign that comes too late to start, as missed and missedGrace say. By local time each
// zone has a time of its own, and the planner decides.
func (s *Store) expireMissed(tx *gorm.DB, id int64) (missed bool, err error) {
	res := tx.Exec("UPDATE campaigns SET status=?, status_reason=? WHERE id=? AND status=? AND wall_at=0 AND send_at<"+s.d.now+
		"-CASE WHEN missed='' THEN ? WHEN missed=? AND missed_grace>? THEN missed_grace ELSE ? END",
		StatusExpired, missedStart, id, StatusScheduled, DefaultStartGrace, MissedOnce, OnTime, OnTime)
	return res.RowsAffected == 1, res.Error
}

// StartCampaign makes a scheduled campaign whose time has come running and freezes its audience. started is false
// when it was not: another process was first, or somebody paused, cancelled or moved it, or it comes too late and
// expires. One whose audience is gone meanwhile fails, and says why.
func (s *Store) StartCampaign(ctx context.Context, id int64) (out Created, started bool, err error) {
	err = s.tx(ctx, func(tx *gorm.DB) error {
		out, started = Created{}, false
		if missed, err := s.expireMissed(tx, id); err != nil || missed {
			return err
		}
		fence := tx.Exec("UPDATE campaigns SET status=?, started_at="+s.d.now+" WHERE id=? AND status=? AND send_at<="+s.d.now, StatusRunning, id, StatusScheduled)
		if fence.Error != nil || fence.RowsAffected == 0 {
			return fence.Error
		}
		started = true
		var c Campaign
		if err := tx.Where("id = ?", id).Take(&c).Error; err != nil {
			return err
		}
		out.PublicID = c.PublicID
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
		set := map[string]any{"status": StatusFailed, "status_reason": "could not start: " + refused.Fields[0].Field + " " + refused.Fields[0].Reason}
		if !c.Planned {
			set["planned"], set["total"], set["finished_at"] = true, 0, dir.Now
		}
		return tx.Model(&Campaign{}).Where("id = ?", c.ID).Updates(set).Error
	}
	if err != nil {
		return err
	}
	set := map[string]any{"mark": c.Mark, "total": c.Total, "group_version": c.GroupVersion, "inbox": c.Inbox}
	if !c.Planned {
		out.Plan = &PlanTask{Campaign: c.ID, Epoch: 1, Priority: c.Priority}
		set["plan_epoch"], set["plan_due"] = 1, Millis(dir.Now)+PlanLease
	}
	if err := tx.Model(&Campaign{}).Where("id = ?", c.ID).Updates(set).Error; err != nil || !c.Planned {
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
