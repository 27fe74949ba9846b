package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"carillon/models"
)

// UserSource is a provider whose users the directory is synced from.
type UserSource interface {
	// Users is a page of all users, from page 1 on, and how many users there are. A shorter page than size is the last one.
	// A user stands on two pages or on none when others come and go meanwhile.
	Users(ctx context.Context, page, size int) (total int, users []models.UserChange, err error)
	// Exist says for each of up to 1,000 IDs whether it is a user's. An ID that is missing in the answer may be one.
	Exist(ctx context.Context, ids []string) (map[string]bool, error)
}

const (
	syncEvery = time.Second // how often a process looks whether there is a pass to work on

	// syncPage is what OpenIM gives at most in one answer.
	syncPage = 1000
	// syncRounds is how often a pass reads the list at most. See Syncer.
	syncRounds = 3
	// vanishStep is how many users one request asks about, and one transaction takes away.
	vanishStep = 500

	// A page is tried so often, and the wait before the second try doubles for the third. Then the sync fails, and goes on later.
	syncTries = 3
	syncPause = time.Second
)

// SyncOptions are the settings of a Syncer.
type SyncOptions struct {
	Period   time.Duration // how old the directory may become; 0 = a pass runs when it is asked for
	PageSize int           // users on a page; 0 = 1,000
	Pause    time.Duration // before the second try of a page; 0 = 1 s
}

// Syncer syncs the directory from a provider's users. Any number of processes may run one: whoever holds the lease of the row in
// the ledger works on the pass. A pass goes like this:
//
//  1. It reads the list page by page. Each page is one transaction, which also notes the next page.
//  2. When it has seen fewer users than there are, the list moved meanwhile. It reads the list again, up to syncRounds times, and
//     with another page size each time: what fell between two pages then stands in the middle of one.
//  3. It is not complete when it saw nobody, or fewer than half of the users that the pass before saw or that the provider
//     says it has, or when the provider says in the end that it has fewer than half of the users that it listed. Then nobody
//     vanishes, and a new pass begins later.
//  4. It takes users away whom two complete passes in a row did not see, after the provider has said of each that there is no
//     such user.
type Syncer struct {
	store  *models.Store
	source UserSource
	opts   SyncOptions
	log    *slog.Logger
	loops  loops
}

// NewSyncer makes a syncer that does nothing until Start.
func NewSyncer(store *models.Store, source UserSource, opts SyncOptions, log *slog.Logger) *Syncer {
	if opts.PageSize == 0 {
		opts.PageSize = syncPage
	}
	if opts.Pause == 0 {
		opts.Pause = syncPause
	}
	return &Syncer{store: store, source: source, opts: opts, log: log}
}

// Start begins the loop.
func (s *Syncer) Start() { s.loops.start(s.log, loop{syncEvery, "sync the directory", s.Work}) }

// Stop ends the loop and waits for it. A pass under way is left to the next process. Stop may be called twice.
func (s *Syncer) Stop() { s.loops.stop() }

// sourceError is a failure of the provider, or of what it says.
type sourceError struct {
	err  error
	over bool // the pass cannot go on where it is
}

func (e *sourceError) Error() string { return e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

// Work works on the pass that is due, if there is one and nobody else has it, to its end. A failure of the provider is noted in the
// ledger and is no error.
func (s *Syncer) Work(ctx context.Context) error {
	taken := time.Now()
	y, err := s.store.TakeSync(ctx, models.Millis(s.opts.Period.Milliseconds()))
	if err != nil || y == nil {
		return err
	}
	err = s.pass(ctx, y)
	var failed *sourceError
	switch {
	case err == nil:
		s.log.Info("the directory is synced", "pass", y.Pass, "seen", y.Seen(), "created", y.Created, "changed", y.Changed, "vanished", y.Vanished,
			"refused", y.Refused, "shortened", y.Shortened, "took", (time.Duration(y.Now-y.BegunAt)*time.Millisecond + time.Since(taken)).Round(time.Millisecond))
		return nil
	case errors.Is(err, models.ErrFenced):
		return nil // this process stood still, and another one has the pass
	case ctx.Err() == nil && errors.As(err, &failed):
		if y.Failures == 0 {
			s.log.Warn("the directory cannot be synced", "pass", y.Pass, "seen", y.Seen(), "total", y.Total, "err", failed.err)
		}
		return s.store.FailSync(ctx, y, failed.Error(), failed.over)
	}
	leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
	defer cancel()
	return errors.Join(err, s.store.LeaveSync(leaving, y))
}

func (s *Syncer) pass(ctx context.Context, y *models.Sync) error {
	for y.Phase == models.SyncReading {
		if err := s.page(ctx, y); err != nil {
			return err
		}
	}
	if err := s.remove(ctx, y); err != nil {
		return err
	}
	return s.store.CompleteSync(ctx, y)
}

// page takes the next page into the directory. Behind the last one it ends the round.
func (s *Syncer) page(ctx context.Context, y *models.Sync) error {
	page, size := y.Page, s.pageSize(y.Round)
	var total int
	var users []models.UserChange
	err := s.try(ctx, y, func() (err error) {
		if total, users, err = s.source.Users(ctx, page, size); err == nil {
			err = checkPage(page, size, total, len(users))
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := s.store.SyncPage(ctx, y, users, int64(total)); err != nil {
		return err
	}
	if (page-1)*size+len(users) < total {
		return nil
	}
	return s.endRound(ctx, y)
}

// pageSize is another one for each round.
func (s *Syncer) pageSize(round int) int { return max(1, s.opts.PageSize-(round-1)*s.opts.PageSize/7) }

// checkPage refuses a page that cannot be one of the list. A list that changed while the provider counted it makes such a page
// too, and is right at the next try.
func checkPage(page, size, total, n int) error {
	switch {
	case n > size:
		return fmt.Errorf("the provider lists %d users on a page of %d", n, size)
	case n > total:
		return fmt.Errorf("the provider lists %d users on page %d, and says that it has %d", n, page, total)
	case n < size && (page-1)*size+n < total:
		return fmt.Errorf("the provider lists %d users on page %d of %d users each, and says that it has %d", n, page, size, total)
	}
	return nil
}

// endRound ends the reading, or begins another round.
func (s *Syncer) endRound(ctx context.Context, y *models.Sync) error {
	seen := y.Seen() + y.Refused
	switch {
	case seen < y.Total && y.Round < syncRounds:
		return s.store.ReadAgain(ctx, y)
	case y.Fewer:
	case seen == 0:
		return &sourceError{errors.New("the pass is not complete: the provider lists no user"), true}
	case 2*y.Total < y.Seen():
		return &sourceError{fmt.Errorf("the pass is not complete: the provider listed %d users, and now says that it has %d", y.Seen(), y.Total), true}
	case 2*seen < max(y.LastSeen, y.Total): // guard: half-seen
		return &sourceError{fmt.Errorf("the pass is not complete: it saw %d users, fewer than half of %d; if that is right, run carillon users sync --fewer",
			seen, max(y.LastSeen, y.Total)), true}
	}
	return s.store.EndReading(ctx, y)
}

// remove takes away who has vanished.
func (s *Syncer) remove(ctx context.Context, y *models.Sync) error {
	after := ""
	for {
		ids, err := s.store.Unseen(ctx, y, after, vanishStep)
		if err != nil || len(ids) == 0 {
			return err
		}
		after = ids[len(ids)-1]
		var exist map[string]bool
		if err := s.try(ctx, y, func() (err error) { exist, err = s.source.Exist(ctx, ids); return err }); err != nil {
			return err
		}
		var gone, alive []string
		for _, id := range ids {
			switch there, known := exist[id]; {
			case known && !there: // guard: vanished-at-the-provider
				gone = append(gone, id)
			case there:
				alive = append(alive, id)
			}
		}
		if err := s.store.RemoveUnseen(ctx, y, gone, alive); err != nil {
			return err
		}
	}
}

// try asks the provider, and again when that fails. Before each further try it renews the lease; the step before the first
// try has done so.
func (s *Syncer) try(ctx context.Context, y *models.Sync, ask func() error) error {
	for n := range syncTries {
		if n > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(s.opts.Pause << (n - 1)):
			}
			if err := s.store.KeepSync(ctx, y); err != nil {
				return err
			}
		}
		err := ask()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case n == syncTries-1:
			return &sourceError{err, false}
		}
	}
	return nil
}
