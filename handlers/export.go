package handlers

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"carillon/handlers/web"
	"carillon/internal/userfile"
	"carillon/models"
)

const (
	exportBatch = 1000             // recipients read and written at a time
	exportTime  = 30 * time.Second // for a piece of the answer, and for planning that stands still
)

// eachRecipient reads a campaign's recipients batch by batch, each batch a short read of its own.
func (a *API) eachRecipient(ctx context.Context, c models.Campaign, status *models.RecipientStatus, f func(models.Recipient) error) error {
	next := &models.RecipientCursor{}
	for next != nil {
		var list []models.Recipient
		var err error
		list, next, err = a.Store.Recipients(ctx, c, models.RecipientFilter{Status: status, From: *next, Limit: exportBatch})
		if err != nil {
			return err
		}
		for _, rec := range list {
			if err := f(rec); err != nil {
				return err
			}
		}
	}
	return nil
}

var csvHeader = []string{"userID", "groupID", "status", "attempts", "errCode", "errMsg", "clientMsgID", "serverMsgID", "sentAt"}

// exportCSV writes CSV, whose formulas are guarded unless ?raw=1; with ?bom=1 spreadsheets know that it is UTF-8.
func (a *API) exportCSV(in *web.In) error {
	raw, err := in.Switch("raw")
	if err != nil {
		return err
	}
	bom, err := in.Switch("bom")
	if err != nil {
		return err
	}
	cell := userfile.Guard
	if raw {
		cell = func(text string) string { return text }
	}
	return a.export(in, "text/csv; charset=utf-8", func(out io.Writer) (write func(RecipientView) error, flush func() error) {
		header := slices.Clone(csvHeader)
		if bom {
			header[0] = userfile.ByteOrderMark + header[0]
		}
		c := csv.NewWriter(out)
		_ = c.Write(header) // kept by the writer and reported by the first flush
		write = func(v RecipientView) error {
			sentAt := ""
			if v.SentAt != nil {
				sentAt = *v.SentAt
			}
			return c.Write([]string{cell(v.UserID), cell(v.GroupID), v.Status, strconv.Itoa(v.Attempts), strconv.Itoa(int(v.ErrCode)),
				cell(v.ErrMsg), v.ClientMsgID, cell(v.ServerMsgID), sentAt})
		}
		return write, func() error { c.Flush(); return c.Error() }
	})
}

func (a *API) exportNDJSON(in *web.In) error {
	return a.export(in, "application/x-ndjson", func(out io.Writer) (write func(RecipientView) error, flush func() error) {
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		return func(v RecipientView) error { return enc.Encode(v) }, func() error { return nil }
	})
}

// untilPlanned waits until the whole audience of a campaign is cut: an export of a part would look like one of all. It
// gives up when planning stands still.
func (a *API) untilPlanned(ctx context.Context, c models.Campaign) error {
	for moved := time.Now(); !c.Planned; {
		if c.StartedAt == 0 && c.FinishedAt == 0 && c.Status != models.StatusCancelled && c.Status != models.StatusExpired {
			return models.Errorf(models.CodeIllegalTransition, "the campaign is %s; its audience is fixed when it starts, and can be exported from then on", c.Status)
		}
		if time.Since(moved) > exportTime {
			return &models.Error{Code: models.CodeUnavailable, Detail: "the campaign's audience is not planned yet", RetryAfter: exportTime}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollEvery):
		}
		now, err := a.Store.CampaignByID(ctx, c.ID)
		if err != nil {
			return err
		}
		if now.PlanCursor != c.PlanCursor {
			moved = time.Now()
		}
		c = now.Campaign
	}
	return nil
}

// exportFormat writes recipients to out: write takes one, and flush is called at the end.
type exportFormat func(out io.Writer) (write func(RecipientView) error, flush func() error)

// export streams all recipients, or those of ?status=, once they are all planned. A read that fails on the way cuts the connection, so
// that nobody takes half a list for a whole one.
func (a *API) export(in *web.In, contentType string, format exportFormat) error {
	ctx, w := in.Context(), in.W
	status, err := wantedStatus(in)
	if err != nil {
		return err
	}
	id, err := in.Known("campaign")
	if err != nil {
		return err
	}
	c, err := a.Store.Campaign(ctx, id)
	if err == nil {
		err = c.ErrPurged()
	}
	if err != nil {
		return err
	}
	if in.R.Method == http.MethodHead {
		w.Header().Set("Content-Type", contentType)
		return nil // the recipients need not be read for an answer without them
	}
	give, ok := a.TakeLong()
	if !ok {
		return web.ErrTooManyLong
	}
	defer give()
	if err := a.untilPlanned(ctx, c.Campaign); err != nil {
		return err
	}
	c.Planned = true
	w.Header().Set("Content-Type", contentType)
	web.WritesWithin(w, exportTime)
	write, flush := format(w)
	inInbox := a.Store.StoresInInbox(c.Channel)
	err = a.eachRecipient(ctx, c.Campaign, status, func(rec models.Recipient) error {
		return write(recipientJSON(c.Campaign, rec, inInbox))
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		if ctx.Err() == nil {
			a.Log.Warn("an export was cut off", "operationID", in.OperationID, "campaign", c.PublicID, "err", err)
		}
		panic(http.ErrAbortHandler)
	}
	return nil
}
