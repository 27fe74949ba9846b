package handlers

import (
	"context"
	"fmt"
	"strconv"

	"carillon/handlers/web"
	"carillon/models"
)

const (
	// maxTestUsers is how many users one test goes to.
	maxTestUsers = 20
	// testName begins the name of each test.
	testName = "test"
)

// TestBody is the body of POST /v1/campaigns/test.
type TestBody struct {
	Campaign *CampaignBody `json:"campaign"` // its audience may be absent
	UserIDs  []string      `json:"userIDs"`
}

// testUnknown is campaignUnknown for the campaign of a test.
var testUnknown = scheduleUnknown

// testCampaign is POST /v1/campaigns/test.
func (a *API) testCampaign(in *web.In) error {
	body, err := bodyOf[TestBody](web.ListBody, testUnknown)(in)
	if err != nil {
		return err
	}
	made, err := a.TestCampaign(in.Context(), in.Call, body)
	return made.answer(in, err)
}

// TestCampaign sends the message of a campaign to some users, now, as a campaign of its own. It waits
// for it as the call says. The campaign is checked as CreateCampaign checks it.
func (a *API) TestCampaign(ctx context.Context, call web.Call, body TestBody) (Accepted, error) {
	spec, err := body.check()
	if err != nil {
		return Accepted{}, err
	}
	const campaign, message = "campaign.", "campaign.message."
	if err := a.complete(call, &spec, campaign, message); err != nil {
		return Accepted{}, err
	}
	if err := a.refuseUnknown(ctx, body.UserIDs); err != nil {
		return Accepted{}, err
	}
	warned := body.narrow(&spec)
	if err := a.Store.CheckTemplate(ctx, spec, a.AdminIDs()); err != nil {
		return Accepted{}, err
	}
	return a.makeCampaign(ctx, call, spec, warned)
}

// check checks the body. The campaign that it returns still has its own audience and times.
func (b *TestBody) check() (models.CampaignSpec, error) {
	var c checker
	if b.Campaign == nil {
		c.add("campaign", "is required")
	}
	switch n := len(b.UserIDs); {
	case n == 0:
		c.add("userIDs", "must name at least one user")
	case n > maxTestUsers:
		c.add("userIDs", "must have at most %d entries, has %d", maxTestUsers, n)
	}
	for i, id := range b.UserIDs[:min(len(b.UserIDs), maxTestUsers)] {
		c.id("userIDs."+strconv.Itoa(i), id)
	}
	if err := c.err(); err != nil {
		return models.CampaignSpec{}, err
	}
	campaign := *b.Campaign
	if campaign.Audience == nil {
		users := append([]string{}, b.UserIDs...) // the check sorts them
		campaign.Audience = &AudienceBody{UserIDs: &users}
		if m := campaign.Message; m != nil && goesToGroup(m.SessionType) {
			single := *m
			single.SessionType = models.SessionSingle
			campaign.Message = &single
		}
	}
	return campaign.check("campaign.")
}

func goesToGroup(session int) bool {
	return session == models.SessionGroup || session == models.SessionLargeGroup
}

// narrow makes a campaign its own test: now, and to the test's users alone.
func (b *TestBody) narrow(spec *models.CampaignSpec) (warned []string) {
	if goesToGroup(spec.Message.SessionType) {
		warned = append(warned, fmt.Sprintf("campaign.message.sessionType is %d, which goes to a group: the test goes to each user with 1", spec.Message.SessionType))
		spec.Message.SessionType = models.SessionSingle
	}
	if spec.Name != "" {
		spec.Name = ": " + spec.Name
	}
	spec.Name = models.CutText(testName+spec.Name, models.MaxNameChars)
	spec.Audience = models.Audience{Type: models.AudienceUsers, UserIDs: b.UserIDs}
	spec.Priority, spec.SessionLeft = models.PriorityTransactional, false
	spec.Timing = models.Timing{Zone: spec.Zone}
	spec.SendAt, spec.ExpireAt, spec.RatePerSecond = 0, 0, 0
	return warned
}

// refuseUnknown refuses users who are not in the directory. A test is sent to see it arrive, so an ID
// with a mistake in it must not be passed over.
func (a *API) refuseUnknown(ctx context.Context, ids []string) error {
	known, err := a.Store.KnownUsers(ctx, ids)
	if err != nil {
		return err
	}
	var c checker
	for i, id := range ids {
		if _, ok := known[id]; !ok {
			c.add("userIDs."+strconv.Itoa(i), "is not in the directory")
		}
	}
	return c.err()
}
