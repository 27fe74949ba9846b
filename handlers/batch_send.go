package handlers

import (
	"carillon/models"
	"context"
	"net/http"
	"time"
)

// batchAnswer is the data of POST /msg/batch_send_msg. Results and FailedUserIDs are the original's: null
// when empty, and always null until the campaign is done and was waited for.
type batchAnswer struct {
	CampaignID    string        `json:"campaignID"`
	Status        models.Status `json:"status"`
	Total         int64         `json:"total"`
	Results       []batchResult `json:"results"`
	FailedUserIDs []string      `json:"failedUserIDs"`
}

type batchResult struct {
	ServerMsgID string `json:"serverMsgID"`
	ClientMsgID string `json:"clientMsgID"`
	SendTime    int64  `json:"sendTime"` // unix ms
	RecvID      string `json:"recvID"`
}

// batchSendMsg is the contract: the request becomes a campaign and is answered at once, or, with
// Prefer: wait=N, when the campaign is done or N seconds have passed.
func (a *API) batchSendMsg(w http.ResponseWriter, r *http.Request) error {
	body, err := a.readBody(w, r, listBody)
	if err != nil {
		return err
	}
	spec, err := a.parse(r, body, parseBatchSend)
	if err != nil {
		return err
	}
	wait, err := preferWait(r)
	if err != nil {
		return err
	}
	created, err := a.createCampaignFrom(r, spec, body, func(c models.Campaign) []byte {
		return success(batchAnswer{CampaignID: c.PublicID, Status: c.Status, Total: c.Total})
	})
	if err != nil {
		return err
	}
	give, ok := a.mayWait(w, r, wait)
	if !ok {
		return answer(w, http.StatusOK, created.Answer)
	}
	defer give()
	done, err := a.waitForEnd(r.Context(), created.PublicID, wait)
	if err != nil {
		return err
	}
	return answerData(w, http.StatusOK, done)
}

// waitForEnd answers when the campaign is done or the time is up.
func (a *API) waitForEnd(ctx context.Context, id string, wait time.Duration) (batchAnswer, error) {
	c, err := a.waiters.wait(ctx, a.Store, id, wait)
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
			row := recipientJSON(c, rec)
			out.Results = append(out.Results, batchResult{row.ServerMsgID, row.ClientMsgID, int64(*rec.SentAt), rec.UserID})
		}
		if rec.Status == models.RecipientFailed {
			out.FailedUserIDs = append(out.FailedUserIDs, rec.UserID)
		}
		return nil
	})
	return out, err
}
