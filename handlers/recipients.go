package handlers

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"carillon/internal/userfile"
	"carillon/internal/zones"
	"carillon/models"
)

const (
	exportBatch = 1000 // recipients read and written at a time
)

// recipientView is one recipient with their status.
type recipientView struct {
	UserID      string      `json:"userID,omitempty"`
	GroupID     string      `json:"groupID,omitempty"` // instead, where a message is stored once for a group
	Status      string      `json:"status"`
	Attempts    int         `json:"attempts"`
	ErrCode     models.Code `json:"errCode"`
	ErrMsg      string      `json:"errMsg"`
	ClientMsgID string      `json:"clientMsgID"`
	ServerMsgID string      `json:"serverMsgID"`
	SentAt      *string     `json:"sentAt"`
	Why         string      `json:"why,omitempty"` // in words; where one recipient is asked for
}

// recipientJSON renders a recipient of c. inInbox: the campaign's channel stores in the inbox.
func recipientJSON(c models.Campaign, rec models.Recipient, inInbox bool) recipientView {
	v := recipientView{Status: rec.Status.String(), Attempts: rec.Attempts, ClientMsgID: models.ClientMsgID(c.PublicID, rec.Kind, rec.UserID)}
	if rec.Kind == models.KindGroup {
		v.GroupID = rec.UserID
	} else {
		v.UserID = rec.UserID
	}
	if rec.ErrCode != nil {
		v.ErrCode = *rec.ErrCode
	}
	if rec.ErrMsg != nil {
		v.ErrMsg = *rec.ErrMsg
	}
	if v.ErrMsg == "" && (rec.Status == models.RecipientFailed || rec.Status == models.RecipientSkipped || rec.Status == models.RecipientUnknown) {
		v.ErrMsg = models.NoReason
	}
	if rec.SentAt != nil {
		v.SentAt = instantJSON(*rec.SentAt, false)
	}
	switch {
	case rec.ServerMsgID != nil:
		v.ServerMsgID = *rec.ServerMsgID
	case rec.Status == models.RecipientSent && inInbox:
		v.ServerMsgID = v.ClientMsgID // the row is the message, so its one ID is also the server's
	}
	return v
}

// wantedStatus reads ?status=; nil = any.
func wantedStatus(r *http.Request) (*models.RecipientStatus, error) {
	name := r.URL.Query().Get("status")
	if name == "" {
		return nil, nil
	}
	i := slices.Index(models.RecipientStatusNames, name)
	if i < 0 {
		return nil, queryError("status", "must be one of "+strings.Join(models.RecipientStatusNames, ", "))
	}
	s := models.RecipientStatus(i)
	return &s, nil
}

func (a *API) listRecipients(w http.ResponseWriter, r *http.Request) error {
	from, limit, err := parsePlacePage(r)
	if err != nil {
		return err
	}
	f := models.RecipientFilter{From: from, Limit: limit}
	if f.Status, err = wantedStatus(r); err != nil {
		return err
	}
	c, err := a.campaign(r)
	if err != nil {
		return err
	}
	if c.PurgedAt != 0 {
		return answerData(w, http.StatusOK, map[string]any{"recipients": []recipientView{}, "nextCursor": "", "purgedAt": instantJSON(c.PurgedAt, false)})
	}
	list, next, err := a.Store.Recipients(r.Context(), c.Campaign, f)
	if err != nil {
		return err
	}
	views, inInbox := make([]recipientView, len(list)), a.Store.StoresInInbox(c.Channel)
	for i, rec := range list {
		views[i] = recipientJSON(c.Campaign, rec, inInbox)
	}
	// An audience that is still being cut has no last page: its nextCursor is never empty.
	planned := c.Planned || next == nil
	return answerData(w, http.StatusOK, map[string]any{"recipients": views, "nextCursor": placeCursor(next), "planned": planned})
}

func (a *API) getRecipient(w http.ResponseWriter, r *http.Request) error {
	userID, err := pathID(r, "userID")
	if err != nil {
		return err
	}
	c, err := a.campaign(r)
	if err != nil {
		return err
	}
	rec, err := a.Store.Recipient(r.Context(), c.Campaign, userID)
	if err != nil {
		return err
	}
	v := recipientJSON(c.Campaign, rec, a.Store.StoresInInbox(c.Channel))
	v.Why = why(c, rec)
	if c.Zoned() {
		said, err := a.unknownZone(r.Context(), c, userID)
		if err != nil {
			return err
		}
		v.Why += said
	}
	return answerData(w, http.StatusOK, v)
}

// unknownZone says that a recipient goes by another time zone than their own; "" when they do not.
func (a *API) unknownZone(ctx context.Context, c models.CampaignView, userID string) (string, error) {
	u, err := a.Store.User(ctx, userID)
	if err != nil {
		if models.AsError(err).Code == models.CodeRecordNotFound { // they have left the directory
			return "", nil
		}
		return "", err
	}
	if u.Timezone == "" {
		return "", nil
	}
	if _, err := zones.Load(u.Timezone); err == nil {
		return "", nil
	}
	return fmt.Sprintf("; their time zone %q is not known to this program, so %s counts", u.Timezone, c.Zone), nil
}

// why says in words how a recipient came to their status, or what they wait for.
func why(c models.CampaignView, rec models.Recipient) string {
	said := ""
	if rec.ErrMsg != nil {
		said = ": " + *rec.ErrMsg
	}
	switch rec.Status {
	case models.RecipientSent:
		return fmt.Sprintf("the channel accepted it at attempt %d", rec.Attempts)
	case models.RecipientFailed:
		return fmt.Sprintf("failed for good after %d attempts%s", rec.Attempts, said)
	case models.RecipientSkipped:
		return "rightly not sent" + said
	case models.RecipientExpired:
		if c.StartedAt == 0 {
			return "the campaign ended before it started: " + c.StatusReason
		}
		if c.ExpireAfter != 0 {
			return "expireAfter had passed since their local time before it was their turn"
		}
		return "the campaign's expireAt passed before it was their turn"
	case models.RecipientCancelled:
		return "the campaign was cancelled before it was their turn"
	case models.RecipientUnknown:
		return "it may or may not have been sent, and delivery is atMostOnce" + said
	case models.RecipientPending, models.RecipientClaimed:
	}
	switch {
	case c.Status != models.StatusRunning:
		return fmt.Sprintf("still to come; the campaign is %s", c.Status)
	case rec.NextAttemptAt != nil:
		return fmt.Sprintf("to be tried again at %s after %d attempts%s", rec.NextAttemptAt.Shown(time.RFC3339), rec.Attempts, said)
	}
	return "still to come"
}

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
func (a *API) exportCSV(w http.ResponseWriter, r *http.Request) error {
	raw, err := switched(r, "raw")
	if err != nil {
		return err
	}
	bom, err := switched(r, "bom")
	if err != nil {
		return err
	}
	cell := userfile.Guard
	if raw {
		cell = func(text string) string { return text }
	}
	return a.export(w, r, "text/csv; charset=utf-8", func(out io.Writer) (write func(recipientView) error, flush func() error) {
		header := slices.Clone(csvHeader)
		if bom {
			header[0] = userfile.ByteOrderMark + header[0]
		}
		c := csv.NewWriter(out)
		_ = c.Write(header) // kept by the writer and reported by the first flush
		write = func(v recipientView) error {
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

func (a *API) exportNDJSON(w http.ResponseWriter, r *http.Request) error {
	return a.export(w, r, "application/x-ndjson", func(out io.Writer) (write func(recipientView) error, flush func() error) {
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		return func(v recipientView) error { return enc.Encode(v) }, func() error { return nil }
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

// export streams all recipients, or those of ?status=, once they are all planned. A read that fails on the way cuts the connection, so
// that nobody takes half a list for a whole one.
func (a *API) export(w http.ResponseWriter, r *http.Request, contentType string, format func(io.Writer) (write func(recipientView) error, flush func() error)) error {
	status, err := wantedStatus(r)
	if err != nil {
		return err
	}
	c, err := a.campaign(r)
	if err == nil {
		err = c.ErrPurged()
	}
	if err != nil {
		return err
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", contentType)
		return nil // the recipients need not be read for an answer without them
	}
	give, ok := a.takeLong()
	if !ok {
		return errTooManyLong
	}
	defer give()
	if err := a.untilPlanned(r.Context(), c.Campaign); err != nil {
		return err
	}
	c.Planned = true
	w.Header().Set("Content-Type", contentType)
	writesWithin(w, exportTime)
	write, flush := format(w)
	inInbox := a.Store.StoresInInbox(c.Channel)
	err = a.eachRecipient(r.Context(), c.Campaign, status, func(rec models.Recipient) error {
		return write(recipientJSON(c.Campaign, rec, inInbox))
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		if r.Context().Err() == nil {
			a.Log.Warn("an export was cut off", "operationID", operationID(r.Context()), "campaign", c.PublicID, "err", err)
		}
		panic(http.ErrAbortHandler)
	}
	return nil
}
