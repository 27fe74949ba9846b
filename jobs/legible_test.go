package jobs_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/channels"
	"carillon/channels/webhook"
	"carillon/internal/testkit"
	"carillon/jobs"
	"carillon/models"
)

// muddled is a provider that takes every message and answers in a form of its own, until it is mended.
type muddled struct {
	*httptest.Server
	mu     sync.Mutex
	answer func(ids []string, no int) string // "" = as it should be
	got    map[string]int                    // messages by user
	no     int                               // requests
}

func newMuddled(t *testing.T, answer func(ids []string, no int) string) *muddled {
	m := &muddled{answer: answer, got: map[string]int{}}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body providerBody
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		var ids []string
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, to := range body.Recipients {
			ids = append(ids, to.RecvID)
			m.got[to.RecvID]++
		}
		m.no++
		text := m.answer(ids, m.no)
		if text == "" {
			text = entries(ids, `{"recvID":%q,"status":"sent"}`)
		}
		_, _ = fmt.Fprint(w, text)
	}))
	t.Cleanup(m.Close)
	return m
}

func entries(ids []string, form string) string {
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = fmt.Sprintf(form, id)
	}
	return `{"results":[` + strings.Join(list, ",") + `]}`
}

// most is how often one user got the message, and how many got it.
func (m *muddled) most() (most, users int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.got {
		most = max(most, n)
	}
	return most, len(m.got)
}

func (m *muddled) mend() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answer = func([]string, int) string { return "" }
}

func (m *muddled) rig(t *testing.T, s testkit.Stores, batch int) *rig {
	hook, err := webhook.New(webhook.Config{URL: m.URL, Secret: webhookSecret, Batch: batch})
	if err != nil {
		t.Fatal(err)
	}
	return newRig(t, s, jobs.Options{Channels: []channels.Channel{hook}, Backoff: 50 * time.Millisecond})
}

func hookSpec(users int) models.CampaignSpec {
	ids := make([]string, users)
	for i := range ids {
		ids[i] = fmt.Sprintf("u%05d", i)
	}
	sp := spec(models.Audience{Type: models.AudienceUsers, UserIDs: ids})
	sp.Channel = "webhook"
	return sp
}

// Answers of a form that is not in the grammar pause the campaign after the first few; nobody gets the message again for them.
// Once the provider is mended, resume reaches everybody.
func TestUnreadableAnswersPause(t *testing.T) {
	t.Parallel()
	for name, form := range map[string]func(ids []string, no int) string{
		"status ok":       func(ids []string, _ int) string { return entries(ids, `{"recvID":%q,"status":"ok"}`) },
		"no results":      func([]string, int) string { return `{"results":[]}` },
		"numbers":         func(ids []string, _ int) string { return entries(ids, `{"recvID":1,"was":%q,"status":"sent"}`) },
		"only the failed": func(ids []string, _ int) string { return entries(ids[:1], `{"recvID":%q,"status":"failed"}`) },
		"a raw tab": func(ids []string, _ int) string {
			return entries(ids, "{\"recvID\":%q,\"status\":\"failed\",\"errMsg\":\"\t\"}")
		},
		"a warning in front": func(ids []string, _ int) string {
			return "Warning: x\n" + entries(ids, `{"recvID":%q,"status":"sent"}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
				p := newMuddled(t, form)
				r := p.rig(t, s, 500)
				id := r.post(hookSpec(3003))
				c := r.until(id, "paused by itself", func(c models.CampaignView) bool { return c.Status == models.StatusPaused })
				if !strings.Contains(c.StatusReason, "answers cannot be read") || c.StatusReasonCode != models.ReasonGuard || c.Sent != 0 {
					t.Errorf("reason %s %q, counts %+v", c.StatusReasonCode, c.StatusReason, c.Counts)
				}
				events, err := r.store.Events(t.Context(), models.EventFilter{Kind: models.EventCampaignPaused, Limit: 1})
				if err != nil || len(events) != 1 || events[0].Via != models.ViaGuard {
					t.Errorf("%+v, %v", events, err)
				}
				p.mend()
				if _, err := r.store.ResumeCampaign(t.Context(), id); err != nil {
					t.Fatal(err)
				}
				c = r.finished(id)
				if c.Sent+c.Failed != 3003 || c.Unknown != 0 {
					t.Errorf("counts %+v", c.Counts)
				}
				if most, users := p.most(); most > 2 || users != 3003 {
					t.Errorf("%d users got it, one of them %d times", users, most)
				}
			})
		})
	}
}

// One answer that cannot be read among good ones is what any lost answer is: its recipients are sent again, once, with
// atLeastOnce. Who is unreadable twice is unknown.
func TestUnreadableAnswerIsAmbiguous(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		p := newMuddled(t, func(ids []string, no int) string {
			switch {
			case len(ids) == 1 && ids[0] == "u00007":
				return `{"results":[`
			case no == 20:
				return "\xff\xfe{"
			}
			return ""
		})
		r := p.rig(t, s, 1)
		c := r.finished(r.post(hookSpec(300)))
		if c.Sent != 299 || c.Unknown != 1 {
			t.Errorf("counts %+v", c.Counts)
		}
		rec := r.statuses(c)["u00007"]
		if rec.Status != models.RecipientUnknown || rec.Attempts != 2 || rec.ErrMsg == nil || !strings.Contains(*rec.ErrMsg, "cannot be read: its JSON ends too early") {
			t.Errorf("%+v", rec)
		}
		if most, users := p.most(); most != 2 || users != 300 {
			t.Errorf("%d users got it, one of them %d times", users, most)
		}
	})
}
