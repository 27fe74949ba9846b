package jobs_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"carillon/channels"
	"carillon/channels/webhook"
	"carillon/internal/testkit"
	"carillon/jobs"
	"carillon/models"
)

const webhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr"

// provider answers each recipient as their ID says, and keeps a log of every request it got.
type provider struct {
	*httptest.Server
	mu     sync.Mutex
	log    map[string][]int // by clientMsgID: the answers given
	bodies []providerBody
	bad    []string // what was wrong with a request
	hang   chan struct{}
}

type providerBody struct {
	CampaignID  string          `json:"campaignID"`
	OperationID string          `json:"operationID"`
	Message     json.RawMessage `json:"message"`
	Recipients  []struct {
		RecvID      string `json:"recvID"`
		ClientMsgID string `json:"clientMsgID"`
	} `json:"recipients"`
}

func newProvider(t *testing.T) *provider {
	p := &provider{log: map[string][]int{}, hang: make(chan struct{})}
	p.Server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(func() { close(p.hang); p.Close() })
	return p
}

func (p *provider) serve(w http.ResponseWriter, r *http.Request) {
	raw, _ := io.ReadAll(r.Body)
	var body providerBody
	err := json.Unmarshal(raw, &body)
	verifier, verr := standardwebhooks.NewWebhook(webhookSecret)
	if verr == nil {
		verr = verifier.Verify(raw, r.Header)
	}
	p.mu.Lock()
	if err != nil || verr != nil || len(body.Recipients) != 1 || r.Header.Get("Idempotency-Key") != body.Recipients[0].ClientMsgID {
		p.bad = append(p.bad, fmt.Sprint(err, verr, string(raw)))
	}
	p.bodies = append(p.bodies, body)
	id := body.Recipients[0].ClientMsgID
	tries := len(p.log[id])
	status := p.answer(body.Recipients[0].RecvID, tries)
	p.log[id] = append(p.log[id], status)
	p.mu.Unlock()
	switch status {
	case hangs:
		<-p.hang
	case closes:
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	case says:
		_, _ = fmt.Fprintf(w, `{"results":[{"recvID":%q,"status":"failed","errCode":1302,"errMsg":"blocked by peer"}]}`, body.Recipients[0].RecvID)
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(status)
	default:
		w.WriteHeader(status)
	}
}

// What a provider may do besides answering with a status.
const (
	hangs  = -1
	closes = -2
	says   = -3 // 200 with a result for the recipient
)

func (p *provider) answer(recvID string, tries int) int {
	script := map[string][]int{
		"refused-400": {400}, "gone-410": {410}, "says": {says}, "always-500": {500, 500, 500},
		"busy-429": {429, 200}, "down-500": {500, 200}, "hangs": {hangs, 200}, "closes": {closes, closes, 200},
	}[recvID]
	if tries < len(script) {
		return script[tries]
	}
	return 200
}

func TestWebhookOutcomes(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		p := newProvider(t)
		hook, err := webhook.New(webhook.Config{URL: p.URL, Secret: webhookSecret, Timeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		r := newRig(t, s, jobs.Options{Channels: []channels.Channel{hook}, MaxAttempts: 3, Backoff: 50 * time.Millisecond})
		sp := spec(models.Audience{Type: models.AudienceUsers, UserIDs: []string{
			"fine", "refused-400", "gone-410", "says", "always-500", "busy-429", "down-500", "hangs", "closes"}})
		sp.Channel = "webhook"
		sp.Message.SenderNickname, sp.Message.SenderPlatformID, sp.Message.Ex = "Gordon", 1, "x"
		sp.Message.OfflinePushInfo = &models.OfflinePushInfo{Title: "send message", IOSPushSound: "default", IOSBadgeCount: true}
		c := r.finished(r.post(sp))
		all := r.statuses(c)
		for id, want := range map[string]struct {
			status   models.RecipientStatus
			attempts int
		}{
			"fine":        {models.RecipientSent, 1},
			"refused-400": {models.RecipientFailed, 1},
			"gone-410":    {models.RecipientFailed, 1},
			"says":        {models.RecipientFailed, 1},
			"always-500":  {models.RecipientFailed, 3},
			"busy-429":    {models.RecipientSent, 1}, // being asked to wait is no attempt
			"down-500":    {models.RecipientSent, 2},
			"hangs":       {models.RecipientSent, 2},
			"closes":      {models.RecipientSent, 3},
		} {
			rec := all[id]
			if rec.Status != want.status || rec.Attempts != want.attempts {
				t.Errorf("%s: %s after %d attempts, want %s after %d", id, rec.Status, rec.Attempts, want.status, want.attempts)
			}
			if rec.Status == models.RecipientFailed && (rec.ErrCode == nil || *rec.ErrCode == 0 || rec.ErrMsg == nil || *rec.ErrMsg == "") {
				t.Errorf("%s failed without a code and a text: %+v", id, rec)
			}
		}
		if says := all["says"]; says.ErrCode == nil || *says.ErrCode != 1302 || *says.ErrMsg != "blocked by peer" {
			t.Errorf("the provider's own result: %+v", says)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, bad := range p.bad {
			t.Error("a request: ", bad)
		}
		// The ledger knows every request: as many as attempts, but for those the provider asked to wait.
		for id, rec := range all {
			n := 0
			for _, status := range p.log[models.ClientMsgID(c.PublicID, models.KindUser, id)] {
				if status != http.StatusTooManyRequests {
					n++
				}
			}
			if n != rec.Attempts {
				t.Errorf("%s: %d requests at the provider, %d attempts in the ledger", id, n, rec.Attempts)
			}
			delete(p.log, models.ClientMsgID(c.PublicID, models.KindUser, id))
		}
		if len(p.log) != 0 {
			t.Errorf("the provider got requests for %d recipients that the ledger does not know", len(p.log))
		}
		var got map[string]any
		if err := json.Unmarshal(p.bodies[0].Message, &got); err != nil {
			t.Fatal(err)
		}
		for _, field := range []string{"sendID", "senderNickname", "senderFaceURL", "senderPlatformID", "content", "contentType", "sessionType", "isOnlineOnly", "notOfflinePush", "offlinePushInfo", "ex"} {
			if _, ok := got[field]; !ok {
				t.Errorf("the provider misses %s", field)
			}
		}
	})
}
