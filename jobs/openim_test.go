package jobs_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"carillon/channels"
	"carillon/channels/openim"
	"carillon/internal/testkit"
	double "carillon/internal/testkit/openim"
	"carillon/jobs"
	"carillon/models"
)

const openimSecret = "openIM-secret-123"

// openimRig is a rig whose channel is openim, with a double of OpenIM that has users u000001 and up.
func openimRig(t *testing.T, s testkit.Stores, users int, faults ...double.Fault) (*rig, *double.Double, double.Client) {
	t.Helper()
	return openimRigWith(t, s, openim.Config{Secret: openimSecret}, users, faults...)
}

func openimRigWith(t *testing.T, s testkit.Stores, cfg openim.Config, users int, faults ...double.Fault) (*rig, *double.Double, double.Client) {
	t.Helper()
	d, err := double.Start(double.Options{Log: filepath.Join(t.TempDir(), "log"), Secret: openimSecret, Users: users, Manners: double.Manners{Faults: faults}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	r := newQuietRig(t, s)
	cfg.URL, cfg.Timeout = d.URL(), channels.MaxTimeout
	client, err := openim.NewClient(cfg, r.rdb)
	if err != nil {
		t.Fatal(err)
	}
	ch, err := openim.New(client)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ch.Close)
	return r.with(jobs.Options{Channels: []channels.Channel{ch}, Backoff: 50 * time.Millisecond}), d, double.Client{URL: d.URL()}
}

func openimSpec(users int) models.CampaignSpec {
	ids := make([]string, users)
	for i := range ids {
		ids[i] = fmt.Sprintf("u%06d", i+1)
	}
	sp := spec(models.Audience{Type: models.AudienceUsers, UserIDs: ids})
	sp.Channel, sp.Message.SendID = openim.Name, "imAdmin"
	return sp
}

func (r *rig) postAs(sender string, s models.CampaignSpec) string {
	r.t.Helper()
	s.Message.SendID = sender
	c, err := r.store.CreateCampaign(r.t.Context(), s, []string{sender}, models.Idempotency{}, func(models.Campaign) []byte { return nil })
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.queue.Stored(r.t.Context(), c); err != nil {
		r.t.Log("enqueue:", err)
	}
	return c.PublicID
}

// A whole campaign through OpenIM: each recipient ends as OpenIM says, nobody gets it twice, and the token is asked for once
// for each kick.
func TestOpenIMCampaign(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		const n = 600
		r, _, c := openimRig(t, s, n, double.Fault{Kind: double.Kicked, Every: 150}, double.Fault{Kind: double.Unknown, Users: "u*1"},
			double.Fault{Kind: double.Refuses, Users: "u*2"}, double.Fault{Kind: double.Closed, Delivers: true, Users: "u*33"})
		got := r.finished(r.postAs("imAdmin", openimSpec(n)))
		if got.Sent != n-n/10-n/10 || got.Failed != n/10 || got.Skipped != n/10 {
			t.Errorf("%+v", got.Counts)
		}
		for id, one := range r.statuses(got) {
			switch id[6] {
			case '1':
				if one.Status != models.RecipientFailed || one.ErrCode == nil || *one.ErrCode != models.CodeRecordNotFound || *one.ErrMsg != "OpenIM has no such user" {
					t.Errorf("%s: %+v", id, one)
				}
			case '2':
				if one.Status != models.RecipientSkipped || *one.ErrMsg != "refuses messages" {
					t.Errorf("%s: %+v", id, one)
				}
			default:
				if one.Status != models.RecipientSent {
					t.Errorf("%s: %+v", id, one)
				}
			}
		}
		seen, err := c.Seen(t.Context())
		if err != nil || seen.Repeats != 0 || seen.Kicked == 0 || seen.Issued > seen.Kicked+1 {
			t.Errorf("%+v, %v", seen, err)
		}
	})
}

// What OpenIM refuses for everybody fails the campaign as a whole, after a few requests, and says why.
func TestOpenIMRefusesTheCampaign(t *testing.T) {
	t.Parallel()
	const n = 2000
	for name, tc := range map[string]struct {
		sender string
		cfg    openim.Config
		says   string
	}{
		"unknown sender": {"nobody", openim.Config{Secret: openimSecret}, "the sender is no user of OpenIM"},
		"wrong secret":   {"imAdmin", openim.Config{Secret: "another-secret"}, "OpenIM gives no admin token (1002 NoPermissionError): CARILLON_OPENIM_SECRET must be"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
				r, _, c := openimRigWith(t, s, tc.cfg, n)
				id := r.postAs(tc.sender, openimSpec(n))
				got := r.until(id, "failed as a whole", func(c models.CampaignView) bool { return c.Status == models.StatusFailed && c.FinishedAt != 0 })
				if got.Failed != n || !strings.HasPrefix(got.StatusReason, tc.says) || got.StatusReasonCode != models.ReasonRefused {
					t.Errorf("%q %q %+v", got.StatusReasonCode, got.StatusReason, got.Counts)
				}
				for id, one := range r.recipients(got.PublicID) {
					// Of those on their way when the campaign failed, it was not found out any more.
					if one.ErrMsg == nil || !strings.HasPrefix(*one.ErrMsg, tc.says) && !strings.HasPrefix(*one.ErrMsg, "OpenIM did not find the recipient, the sender") {
						t.Fatalf("%s: %+v", id, one)
					}
				}
				if seen, err := c.Seen(t.Context()); err != nil || seen.Delivered != 0 || seen.Requests["/msg/send_msg"] > n/2 {
					t.Errorf("%+v, %v", seen, err)
				}
			})
		})
	}
}

// The first answer that refuses the campaign stops its chunk of 250: only the requests under way are made.
func TestOpenIMRefusalStopsTheChunk(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		const n, most = 500, 100 // a client begins with far fewer requests at once
		r, _, c := openimRig(t, s, n, double.Fault{Kind: double.Code, Code: int(models.CodeNoPermission)})
		id := r.postAs("imAdmin", openimSpec(n))
		r.until(id, "failed as a whole", func(c models.CampaignView) bool { return c.Status == models.StatusFailed && c.FinishedAt != 0 })
		if seen, err := c.Seen(t.Context()); err != nil || seen.Requests["/msg/send_msg"] == 0 || seen.Requests["/msg/send_msg"] > most {
			t.Errorf("%+v, %v", seen, err)
		}
	})
}

// While a web page stands in OpenIM's place, nothing is burnt: the campaign pauses itself and says what it got, and a resume
// reaches everybody.
func TestOpenIMIsAWebPage(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		const n = 300
		r, d, _ := openimRig(t, s, n, double.Fault{Kind: double.Malformed, Route: "*"})
		id := r.postAs("imAdmin", openimSpec(n))
		got := r.until(id, "paused by itself", func(c models.CampaignView) bool { return c.Status == models.StatusPaused })
		if !strings.Contains(got.StatusReason, "is no OpenIM API (HTTP 200 OK): CARILLON_OPENIM_URL must be") || got.Pending != n {
			t.Errorf("%q %+v", got.StatusReason, got.Counts)
		}
		if err := d.Behave(double.Manners{}); err != nil {
			t.Fatal(err)
		}
		r.must(r.store.ResumeCampaign(t.Context(), id))
		if got := r.finished(id); got.Sent != n {
			t.Errorf("%+v", got.Counts)
		}
		for id, one := range r.recipients(id) {
			if one.Attempts != 1 {
				t.Fatalf("%s took %d attempts", id, one.Attempts)
			}
		}
	})
}
