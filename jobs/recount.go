package jobs

import (
	"context"
	"time"

	"carillon/models"
)

const (
	recountEvery = time.Second
	// recountMost is how many finished campaigns are recounted at a time. A process that starts
	// goes through all of them, and the database should hardly feel it.
	recountMost = 20
)

// recounter stores the counts of campaigns that a program older than those columns has finished.
type recounter struct {
	store   *models.Store
	counted models.Finished // up to here stored counts were compared with the pages
}

func (r *recounter) recount(ctx context.Context) (err error) {
	r.counted, err = r.store.Recount(ctx, r.counted, recountMost)
	return err
}
