package handlers

import (
	"context"
	"math"
	"net/http"
	"slices"

	"carillon/channels"
	"carillon/handlers/web"
	"carillon/models"
)

// SyncView is the state of the directory's sync as it is shown.
type SyncView struct {
	State string           `json:"state"` // running, waiting (for a process, or after a failure), or idle
	Phase models.SyncPhase `json:"phase"` // of the pass under way; empty = there is none
	Pass  int64            `json:"pass"`  // the pass under way, or the last one; 0 = there was none
	Round int              `json:"round"` // how often the pass reads the list
	Page  int              `json:"page"`  // the next one
	Total int64            `json:"total"` // how many users the provider says it has
	Seen  int64            `json:"seen"`  // different users
	models.SyncCounts
	PerSecond   float64 `json:"perSecond"` // users, since the pass began
	StartedAt   *string `json:"startedAt"`
	CompletedAt *string `json:"completedAt"` // of the last complete pass; null = there was none
	Error       string  `json:"error"`       // why the last try failed; empty = it did not
	NextTryAt   *string `json:"nextTryAt"`   // after a failure
}

// SyncJSON is a sync as it is shown.
func SyncJSON(y models.Sync) SyncView {
	v := SyncView{
		State: "idle", Phase: y.Phase, Pass: y.Pass, Round: y.Round, Page: y.Page, Total: y.Total, Seen: y.Seen(), SyncCounts: y.SyncCounts,
		PerSecond: math.Round(y.PerSecond()), StartedAt: instantJSON(y.BegunAt, false), CompletedAt: instantJSON(y.CompletedAt, false), Error: y.Error,
	}
	switch {
	case y.Works():
		v.State = "running"
	case y.Asked || y.Phase != models.SyncIdle:
		v.State = "waiting"
		if y.WaitUntil > y.Now {
			v.NextTryAt = instantJSON(y.WaitUntil, false)
		}
	}
	return v
}

// syncDirectory answers a request for a sync at once.
func (a *API) syncDirectory(in *web.In) error {
	fewer, err := in.Switch("fewer")
	if err != nil {
		return err
	}
	y, err := a.SyncDirectory(in.Context(), in.Call, fewer)
	if err != nil {
		return err
	}
	return in.Answer(http.StatusAccepted, y)
}

// SyncDirectory asks for a sync of the directory, and returns its state. With fewer, users may go however many they are.
func (a *API) SyncDirectory(ctx context.Context, call web.Call, fewer bool) (SyncView, error) {
	if err := a.syncs(); err != nil {
		return SyncView{}, err
	}
	if err := a.Store.AskSync(ctx, fewer); err != nil {
		return SyncView{}, err
	}
	return a.DirectorySync(ctx, call, nothing{})
}

// DirectorySync shows how far the sync is.
func (a *API) DirectorySync(ctx context.Context, _ web.Call, _ nothing) (SyncView, error) {
	if err := a.syncs(); err != nil {
		return SyncView{}, err
	}
	y, err := a.Store.Sync(ctx)
	return SyncJSON(y), err
}

// syncs is 1004 where no channel syncs the directory.
func (a *API) syncs() error {
	if slices.ContainsFunc(a.Channels, func(t channels.Traits) bool { return t.SyncsUsers }) {
		return nil
	}
	return models.Errorf(models.CodeRecordNotFound, "no channel that is set up here syncs the directory: set CARILLON_OPENIM_URL")
}
