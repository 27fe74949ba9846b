package handlers

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"carillon/internal/testkit"
)

// TestCampaignFilter: each part of the filter alone and all together, and what is refused.
func TestCampaignFilter(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		s.users("u1")
		made := map[string]CampaignView{}
		for _, name := range []string{"Spring SALE 50%", "spring_sale", "autumn!", ""} {
			status, got := s.do(http.MethodPost, "/v1/campaigns", map[string]any{
				"name": name, "audience": map[string]any{"all": true},
				"message": map[string]any{"sendID": "imAdmin", "contentType": 101, "content": map[string]any{"content": "hi"}},
			})
			var v CampaignView
			if got.into(t, &v); status != http.StatusAccepted {
				t.Fatalf("%d %s", status, got.Raw)
			}
			made[name] = v
			time.Sleep(2 * time.Millisecond) // so that no two are made in one millisecond
		}
		if status, got := s.do(http.MethodPost, "/v1/campaigns/"+made["autumn!"].ID+"/pause", nil); status != http.StatusOK {
			t.Fatalf("%d %s", status, got.Raw)
		}
		all := []string{"", "autumn!", "spring_sale", "Spring SALE 50%"}
		for query, want := range map[string][]string{
			"":                 all,
			"name=SPRING":      {"spring_sale", "Spring SALE 50%"},
			"name=g_s":         {"spring_sale"},
			"name=%25":         {"Spring SALE 50%"},
			"name=!":           {"autumn!"},
			"name=winter":      nil,
			"schedule=none":    nil,
			"status=paused":    {"autumn!"},
			"status=completed": nil,
			"createdFrom=" + made["spring_sale"].CreatedAt:                                                                 {"", "autumn!", "spring_sale"},
			"createdTo=" + made["spring_sale"].CreatedAt:                                                                   {"Spring SALE 50%"},
			"status=running&name=spring&createdFrom=" + made["spring_sale"].CreatedAt + "&createdTo=" + made[""].CreatedAt: {"spring_sale"},
		} {
			var names []string
			for cursor := ""; ; {
				status, got := s.do(http.MethodGet, "/v1/campaigns?limit=1&cursor="+cursor+"&"+query, nil)
				var list CampaignList
				if got.into(t, &list); status != http.StatusOK {
					t.Fatalf("%s: %d %s", query, status, got.Raw)
				}
				for _, c := range list.Campaigns {
					names = append(names, c.Name)
				}
				if cursor = list.NextCursor; cursor == "" {
					break
				}
			}
			if strings.Join(names, "|") != strings.Join(want, "|") {
				t.Errorf("%s: %q, not %q", query, names, want)
			}
		}
		for _, field := range []string{"status", "name", "schedule", "createdFrom", "createdTo"} {
			query := url.Values{field: {strings.Repeat("\x01x", 200)}}
			status, got := s.do(http.MethodGet, "/v1/campaigns?"+query.Encode(), nil)
			if fields := got.fields(t); status != http.StatusUnprocessableEntity || fields[field] == "" {
				t.Errorf("%s: %d %v", field, status, maps.Collect(maps.All(fields)))
			}
		}
	})
}
