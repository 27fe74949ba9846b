package handlers

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"carillon/channels"
	"carillon/internal/testkit"
)

func groupPath(id string) string { return "/v1/groups/" + url.PathEscape(id) }

type groupView struct {
	GroupID     string `json:"groupID"`
	Name        string `json:"name"`
	MemberCount int    `json:"memberCount"`
}

// putGroup puts a group that must be taken.
func (s *server) putGroup(id, name string, memberIDs ...string) (got groupView) {
	s.t.Helper()
	if memberIDs == nil {
		memberIDs = []string{}
	}
	status, reply := s.do("PUT", groupPath(id), map[string]any{"name": name, "memberIDs": memberIDs})
	if status != http.StatusOK {
		s.t.Fatalf("%d %.300s", status, reply.Raw)
	}
	reply.into(s.t, &got)
	return got
}

func TestGroupIsReplacedAsAWhole(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		if status, got := s.do("GET", "/v1/groups", nil); status != http.StatusOK || string(got.Data) != `{"groups":[],"nextCursor":""}` {
			t.Errorf("no groups: %d %s", status, got.Raw)
		}
		// members are compared byte for byte, come once, and need not stand in the directory
		if got, want := s.putGroup("a/b %", "First", "bob", "Bob", "bob", "bob b", "bób"), (groupView{"a/b %", "First", 4}); got != want {
			t.Errorf("%+v", got)
		}
		if got, want := walk[string](s, groupPath("a/b %")+"/members", "memberIDs", 3), []string{"Bob", "bob", "bob b", "bób"}; !slices.Equal(got, want) {
			t.Errorf("members %q", got)
		}
		want := groupView{"a/b %", "Second", 1}
		if got := s.putGroup("a/b %", "Second", "carol"); got != want {
			t.Errorf("replaced: %+v", got)
		}
		var got groupView
		status, reply := s.do("GET", groupPath("a/b %"), nil)
		if reply.into(t, &got); status != http.StatusOK || got != want {
			t.Errorf("%d %s", status, reply.Raw)
		}
		if got := walk[string](s, groupPath("a/b %")+"/members", "memberIDs", 10); !slices.Equal(got, []string{"carol"}) {
			t.Errorf("members after the second PUT: %q", got)
		}
		if got := s.putGroup("a/b %", ""); got.MemberCount != 0 {
			t.Errorf("emptied: %+v", got)
		}
		if _, got := s.do("GET", groupPath("a/b %")+"/members", nil); string(got.Data) != `{"memberIDs":[],"nextCursor":""}` {
			t.Errorf("no members: %s", got.Raw)
		}
		if status, got := s.do("DELETE", groupPath("a/b %"), nil); status != http.StatusOK || string(got.Data) != "{}" {
			t.Errorf("delete: %d %s", status, got.Raw)
		}
		for _, route := range []string{"GET ", "DELETE ", "GET /members"} {
			method, tail, _ := strings.Cut(route, " ")
			if status, got := s.do(method, groupPath("a/b %")+tail, nil); status != http.StatusNotFound || got.ErrCode != 1004 {
				t.Errorf("%s of a group that is gone: %d %s", route, status, got.Raw)
			}
		}
	})
}

func TestGroupsAndMembersPaging(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		var members []string
		for i := range 2500 {
			members = append(members, fmt.Sprintf("member-%04d", i))
		}
		s.putGroup("g1", "", members...)
		for _, id := range []string{"g2", "G", "g", "g g"} {
			s.putGroup(id, "n", "other")
		}
		for _, limit := range []int{499, 500, 1000} {
			if got := walk[string](s, "/v1/groups/g1/members", "memberIDs", limit); !slices.Equal(got, members) {
				t.Errorf("limit %d: %d members", limit, len(got))
			}
		}
		for _, limit := range []int{1, 2, 5, 6} {
			var got []string
			for _, g := range walk[groupView](s, "/v1/groups", "groups", limit) {
				got = append(got, g.GroupID)
			}
			if want := []string{"G", "g", "g g", "g1", "g2"}; !slices.Equal(got, want) {
				t.Errorf("limit %d: %q", limit, got)
			}
		}
		for path, field := range map[string]string{"/v1/groups?limit=0": "limit", "/v1/groups?cursor=!": "cursor", "/v1/groups/g1/members?limit=1001": "limit", "/v1/groups/g1/members?cursor=!": "cursor"} {
			if status, got := s.do("GET", path, nil); status != http.StatusUnprocessableEntity || got.fields(t)[field] == "" {
				t.Errorf("%s: %d %s", path, status, got.Raw)
			}
		}
	})
}

func TestPutGroupNamesWhatItRefuses(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		for _, tt := range []struct {
			path, body string
			status     int
			fields     []string
		}{
			{"g", `{"name":"n"}`, 422, []string{"memberIDs"}},
			{"g", `{"name":"n","memberIDs":null}`, 422, []string{"memberIDs"}},
			{"g", `{"memberIDs":["a","","b","\n","` + strings.Repeat("x", 65) + `"]}`, 422, []string{"memberIDs.1", "memberIDs.3", "memberIDs.4"}},
			{"g", `{"name":"` + strings.Repeat("ó", 256) + `","memberIDs":[]}`, 422, []string{"name"}},
			{"g", `{"name":"a\nb","memberIDs":[7]}`, 422, []string{"memberIDs.0"}},
			{"g", `{"name":"a\nb","memberIDs":[]}`, 422, []string{"name"}},
			{"g", `{"groupID":"g","memberIDs":[]}`, 422, []string{"groupID"}},
			{"g", `{"memberIDs":[` + strings.Repeat(`"",`, 100_000) + `""]}`, 413, []string{"memberIDs"}},
			{"g", `{`, 400, []string{"body"}},
			{strings.Repeat("x", 65), `{"memberIDs":[]}`, 422, []string{"id"}},
		} {
			status, got := s.do("PUT", groupPath(tt.path), tt.body)
			var fields []string
			for name := range got.fields(t) {
				fields = append(fields, name)
			}
			slices.Sort(fields)
			if status != tt.status || !slices.Equal(fields, tt.fields) {
				t.Errorf("%.60s: %d %.300s", tt.body, status, got.Raw)
			}
		}
		if got := walk[groupView](s, "/v1/groups", "groups", 10); len(got) != 0 {
			t.Errorf("refused requests left %+v", got)
		}
	})
}

func TestGroupOfTheMostMembersIsTaken(t *testing.T) {
	t.Parallel()
	b := GroupBody{Name: new(strings.Repeat("ó", 255)), MemberIDs: slices.Repeat([]string{strings.Repeat("x", 64)}, 100_000)}
	if err := b.check("g"); err != nil {
		t.Error(err)
	}
}

// TestGroupWithoutSessionType: what is then sent is said, and where nothing holds it for the
// members it is refused.
func TestGroupWithoutSessionType(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores, func(a *API) {
			a.Channels = append(a.Channels, channels.Traits{Name: "webhook", GroupEach: true, GroupOnce: true})
		})
		if _, err := s.Store.PutGroup(t.Context(), "g", nil, []string{"u1", "u2"}); err != nil {
			t.Fatal(err)
		}
		campaign := func(channel, more string) string {
			return `{"channel":"` + channel + `","audience":{"groupID":"g"},"message":{"sendID":"imAdmin","content":{"content":"x"},"contentType":101` + more + `}}`
		}
		for _, in := range []struct {
			channel, more string
			status, warns int
		}{
			{"inbox", ``, http.StatusAccepted, 1},
			{"", ``, http.StatusAccepted, 1},
			{"inbox", `,"sessionType":null`, http.StatusAccepted, 1},
			{"inbox", `,"sessionType":2`, http.StatusAccepted, 0},
			{"inbox", `,"sessionType":3`, http.StatusAccepted, 0},
			{"webhook", ``, http.StatusUnprocessableEntity, 0},
			{"webhook", `,"sessionType":2`, http.StatusAccepted, 0},
			{"webhook", `,"sessionType":3`, http.StatusAccepted, 0},
		} {
			before := s.stored()
			status, got := s.do("POST", "/v1/campaigns", campaign(in.channel, in.more), "Idempotency-Key", "k"+in.channel+in.more)
			var c CampaignView
			got.into(t, &c)
			if status != in.status || len(c.Warnings) != in.warns || (status != http.StatusAccepted) != (got.fields(t)["message.sessionType"] != "") {
				t.Errorf("%+v: %d %s", in, status, got.Raw)
			}
			if _, again := s.do("POST", "/v1/campaigns", campaign(in.channel, in.more), "Idempotency-Key", "k"+in.channel+in.more); string(again.Data) != string(got.Data) {
				t.Errorf("again: %s", again.Raw)
			}
			if status != http.StatusAccepted && s.stored() != before {
				t.Errorf("%+v is stored", in)
			}
			template := okSchedule(jsonFields{"campaign": campaign(in.channel, in.more)}).body()
			status, got = s.do("POST", "/v1/schedules", template)
			var sch ScheduleView
			got.into(t, &sch)
			if (status == http.StatusCreated) != (in.status == http.StatusAccepted) || len(sch.Warnings) != in.warns || (status != http.StatusCreated) != (got.fields(t)["campaign.message.sessionType"] != "") {
				t.Errorf("a schedule of %+v: %d %s", in, status, got.Raw)
			}
			if status != http.StatusCreated {
				continue
			}
			_, got = s.do("PATCH", "/v1/schedules/"+sch.ID, `{"campaign":`+campaign(in.channel, in.more)+`}`)
			var changed ScheduleView
			if got.into(t, &changed); len(changed.Warnings) != in.warns {
				t.Errorf("PATCH of %+v: %s", in, got.Raw)
			}
			var named ScheduleView
			_, got = s.do("PATCH", "/v1/schedules/"+sch.ID, `{"name":"other"}`)
			if got.into(t, &named); len(named.Warnings) != 0 {
				t.Errorf("PATCH without a campaign: %s", got.Raw)
			}
		}
	})
}
