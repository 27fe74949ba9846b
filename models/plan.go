package models

import (
	"cmp"
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

// PlanNext cuts the next pages of a campaign's audience. One transaction reads some members in key
// order and stores how far it came. Only the holder of the plan's epoch can commit it. When the
// walk ends, the transaction fixes the campaign's total.
//
//   - zoneStart is called for campaigns that go by time zone.
//   - ErrFenced: another worker plans the campaign now.
//   - ErrNotYet: this database does not know of the plan yet.
func (s *Store) PlanNext(ctx context.Context, task PlanTask, zoneStart func(c *Campaign, zone string, now Millis) ZoneStart) (PlanStep, error) {
	var rows []Campaign
	if err := s.db.WithContext(ctx).Where("id = ?", task.Campaign).Limit(1).Find(&rows).Error; err != nil {
		return PlanStep{}, err
	}
	switch {
	case len(rows) == 0 || rows[0].PlanEpoch < task.Epoch:
		return PlanStep{}, ErrNotYet
	case rows[0].Planned:
		return PlanStep{Done: true}, nil
	case rows[0].PlanEpoch != task.Epoch:
		return PlanStep{}, ErrFenced
	}
	c := &rows[0]
	now, err := s.Now(ctx)
	if err != nil {
		return PlanStep{}, err
	}
	n := planBatch
	if c.PlanCursor == "" {
		n = firstWindow * PageSize // nobody waits for more than is sent first
	}
	found, err := s.audienceAfter(ctx, c, n)
	if err != nil {
		return PlanStep{}, err
	}
	step := PlanStep{Done: len(found) < n}
	next := c.PlanCursor
	if len(found) > 0 {
		next = found[len(found)-1].UserID
	}
	var cut planChanges
	if c.Zoned() {
		cut, err = s.cutZones(ctx, c, found, now, func(zone string) ZoneStart { return zoneStart(c, zone, now) }, step.Done)
	} else {
		cut.inserts, step.Tasks = cutWalk(c, found, now)
	}
	if err != nil {
		return PlanStep{}, err
	}
	err = s.tx(ctx, func(tx *gorm.DB) error { return s.commitPlan(tx, c, next, cut, step.Done) })
	return step, err
}

// cutWalk cuts members in key order into pages, and queues the very first pages of the campaign.
func cutWalk(c *Campaign, found []audienceMember, now Millis) (pages []packedPage, tasks []PageTask) {
	members := make([]string, len(found))
	for i, m := range found {
		members[i] = m.UserID
	}
	pages = cutPages(c.ID, c.Pages, members)
	for i := range pages {
		if pages[i].No >= firstWindow {
			break
		}
		pages[i].State, pages[i].Epoch, pages[i].DueAt = PageQueued, 1, now+QueueLease
		tasks = append(tasks, PageTask{Campaign: c.ID, Page: pages[i].No, Epoch: 1, Priority: c.Priority})
	}
	return pages, tasks
}

func (s *Store) commitPlan(tx *gorm.DB, c *Campaign, next string, cut planChanges, done bool) error {
	traceparent := cmp.Or(s.traceparent(tx.Statement.Context), c.Traceparent)
	fence := tx.Exec("UPDATE campaigns SET plan_cursor=?, pages=pages+?, plan_due="+s.d.now+"+?, traceparent=? WHERE id=? AND plan_epoch=? AND plan_cursor=? AND planned=?",
		next, len(cut.inserts), PlanLease, traceparent, c.ID, c.PlanEpoch, c.PlanCursor, false)
	if fence.Error != nil {
		return fence.Error
	}
	if fence.RowsAffected == 0 {
		return ErrFenced
	}
	s.noteSettled(tx, c.Channel, cut.settled())
	for _, p := range cut.updates {
		if err := growPage(tx, p); err != nil {
			return err
		}
	}
	if err := insertPages(tx, cut.inserts); err != nil || !done {
		return err
	}
	if err := tx.Exec("DELETE FROM listed WHERE campaign_id=?", c.ID).Error; err != nil {
		return err
	}
	if c.AudienceType == AudienceUsers {
		// The total of a list is the number of users it named. The total stays, so that Verify
		// finds pages that lack one of them.
		return tx.Exec("UPDATE campaigns SET planned=? WHERE id=?", true, c.ID).Error
	}
	var total int64
	if err := tx.Raw("SELECT COALESCE(SUM(size),0) FROM pages WHERE campaign_id=?", c.ID).Scan(&total).Error; err != nil {
		return err
	}
	return tx.Exec("UPDATE campaigns SET planned=?, total=? WHERE id=?", true, total, c.ID).Error
}

// DuePlans gives a new epoch to every campaign whose planning has stood still past its lease. It
// returns the plans to enqueue. A campaign that was paused or ended early is planned to its end
// too, because each recipient has a status.
func (s *Store) DuePlans(ctx context.Context) ([]PlanTask, error) {
	var rows []Campaign
	err := s.db.WithContext(ctx).Select("id", "plan_epoch", "priority").
		Where("status IN ? AND planned = ? AND plan_epoch > 0 AND plan_due <= "+s.d.now, []Status{StatusRunning, StatusPaused, StatusCancelled, StatusExpired}, false).Limit(200).Find(&rows).Error
	if err != nil {
		return nil, err
	}
	var tasks []PlanTask
	for _, c := range rows {
		n, err := s.exec(ctx, "UPDATE campaigns SET plan_epoch=plan_epoch+1, plan_due="+s.d.now+"+? WHERE id=? AND plan_epoch=? AND planned=? AND plan_due <= "+s.d.now,
			PlanLease, c.ID, c.PlanEpoch, false)
		if err != nil {
			return tasks, err
		}
		if n == 1 {
			tasks = append(tasks, PlanTask{Campaign: c.ID, Epoch: c.PlanEpoch + 1, Priority: c.Priority})
		}
	}
	return tasks, nil
}

// FinishCampaign completes a running campaign when all its pages are done and their outcomes add up
// to its total. After its expireAt, the campaign becomes expired instead. Otherwise it stays as it
// is. If all pages are done and the sums still differ, statusReason says so.
func (s *Store) FinishCampaign(ctx context.Context, campaignID int64) (finished bool, err error) {
	var open int64
	err = s.db.WithContext(ctx).Raw("SELECT COUNT(*) FROM (SELECT 1 AS one FROM pages WHERE campaign_id=? AND state IN (?,?,?,?,?,?) LIMIT 1) o",
		campaignID, PageNew, PageQueued, PageRunning, PageWaiting, PageOpen, PageParked).Scan(&open).Error
	if err != nil || open > 0 {
		return false, err
	}
	c, err := s.CampaignByID(ctx, campaignID)
	if err != nil || c.Status != StatusRunning || !c.Planned || c.Retry != "" {
		return false, err
	}
	if c.Pending != 0 {
		const text = "all pages are done but their outcomes are not the total"
		_, err := s.moveCampaign(ctx, campaignID, StatusRunning, move{to: StatusRunning, reason: Reason{ReasonTotalDiffers, text}, via: ViaWorker,
			only: "status_reason<>?", onlyArgs: []any{text}})
		return false, err
	}
	now, err := s.Now(ctx)
	if err != nil {
		return false, err
	}
	if c.Expired > 0 && c.ExpireAt > 0 && c.ExpireAt <= now {
		// Workers obey expireAt to the millisecond, so they may close every page before the row
		// says expired.
		return s.finish(ctx, campaignID, StatusRunning, move{to: StatusExpired, reason: expired, via: ViaWorker})
	}
	return s.finish(ctx, campaignID, StatusRunning, move{to: StatusCompleted, via: ViaWorker})
}
