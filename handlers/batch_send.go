package handlers

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"carillon/handlers/web"
	"carillon/models"
)

// maxAsOriginal is the longest list that is answered as the original answers it. See API.BatchWait.
const maxAsOriginal = 1000

// resultBytes is one recipient in the answer to a request that waited.
const resultBytes = 512

// BatchAnswer is the data of POST /msg/batch_send_msg. Its lists are null until the campaign is done and was waited for.
type BatchAnswer struct {
	CampaignID string        `json:"campaignID"`
	Status     models.Status `json:"status"`
	Total      int64         `json:"total"`
	BatchLists
}

// BatchLists are the whole data of the original's answer. A list is null when it is empty.
type BatchLists struct {
	Results       []BatchResult `json:"results"`
	FailedUserIDs []string      `json:"failedUserIDs"` // all who are not known to have been sent the message
}

// BatchResult is one recipient who was sent the message.
type BatchResult struct {
	ServerMsgID string `json:"serverMsgID"`
	ClientMsgID string `json:"clientMsgID"`
	SendTime    int64  `json:"sendTime"` // unix ms
	RecvID      string `json:"recvID"`
}

// Batch is what POST /msg/batch_send_msg answers: the campaign, or the original's two lists, which are all of the original's
// answer.
type Batch struct {
	ID      string        // of the campaign; empty = none was made
	Applied time.Duration // of Prefer: wait; 0 = the answer did not wait
	Waited  *BatchAnswer  // as it was after waiting; nil = not waited for
	Lists   *BatchLists   // as the original answers; nil = the campaign is the answer
	first   []byte        // the answer to the first request with the same key
}

// batchSendMsg is the contract: the request becomes a campaign and is answered at once. With Prefer: wait=N, or with
// API.BatchWait, it is answered when the campaign is done or the time is up.
func (a *API) batchSendMsg(in *web.In) error {
	body, err := in.Body(web.ListBody)
	if err != nil {
		return err
	}
	if _, _, err := in.Wait(); err != nil {
		return err
	}
	b, err := bindBatch(body)
	if err != nil {
		return err
	}
	made, err := a.BatchSend(in.Context(), in.Call, b)
	applied(in.W, made.Applied)
	switch {
	case err != nil:
		return err
	case made.Waited != nil:
		return in.Answer(http.StatusOK, made.Waited)
	case made.Lists == nil:
		return web.Answer(in.W, http.StatusOK, made.first)
	case made.ID != "":
		in.W.Header().Set("Location", a.Path("/v1/campaigns/"+made.ID))
	}
	return in.Answer(http.StatusOK, made.Lists)
}

// BatchSend makes a campaign as OpenIM's own request describes it.
func (a *API) BatchSend(ctx context.Context, call web.Call, b BatchBody) (Batch, error) {
	wait, preferred, err := call.Wait()
	if err != nil {
		return Batch{}, err
	}
	dropIn := !preferred && a.BatchWait > 0
	var order []string // of recvIDs, which spec sorts
	if dropIn && !b.IsSendAll && len(b.RecvIDs) > 0 && len(b.RecvIDs) <= maxAsOriginal {
		order, wait = slices.Clone(b.RecvIDs), a.BatchWait
	}
	spec, err := b.spec(dropIn)
	if err != nil {
		return Batch{}, err
	}
	if err := a.complete(call, &spec, "", ""); err != nil {
		return Batch{}, err
	}
	if dropIn && b.namesNobody() {
		return Batch{Lists: &BatchLists{}}, nil
	}
	created, err := a.createBatch(ctx, call, spec)
	if err != nil {
		return Batch{}, err
	}
	made := Batch{ID: created.PublicID, first: created.Answer}
	give, ok := a.mayWait(ctx, wait)
	if !ok {
		return made, nil
	}
	defer give()
	if !preferred {
		made.Lists, made.Waited = a.asOriginal(ctx, call, made.ID, order, spec.Message.SendTime)
		return made, nil
	}
	made.Applied = wait
	done, err := a.waitForEnd(ctx, made.ID, wait, false)
	made.Waited = &done
	return made, err
}

// createBatch makes the campaign. What the original's answer has no place for is logged.
func (a *API) createBatch(ctx context.Context, call web.Call, spec models.CampaignSpec) (models.Created, error) {
	warned, err := a.warnings(ctx, spec, "")
	if err != nil {
		return models.Created{}, err
	}
	created, err := a.createCampaignFrom(ctx, call, spec, func(c models.Campaign) []byte {
		return web.Success(BatchAnswer{CampaignID: c.PublicID, Status: c.Status, Total: c.Total})
	})
	if err != nil || created.Replayed {
		return created, err
	}
	for _, text := range warned {
		a.Log.Warn("a campaign was accepted with a warning", "warning", text, "campaign", created.PublicID, "operationID", call.OperationID)
	}
	return created, nil
}

// asOriginal is the original's two lists, in the order of the request, when the campaign is done in
// time. held is how the campaign stands when it is held up: it cannot be done in time. Both nil = the
// time is up. stamp is the message's own sendTime; 0 = none.
//
// A ledger that does not answer is no error of the request: the message is on its way. A caller who
// repeats the request would send the message twice.
func (a *API) asOriginal(ctx context.Context, call web.Call, id string, order []string, stamp int64) (lists *BatchLists, held *BatchAnswer) {
	done, err := a.waitForEnd(ctx, id, a.BatchWait, true)
	if err != nil {
		a.Log.Warn("a list is answered with its campaign, since the results cannot be read", "operationID", call.OperationID, "campaign", id, "err", err)
	}
	if err == nil && heldUp(done.Status) {
		return nil, &BatchAnswer{CampaignID: done.CampaignID, Status: done.Status, Total: done.Total}
	}
	ended := done.Status == models.StatusCompleted || done.Status == models.StatusFailed
	if err != nil || !ended || int64(len(done.Results)+len(done.FailedUserIDs)) != done.Total {
		return nil, nil
	}
	place := make(map[string]int, len(order))
	for i, id := range slices.Backward(order) {
		place[id] = i // who is named twice has the first place
	}
	slices.SortFunc(done.Results, func(x, y BatchResult) int { return place[x.RecvID] - place[y.RecvID] })
	slices.SortFunc(done.FailedUserIDs, func(x, y string) int { return place[x] - place[y] })
	for i := range done.Results {
		one := &done.Results[i]
		one.ServerMsgID = cmp.Or(one.ServerMsgID, one.ClientMsgID) // an empty one would say that the recipient refuses messages
		one.SendTime = cmp.Or(stamp, one.SendTime)
	}
	return &done.BatchLists, nil
}

// waitForEnd answers when the campaign is done or the time is up, and with unlessHeld when the
// campaign is held up.
func (a *API) waitForEnd(ctx context.Context, id string, wait time.Duration, unlessHeld bool) (BatchAnswer, error) {
	c, err := a.waiters.wait(ctx, a.Store, id, wait, unlessHeld)
	if err != nil {
		return BatchAnswer{}, err
	}
	out := BatchAnswer{CampaignID: id, Status: c.Status, Total: c.Total}
	if c.FinishedAt == 0 || c.Total > maxResults || c.PurgedAt != 0 {
		return out, nil
	}
	if a.Spend(ctx, resultBytes*c.Total) != nil {
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
			out.Results = append(out.Results, BatchResult{row.ServerMsgID, row.ClientMsgID, int64(*rec.SentAt), rec.UserID})
		} else {
			out.FailedUserIDs = append(out.FailedUserIDs, rec.UserID)
		}
		return nil
	})
	return out, err
}
