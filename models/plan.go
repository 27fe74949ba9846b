package models

import (
	"context"

	"gorm.io/gorm"
)

// planBatch is how many recipients one planning transaction cuts: 10 pages, some 50 KB of blobs.
const planBatch = 10 * PageSize

// PlanStep is what one step of planning did.
type PlanStep struct {
	Done  bool // the whole audience is cut, or there is nothing (more) to plan
	Tasks []PageTask
}

// PlanNext cuts the next pages of a campaign's audience by one key-ordered read, and remembers how far it
// came, in one transaction that only the holder of the plan's epoch can commit. When the walk ends it fixes
// the campaign's total. ErrFenced: another worker plans it now.
func (s *Store) PlanNext(ctx context.Context, task PlanTask) (PlanStep, error) {
	var rows []Campaign
	if err := s.db.WithContext(ctx).Where("id = ?", task.Campaign).Limit(1).Find(&rows).Error; err != nil {
		return PlanStep{}, err
	}
	if len(rows) == 0 || rows[0].Planned {
		return PlanStep{Done: true}, nil
	}
	c := rows[0]
	if c.PlanEpoch != task.Epoch {
		return PlanStep{}, ErrFenced
	}
	ids, err := s.audienceAfter(ctx, c)
	if err != nil {
		return PlanStep{}, err
	}
	step := PlanStep{Done: len(ids) < planBatch}
	next := c.PlanCursor
	if len(ids) > 0 {
		next = ids[len(ids)-1]
	}
	members := make([]string, 0, len(ids))
	for _, id := range ids {
		if id != c.Message.SendID {
			members = append(members, id)
		}
	}
	pages := cutPages(c.ID, c.Pages, members)
	for i := range pages {
		if pages[i].No >= firstWindow {
			break
		}
		pages[i].State, pages[i].Epoch = PageQueued, 1
		step.Tasks = append(step.Tasks, PageTask{Campaign: c.ID, Page: pages[i].No, Epoch: 1, Priority: c.Priority})
	}
	err = s.tx(ctx, func(tx *gorm.DB) error {
		fence := tx.Exec("UPDATE campaigns SET plan_cursor=?, pages=pages+?, plan_due="+s.d.now+"+? WHERE id=? AND plan_epoch=? AND plan_cursor=? AND planned=?",
			next, len(pages), PlanLease, c.ID, c.PlanEpoch, c.PlanCursor, false)
		if fence.Error != nil {
			return fence.Error
		}
		if fence.RowsAffected == 0 {
			return ErrFenced
		}
		var due Millis
		if err := tx.Raw("SELECT " + s.d.now).Scan(&due).Error; err != nil {
			return err
		}
		for i := range pages {
			if pages[i].State == PageQueued {
				pages[i].DueAt = due + QueueLease
			}
		}
		if err := insertPages(tx, pages); err != nil || !step.Done {
			return err
		}
		var total int64
		if err := tx.Raw("SELECT COALESCE(SUM(size),0) FROM pages WHERE campaign_id=?", c.ID).Scan(&total).Error; err != nil {
			return err
		}
		return tx.Exec("UPDATE campaigns SET planned=?, total=? WHERE id=?", true, total, c.ID).Error
	})
	return step, err
}

// audienceAfter reads the next members of the frozen audience, in byte order, the sender still among them.
func (s *Store) audienceAfter(ctx context.Context, c Campaign) ([]string, error) {
	db := s.db.WithContext(ctx)
	if c.AudienceType == AudienceGroup {
		return s.membersAfter(db, c.GroupID, c.GroupVersion, c.PlanCursor, planBatch)
	}
	var ids []string
	err := db.Model(&User{}).Where("user_id > ? AND added_rev <= ?", c.PlanCursor, c.Mark).
		Order("user_id").Limit(planBatch).Pluck("user_id", &ids).Error
	return ids, err
}

// DuePlans gives every campaign whose planning has stood still past its lease a new epoch, and returns the
// plans to enqueue. One that was paused or ended early is planned to its end too: each of its recipients has a status.
func (s *Store) DuePlans(ctx context.Context) ([]PlanTask, error) {
	var rows []Campaign
	err := s.db.WithContext(ctx).Select("id", "plan_epoch", "priority").
		Where("status IN ? AND planned = ? AND plan_due <= "+s.d.now, []Status{StatusRunning, StatusPaused, StatusCancelled, StatusExpired}, false).Limit(200).Find(&rows).Error
	if err != nil {
		return nil, err
	}
	var tasks []PlanTask
	for _, c := range rows {
		res := s.w.WithContext(ctx).Exec("UPDATE campaigns SET plan_epoch=plan_epoch+1, plan_due="+s.d.now+"+? WHERE id=? AND plan_epoch=? AND planned=? AND plan_due <= "+s.d.now,
			PlanLease, c.ID, c.PlanEpoch, false)
		if res.Error != nil {
			return tasks, res.Error
		}
		if res.RowsAffected == 1 {
			tasks = append(tasks, PlanTask{Campaign: c.ID, Epoch: c.PlanEpoch + 1, Priority: c.Priority})
		}
	}
	return tasks, nil
}

// FinishCampaign completes a running campaign (or, after its expireAt, expires it) when all its pages are done and
// their outcomes are its total.
// Otherwise it stays as it is; when all pages are done and the sums still differ, statusReason says so.
func (s *Store) FinishCampaign(ctx context.Context, campaignID int64) (finished bool, err error) {
	var open int64
	err = s.db.WithContext(ctx).Raw("SELECT COUNT(*) FROM (SELECT 1 AS one FROM pages WHERE campaign_id=? AND state IN (?,?,?,?) LIMIT 1) o",
		campaignID, PageNew, PageQueued, PageRunning, PageWaiting).Scan(&open).Error
	if err != nil || open > 0 {
		return false, err
	}
	c, err := s.CampaignByID(ctx, campaignID)
	if err != nil || c.Status != StatusRunning || !c.Planned || c.Retry != "" {
		return false, err
	}
	if c.Pending != 0 {
		reason := "all pages are done but their outcomes are not the total"
		return false, s.w.WithContext(ctx).Exec("UPDATE campaigns SET status_reason=? WHERE id=? AND status=?", reason, campaignID, StatusRunning).Error
	}
	ends := ", finished_at=" + s.d.now
	now, err := s.Now(ctx)
	if err != nil {
		return false, err
	}
	if c.Expired > 0 && c.ExpireAt > 0 && c.ExpireAt <= now {
		// The workers obey expireAt to the instant, so they may have closed every page before the row said so.
		return s.moveCampaign(ctx, campaignID, StatusRunning, StatusExpired, expiredReason, ends)
	}
	return s.moveCampaign(ctx, campaignID, StatusRunning, StatusCompleted, "", ends)
}
