package jobs

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"carillon/internal/slots"
	"carillon/internal/zones"
	"carillon/models"
)

const finishEvery = time.Second

// finisher brings about the ends that operators and the clock decided: campaigns that expire, zones
// that end, and the pages of campaigns that are cancelled, expired or failed. Campaigns that run
// out of pages are finished in window.go.
type finisher struct {
	store  *models.Store
	steady *steadiness
	log    *slog.Logger
}

// finish takes each step whether or not the steps before it succeeded.
func (f finisher) finish(ctx context.Context) error {
	return errors.Join(f.store.ExpireCampaigns(ctx), f.closeCampaigns(ctx), f.expireZones(ctx))
}

// closeCampaigns closes the pages of campaigns that have ended early. Pages whose lease has ended
// are closed only in steady contact with the database.
func (f finisher) closeCampaigns(ctx context.Context) error {
	closing, err := f.store.ClosingCampaigns(ctx)
	errs := []error{err}
	for _, c := range closing {
		finished, err := f.store.CloseCampaign(ctx, c, f.steady.holds(time.Now()))
		if finished {
			logFinished(ctx, f.store, f.log, c.ID, c.Total)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// expireZones closes the pages of zones whose own end has come.
func (f finisher) expireZones(ctx context.Context) error {
	ending, err := f.store.ZonesThatEnd(ctx)
	if err != nil || len(ending) == 0 {
		return err
	}
	now, err := f.store.Now(ctx)
	if err != nil {
		return err
	}
	for _, z := range ending {
		loc, _ := zones.Of(z.PageZone, z.Zone)
		end, ends := slots.ZoneEnd(&z.Campaign, loc)
		if !ends || end > now {
			continue
		}
		if err := f.store.ExpireZone(ctx, z.Campaign, z.PageZone, f.steady.holds(time.Now())); err != nil {
			return err
		}
	}
	return nil
}
