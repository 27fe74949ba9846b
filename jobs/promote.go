package jobs

import (
	"context"
	"time"

	"carillon/models"
)

const promoteEvery = 200 * time.Millisecond

// promoter moves pages whose time has come.
type promoter struct {
	requeuer
	windows *windows
}

// promote queues waiting pages that are due. It then lets new pages into the window whose zone's
// time or next attempt has come.
func (p promoter) promote(ctx context.Context) error {
	if err := p.requeue(ctx, models.PageWaiting, p.again); err != nil {
		return err
	}
	ids, err := p.store.CampaignsToAdvance(ctx)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := p.windows.advance(ctx, id); err != nil {
			return err
		}
	}
	return nil
}
