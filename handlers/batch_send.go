package handlers

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"carillon/models"
)

// maxAsOriginal is the longest list that is answered as the original answers it. See API.BatchWait.
const maxAsOriginal = 1000

// batchAnswer is the data of POST /msg/batch_send_msg. Its lists are null until the campaign is done and was waited for.
type batchAnswer struct {
	CampaignID string        `json:"campaignID"`
	Status     models.Status `json:"status"`
	Total      int64         `json:"total"`
	batchLists
}

// batchLists are the whole data of the original's answer. A list is null when it is empty.
type batchLists struct {
	Results       []batchResult `json:"results"`
	FailedUserIDs []string      `json:"failedUserIDs"` // all who are not known to have been sent the message
}

type batchResult struct {
	ServerMsgID string `json:"serverMsgID"`
	ClientMsgID string `json:"clientMsgID"`
	SendTime    int64  `json:"sendTime"` // unix ms
	RecvID      string `json:"recvID"`
}

// batchSendMsg is the contract: the request becomes a campaign and is answered at once. With Prefer: wait=N, or with
// API.BatchWait, it is answered when the campaign is done or the time is up.
func (a *API) batchSendMsg(w http.ResponseWriter, r *http.Request) error {
	body, err := a.readBody(w, r, listBody)
	if err != nil {
		return err
	}
	wait, preferred, err := preferWait(r)
	if err != nil {
		return err
	}
	b, err := bindBatch(body)
	if err != nil {
		return err
	}
	dropIn := !preferred && a.BatchWait > 0
	var order []string // of recvIDs, which spec sorts
	if dropIn && !b.IsSendAll && len(b.RecvIDs) > 0 && len(b.RecvIDs) <= maxAsOriginal {
		order, wait = slices.Clone(b.RecvIDs), a.BatchWait
	}
	spec, err := b.spec(dropIn)
	if err != nil {
		return err
	}
	if err := a.complete(r, &spec, ""); err != nil {
		return err
	}
	if dropIn && b.namesNobody() {
		return answerData(w, http.StatusOK, batchLists{})
	}
	warned, err := a.warnings(r.Context(), spec, "")
	if err != nil {
		return err
	}
	created, err := a.createCampaignFrom(r, spec, body, func(c models.Campaign) []byte {
		return success(batchAnswer{CampaignID: c.PublicID, Status: c.Status, Total: c.Total})
	})
	if err != nil {
		return err
	}
	for _, text := range warned { // the original's answer has no place for them
		if created.Replayed {
			break
		}
		a.Log.Warn("a campaign was accepted with a warning", "warning", text, "campaign", created.PublicID, "operationID", operationID(r.Context()))
	}
	give, ok := a.mayWait(r, wait)
	if !ok {
		return answer(w, http.StatusOK, created.Answer)
	}
	defer give()
	if !preferred {
		return a.answerAsOriginal(w, r, created, order, spec.Message.SendTime)
	}
	applied(w, wait)
	done, err := a.waitForEnd(r.Context(), created.PublicID, wait, false)
	if err != nil {
		return err
	}
	return answerData(w, http.StatusOK, done)
}

// answerAsOriginal answers with the original's two lists, in the order of the request, when the campaign is done in time.
// Else the answer is the campaign's, at once if the campaign is held up: it cannot be done in time. A ledger that does not answer is no error of the request: the message is on its way, and
// a caller who repeats the request would send the message twice. stamp is the message's own sendTime; 0 = none.
func (a *API) answerAsOriginal(w http.ResponseWriter, r *http.Request, created models.Created, order []string, stamp int64) error {
	done, err := a.waitForEnd(r.Context(), created.PublicID, a.BatchWait, true)
	if err != nil {
		a.Log.Warn("a list is answered with its campaign, since the results cannot be read", "operationID", operationID(r.Context()), "campaign", created.PublicID, "err", err)
	}
	if err == nil && heldUp(done.Status) {
		return answerData(w, http.StatusOK, batchAnswer{CampaignID: done.CampaignID, Status: done.Status, Total: done.Total})
	}
	ended := done.Status == models.StatusCompleted || done.Status == models.StatusFailed
	if err != nil || !ended || int64(len(done.Results)+len(done.FailedUserIDs)) != done.Total {
		return answer(w, http.StatusOK, created.Answer)
	}
	place := make(map[string]int, len(order))
	for i, id := range slices.Backward(order) {
		place[id] = i // who is named twice has the first place
	}
	slices.SortFunc(done.Results, func(x, y batchResult) int { return place[x.RecvID] - place[y.RecvID] })
	slices.SortFunc(done.FailedUserIDs, func(x, y string) int { return place[x] - place[y] })
	for i := range done.Results {
		one := &done.Results[i]
		one.ServerMsgID = cmp.Or(one.ServerMsgID, one.ClientMsgID) // an empty one would say that the recipient refuses messages
		one.SendTime = cmp.Or(stamp, one.SendTime)
	}
	w.Header().Set("Location", "/v1/campaigns/"+created.PublicID)
	return answerData(w, http.StatusOK, done.batchLists)
}

// waitForEnd answers when the campaign is done or the time is up, and with unlessHeld when the campaign is held up.
func (a *API) waitForEnd(ctx context.Context, id string, wait time.Duration, unlessHeld bool) (batchAnswer, error) {
	c, err := a.waiters.wait(ctx, a.Store, id, wait, unlessHeld)
	if err != nil {
		return batchAnswer{}, err
	}
	out := batchAnswer{CampaignID: id, Status: c.Status, Total: c.Total}
	if c.FinishedAt == 0 || c.Total > maxResults || c.PurgedAt != 0 {
		return out, nil
	}
	if a.spend(ctx, resultBytes*c.Total) != nil {
		return out, nil // without the lists, as for a larger campaign: what it did must not be answered by an error
	}
	free, err := a.waiters.acquireReader(ctx)
	if err != nil {
		return out, err
	}
	defer free()
	err = a.eachRecipient(ctx, c, nil, func(rec models.Recipient) error {
		if rec.Status == models.RecipientSent {
			row := recipientJSON(c, rec, a.Store.StoresInInbox(c.Channel))
			out.Results = append(out.Results, batchResult{row.ServerMsgID, row.ClientMsgID, int64(*rec.SentAt), rec.UserID})
		} else {
			out.FailedUserIDs = append(out.FailedUserIDs, rec.UserID)
		}
		return nil
	})
	return out, err
}
