package console

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"time"

	"github.com/gorilla/mux"

	"carillon/handlers"
	"carillon/handlers/web"
	"carillon/models"
)

func (c *Console) campaignRoutes(r *mux.Router) {
	r.Handle("/campaigns", c.page(c.campaigns)).Methods(get, head)
	c.oneCampaignRoutes(r)
}

// listLength is how many rows a page of a list has.
const listLength = 50

type campaignList struct {
	Query    url.Values // as the reader gave it
	Statuses []models.Status
	List     []handlers.CampaignView
	More     more
	Part     string // the query of the list alone, which the page asks for again and again; empty = nothing moves
}

// Filtered says whether the list leaves some campaigns out.
func (l campaignList) Filtered() bool {
	for _, name := range []string{"status", "name", "schedule", "from", "to"} {
		if l.Query.Get(name) != "" {
			return true
		}
	}
	return false
}

// campaigns lists campaigns. While one of them runs, the list is asked for again every few seconds: one request for all rows.
func (c *Console) campaigns(in *web.In) error {
	f, err := readCampaignList(in)
	if err != nil {
		return err
	}
	query := in.R.URL.Query()
	part := query.Has("part")
	read := func(ctx context.Context) (handlers.CampaignList, error) {
		return c.api.ListCampaigns(ctx, web.Call{}, f)
	}
	var list handlers.CampaignList
	if part { // of which many may ask, every few seconds
		list, err = c.lists.get(in.Context(), f, read)
	} else {
		list, err = read(in.Context())
	}
	if err != nil {
		return err
	}
	query.Del("part")
	data := campaignList{Query: query, Statuses: models.Statuses, List: list.Campaigns, More: pageOf(query, list.NextCursor)}
	for _, v := range list.Campaigns {
		if v.Status == models.StatusRunning || part {
			again := maps.Clone(query)
			again.Set("part", "1")
			data.Part = "?" + again.Encode()
		}
	}
	if part {
		return c.part(in, http.StatusOK, "campaign-rows", data)
	}
	return c.show(in, "campaigns.html", page{Title: "Campaigns", Here: "campaigns", Data: data})
}

// readCampaignList reads the filter of the list. The days from and to are days in UTC, and both belong to the list.
func readCampaignList(in *web.In) (models.CampaignFilter, error) {
	f, err := handlers.ReadCampaignFilter(in)
	if err != nil {
		return f, err
	}
	for name, at := range map[string]*models.Millis{"from": &f.CreatedFrom, "to": &f.CreatedTo} {
		text := in.Query(name)
		if text == "" {
			continue
		}
		day, err := time.Parse(time.DateOnly, text)
		if err != nil {
			return f, web.Refuse(name, "must be a day such as 2026-12-04")
		}
		if name == "to" {
			day = day.AddDate(0, 0, 1)
		}
		*at = models.Millis(day.UnixMilli())
	}
	f.Limit = listLength
	return f, nil
}
