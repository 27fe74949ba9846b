package jobs

import (
	"context"
	"log/slog"
	"time"

	"carillon/models"
)

// The log of all processes together has each end of a campaign once, from the process that brings
// the end about. It has each command once, from the process that takes the command's notice out of
// the ledger.

// logFinished logs the end of a campaign of total recipients.
func logFinished(ctx context.Context, store *models.Store, log *slog.Logger, id, total int64) {
	level := models.LogLevel(total)
	if !log.Enabled(ctx, level) {
		return
	}
	c, err := store.CampaignByID(ctx, id)
	if err != nil {
		log.Warn("a finished campaign cannot be read for the log", "err", err)
		return
	}
	log.Log(ctx, level, "campaign finished", "campaign", c)
}

const noticesEvery = time.Second

// noticeLog logs what operators did from the command line.
type noticeLog struct {
	store *models.Store
	log   *slog.Logger
}

// takeNotices logs the notices that are new, and takes them out of the ledger.
func (n noticeLog) takeNotices(ctx context.Context) error {
	notices, err := n.store.TakeNotices(ctx)
	for _, notice := range notices {
		if notice.Campaign == "" {
			n.log.Info(notice.What, "campaigns", notice.Campaigns, "by", "command line")
			continue
		}
		c, err := n.store.Campaign(ctx, notice.Campaign)
		if err != nil {
			n.log.Warn("a campaign cannot be read for the log", "what", notice.What, "id", notice.Campaign, "err", err)
			continue
		}
		n.log.Info(notice.What, "campaign", c, "by", "command line")
	}
	return err
}
