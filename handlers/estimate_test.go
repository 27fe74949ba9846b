package handlers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/channels"
	"carillon/handlers/web"
	"carillon/internal/testkit"
	"carillon/models"
)

const hello = `"message":{"sendID":"imAdmin","content":{"content":"x"},"contentType":101}`

// estimate asks for an estimate that must be given.
func (s *server) estimate(t testing.TB, body string) (v Estimate) {
	t.Helper()
	status, got := s.do(http.MethodPost, "/v1/campaigns/estimate", body)
	if status != http.StatusOK {
		t.Fatalf("%.300s: %d %s", body, status, got.Raw)
	}
	got.into(t, &v)
	return v
}

// reasons are the counts of those who are left out.
func (e Estimate) reasons() map[LeftOutReason]int64 {
	n := map[LeftOutReason]int64{}
	for _, l := range e.LeftOut {
		n[l.Reason] += l.Count
	}
	return n
}

// TestEstimate: who gets it, who does not and why, by audience and channel.
func TestEstimate(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores, func(a *API) {
			a.Channels = append(a.Channels,
				channels.Traits{Name: "anyone", MaxBatch: 1, GroupEach: true},
				channels.Traits{Name: "synced", MaxBatch: 1, SyncsUsers: true, GroupEach: true})
			a.Rates = map[string]int{"anyone": 3, "synced": 1000}
		})
		yes := true
		var users []models.UserChange
		for id, zone := range map[string]string{"t1": "Asia/Tokyo", "t2": "Asia/Tokyo", "b1": "Europe/Berlin", "n1": "", "n2": "", "imAdmin": "Europe/Berlin"} {
			u := models.UserChange{UserID: id, Timezone: &zone}
			if id == "t2" || id == "n2" {
				u.Refuses = &yes
			}
			users = append(users, u)
		}
		if _, err := s.Store.UpsertUsers(t.Context(), users); err != nil {
			t.Fatal(err)
		}
		s.putGroup("g", "", "t1", "t2", "n1", "nobody", "noone", "imAdmin")
		s.putGroup("empty", "")
		type zones map[string][4]int64 // total, without a zone, sent, failed
		type left map[LeftOutReason]int64
		for name, c := range map[string]struct {
			body    string
			session int // 0 = 1
			want    EstimateCounts
			left    left
			zones   zones
			rate    int
			by      models.LimitedBy
			takes   int64 // -1 = not known
		}{
			"all": {
				`"audience":{"all":true}`, 0, EstimateCounts{Total: 5, Sent: 5}, left{leftOutSender: 1},
				zones{"Asia/Tokyo": {2, 0, 2, 0}, "Europe/Berlin": {1, 0, 1, 0}, "UTC": {2, 2, 2, 0}}, 0, "", -1,
			},
			"all, of whom some refuse": {
				`"audience":{"all":true},"channel":"synced"`, 0, EstimateCounts{Total: 5, Sent: 3, Skipped: 2}, left{leftOutSender: 1, leftOutRefuses: 2},
				zones{"Asia/Tokyo": {2, 0, 1, 0}, "Europe/Berlin": {1, 0, 1, 0}, "UTC": {2, 2, 1, 0}}, 1000, models.LimitedByChannelRate, 1,
			},
			"a list with all kinds of entries": { // the sender stays, as whom a list names
				`"audience":{"userIDs":["t1","b1","nobody","n1","t1","imAdmin","t1"]},"ratePerSecond":2`, 0,
				EstimateCounts{Total: 5, Sent: 4, Failed: 1}, left{leftOutRepeated: 2, leftOutUnknown: 1},
				zones{"Asia/Tokyo": {1, 0, 1, 0}, "Europe/Berlin": {2, 0, 2, 0}, "UTC": {2, 2, 1, 1}}, 2, models.LimitedByCampaignRate, 2,
			},
			"the same through a channel that reaches anyone": {
				`"audience":{"userIDs":["t1","b1","nobody","n1","t1","imAdmin","t1"]},"ratePerSecond":4,"channel":"anyone"`, 0,
				EstimateCounts{Total: 5, Sent: 5}, left{leftOutRepeated: 2},
				zones{"Asia/Tokyo": {1, 0, 1, 0}, "Europe/Berlin": {2, 0, 2, 0}, "UTC": {2, 2, 2, 0}}, 3, models.LimitedByChannelRate, 2,
			},
			"a list of whom some refuse": {
				`"audience":{"userIDs":["t1","t2","n2","nobody"]},"channel":"synced","ratePerSecond":1`, 0,
				EstimateCounts{Total: 4, Sent: 2, Skipped: 2}, left{leftOutRefuses: 2},
				zones{"Asia/Tokyo": {2, 0, 1, 0}, "UTC": {2, 2, 1, 0}}, 1, models.LimitedByCampaignRate, 2,
			},
			"each of a group": {
				`"audience":{"groupID":"g"}`, 2, EstimateCounts{Total: 6, Sent: 4, Failed: 2}, left{leftOutUnknown: 2},
				zones{"Asia/Tokyo": {2, 0, 2, 0}, "Europe/Berlin": {1, 0, 1, 0}, "UTC": {3, 3, 1, 2}}, 0, "", -1,
			},
			"each of a group, of whom some refuse": {
				`"audience":{"groupID":"g"},"channel":"synced"`, 2, EstimateCounts{Total: 6, Sent: 5, Skipped: 1}, left{leftOutRefuses: 1},
				zones{"Asia/Tokyo": {2, 0, 1, 0}, "Europe/Berlin": {1, 0, 1, 0}, "UTC": {3, 3, 3, 0}}, 1000, models.LimitedByChannelRate, 1,
			},
			"a group, once":        {`"audience":{"groupID":"g"}`, 3, EstimateCounts{Total: 1, Sent: 1}, left{}, zones{}, 0, "", -1},
			"nobody of a group":    {`"audience":{"groupID":"empty"}`, 2, EstimateCounts{}, left{}, zones{}, 0, "", -1},
			"nobody in the list":   {`"audience":{"userIDs":["nobody","noone"]}`, 0, EstimateCounts{Total: 2, Failed: 2}, left{leftOutUnknown: 2}, zones{"UTC": {2, 2, 0, 2}}, 0, "", -1},
			"a list of the sender": {`"audience":{"userIDs":["imAdmin"]}`, 0, EstimateCounts{Total: 1, Sent: 1}, left{}, zones{"Europe/Berlin": {1, 0, 1, 0}}, 0, "", -1},
		} {
			e := s.estimate(t, "{"+c.body+","+hello[:len(hello)-1]+fmt.Sprintf(`,"sessionType":%d}}`, cmp.Or(c.session, 1)))
			got := zones{}
			for _, z := range e.Zones {
				got[z.Zone] = [4]int64{z.Total, z.WithoutZone, z.Sent, z.Failed}
			}
			if e.EstimateCounts != c.want || !maps.Equal(e.reasons(), c.left) || !maps.Equal(got, c.zones) {
				t.Errorf("%s: %+v", name, e)
			}
			if e.RatePerSecond != c.rate || e.LimitedBy != c.by || e.TakesSeconds == nil != (c.takes < 0) || deref(e.TakesSeconds) != max(0, c.takes) {
				t.Errorf("%s: %d a second, limited by %q, takes %d s", name, e.RatePerSecond, e.LimitedBy, deref(e.TakesSeconds))
			}
		}
	})
}

// TestEstimateIsRefusedAsACampaign: with the same status, code and fields.
func TestEstimateIsRefusedAsACampaign(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		both := func(body string) {
			t.Helper()
			status, made := s.do(http.MethodPost, "/v1/campaigns", body)
			again, estimate := s.do(http.MethodPost, "/v1/campaigns/estimate", body)
			if status < 400 || status != again || made.ErrCode != estimate.ErrCode || string(made.Data) != string(estimate.Data) || made.ErrDlt != estimate.ErrDlt {
				t.Errorf("%.200s:\n%d %s\n%d %s", body, status, made.Raw, again, estimate.Raw)
			}
		}
		both(`{"audience":{"all":true},` + hello + `}`) // nobody is there yet
		s.users("alice")
		for _, body := range []string{
			``, `{`, `[]`, `{}`, `{"audience":{"all":true}}`, `{` + hello + `}`, `{"audience":{},` + hello + `}`,
			`{"audience":{"all":true,"groupID":"g"},` + hello + `}`, `{"audience":{"userIDs":[]},` + hello + `}`, `{"audience":{"userIDs":["a","a b\u0007"]},` + hello + `}`,
			`{"audience":{"groupID":"none"},` + hello + `}`, `{"audience":{"all":true},"unknown":1,` + hello + `}`,
			`{"audience":{"all":true},"channel":"none",` + hello + `}`, `{"audience":{"all":true},"ratePerSecond":-1,` + hello + `}`,
			`{"audience":{"all":true},"priority":"transactional",` + hello + `}`, `{"audience":{"all":true},"localTime":true,` + hello + `}`,
			`{"audience":{"all":true},"sendAt":"1999-01-01T00:00:00Z",` + hello + `}`, `{"audience":{"all":true},"expireAt":"1999-01-01T00:00:00Z",` + hello + `}`,
			`{"audience":{"all":true},"expireAfter":"1h",` + hello + `}`, `{"audience":{"all":true},"quietHours":{"from":"1","to":"2"},` + hello + `}`,
			`{"audience":{"userIDs":` + idList(models.MaxListed+1) + `},` + hello + `}`,
			`{"audience":{"all":true},` + strings.Replace(hello, "imAdmin", "nobody", 1) + `}`, `{"audience":{"all":true},` + strings.Replace(hello, "101", "99", 1) + `}`,
		} {
			both(body)
		}
		for _, token := range []string{"", s.token("alice")} {
			if status, got := s.do(http.MethodPost, "/v1/campaigns/estimate", `{"audience":{"all":true},`+hello+`}`, "token", token); status != http.StatusUnauthorized && status != http.StatusForbidden {
				t.Errorf("%d %s", status, got.Raw)
			}
		}
	})
}

// TestEstimateOfListsWithBadEntries: 0.1 %, 1 % and 30 % of a list are unknown, without a zone, or the sender.
func TestEstimateOfListsWithBadEntries(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		const n = 10_000
		var users []models.UserChange
		for i := range n {
			users = append(users, models.UserChange{UserID: fmt.Sprintf("zoned%d", i), Timezone: new("Asia/Tokyo")})
		}
		users = append(users, models.UserChange{UserID: "imAdmin", Timezone: new("Europe/Berlin")})
		for i := range n / 10 {
			users = append(users, models.UserChange{UserID: fmt.Sprintf("plain%d", i)})
		}
		for some := range slices.Chunk(users, 1000) {
			if _, err := s.Store.UpsertUsers(t.Context(), some); err != nil {
				t.Fatal(err)
			}
		}
		for _, bad := range []int{n / 1000, n / 100, n * 30 / 100} {
			third := bad / 3 // of unknown users, of users without a zone, and of places with the sender's ID
			list := make([]string, n)
			for i := range list {
				switch {
				case i < third:
					list[i] = fmt.Sprintf("unknown%d", i)
				case i < 2*third:
					list[i] = fmt.Sprintf("plain%d", i-third)
				case i < 3*third:
					list[i] = "imAdmin"
				default:
					list[i] = fmt.Sprintf("zoned%d", i)
				}
			}
			rand.Shuffle(n, func(i, j int) { list[i], list[j] = list[j], list[i] })
			raw, err := json.Marshal(list)
			if err != nil {
				t.Fatal(err)
			}
			e := s.estimate(t, `{"audience":{"userIDs":`+string(raw)+`},"ratePerSecond":100,"localTime":true,"sendAt":"2999-01-01T09:00:00",`+hello+`}`)
			total, failed, zoned := int64(n-third+1), int64(third), int64(n-3*third)
			if e.EstimateCounts != (EstimateCounts{Total: total, Sent: total - failed, Failed: failed}) ||
				!maps.Equal(e.reasons(), map[LeftOutReason]int64{leftOutRepeated: int64(third - 1), leftOutUnknown: failed}) {
				t.Errorf("%d bad: %+v, %v", bad, e.EstimateCounts, e.LeftOut)
			}
			got := map[string][3]int64{}
			for _, z := range e.Zones {
				got[z.Zone] = [3]int64{z.Total, z.WithoutZone, z.Sent}
			}
			want := map[string][3]int64{"Asia/Tokyo": {zoned, 0, zoned}, "Europe/Berlin": {1, 0, 1}, "UTC": {2 * failed, 2 * failed, failed}}
			if !maps.Equal(got, want) {
				t.Errorf("%d bad: %v, not %v", bad, got, want)
			}
			if want := (total - failed + 99) / 100; deref(e.TakesSeconds) != want || deref(e.EndsAt) == "" {
				t.Errorf("%d bad: it takes %d s, not %d", bad, deref(e.TakesSeconds), want)
			}
		}
	})
}

// TestEstimateEndsWithItsCaller: a caller who goes away stops the reading, and who waits for a turn.
func TestEstimateEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("alice")
		const members = 40_000 // four steps
		ids := make([]string, members)
		for i := range ids {
			ids[i] = fmt.Sprintf("m%05d", i)
		}
		s.putGroup("g", "", ids...)
		var body CampaignBody
		if err := web.Decode([]byte(`{"audience":{"groupID":"g"},"message":{"sendID":"imAdmin","content":{"content":"x"},"contentType":101,"sessionType":2}}`), &body, web.RefuseUnknown); err != nil {
			t.Fatal(err)
		}
		steps := func(stopAt int) (n int, err error) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			_, err = s.EstimateCampaign(models.WithProgress(ctx, func() {
				if n++; n == stopAt {
					cancel()
				}
			}), web.Call{}, body)
			return n, err
		}
		if n, err := steps(0); err != nil || n != 4 {
			t.Fatalf("%d steps, %v", n, err)
		}
		if n, err := steps(2); !errors.Is(err, context.Canceled) || n != 2 {
			t.Errorf("it went on for %d steps: %v", n, err)
		}

		for range estimatesAtOnce {
			leave, err := s.estimators.enter(t.Context(), estimatesAtOnce, "")
			if err != nil {
				t.Fatal(err)
			}
			defer leave()
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.EstimateCampaign(ctx, web.Call{}, body); !errors.Is(err, context.Canceled) {
			t.Errorf("without a turn: %v", err)
		}
		status, got := s.do(http.MethodPost, "/v1/campaigns/estimate", `{"audience":{"all":true},`+hello+`}`)
		if status != http.StatusServiceUnavailable || got.ErrCode != models.CodeUnavailable || got.Header.Get("Retry-After") == "" || !strings.Contains(got.ErrDlt, "too many campaigns are estimated at once") {
			t.Errorf("too many: %d %s", status, got.Raw)
		}
	})
}

// TestEstimateWarns: of what the POST warns of, and of what only an estimate knows.
func TestEstimateWarns(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores, func(a *API) {
			a.Channels = append(a.Channels, channels.Traits{Name: "synced", MaxBatch: 1, SyncsUsers: true})
			a.Rates = map[string]int{"inbox": 100}
		})
		s.Store.AwaitSync(1, "synced")
		s.users("alice", "bob")
		s.putGroup("g", "", "alice")
		all := `{"audience":{"all":true},`
		warns := func(body, of string) Estimate {
			t.Helper()
			e := s.estimate(t, body)
			if text := strings.Join(e.Warnings, "; "); (text == "") != (of == "") || !strings.Contains(text, of) {
				t.Errorf("%s: %q, not %q", body, text, of)
			}
			return e
		}
		warns(all+hello+`}`, "")
		warns(`{"audience":{"groupID":"g"},`+hello+`}`, "message.sessionType was not given")
		warns(all+strings.TrimSuffix(hello, "}")+`,"isOnlineOnly":true}}`, "message.isOnlineOnly")
		over := time.Now().UTC().Add(-8 * time.Hour).Format(models.WallClock)
		warns(all+`"localTime":true,"sendAt":"`+over+`",`+hello+`}`, "sendAt is over already in 1 of the recipients' time zones: 2 recipients")
		if e := warns(all+`"channel":"synced",`+hello+`}`, "waiting for the directory sync"); e.Total != 2 || e.StartsAt != nil || e.EndsAt != nil {
			t.Errorf("before the sync: %+v", e)
		}
		if status, got := s.do(http.MethodPost, "/v1/campaigns", all+hello+`}`); status != http.StatusAccepted {
			t.Fatalf("%d %s", status, got.Raw)
		}
		warns(all+hello+`}`, "campaigns that run through inbox now: 1")
		slow := s.estimate(t, `{"audience":{"all":true},"ratePerSecond":1,"quietHours":{"from":"00:01","to":"00:00"},`+hello+`}`)
		if slow.EndsAt == nil || slow.StartsAt == nil {
			t.Errorf("%+v", slow)
		}
	})
}
