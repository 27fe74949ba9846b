package client_test

import (
	"testing"

	"carillon/client"
)

// Users and groups with the IDs "." and ".." are themselves to the server.
func TestStepsAsIDs(t *testing.T) {
	t.Parallel()
	c, ctx := connect(), t.Context()
	t.Cleanup(c.Close)
	for _, id := range []string{".", ".."} {
		if _, err := client.Data[client.UserCounts](c.PutUsers(ctx, client.PutUsersJSONRequestBody{Users: []client.UserChange{{UserID: id}}})); err != nil {
			t.Fatal(err)
		}
		to := []string{id}
		campaign, err := c.Send(ctx, "", client.CampaignRequest{Audience: client.AudienceRequest{UserIDs: &to}, Message: text("hi")})
		if err != nil {
			t.Fatal(err)
		}
		if user, err := client.Data[client.User](c.GetUser(ctx, id)); err != nil || user.UserID != id {
			t.Errorf("the user %s: %+v, %v", id, user, err)
		}
		got := 0
		for one, err := range c.UserCampaigns(ctx, id, client.ListUserCampaignsParams{}) {
			if got++; err != nil || one.CampaignID != campaign.ID {
				t.Errorf("a campaign of %s: %+v, %v", id, one, err)
			}
		}
		if got != 1 {
			t.Errorf("%s has %d campaigns", id, got)
		}
		if r, err := client.Data[client.Recipient](c.GetRecipient(ctx, campaign.ID, id)); err != nil || *r.UserID != id {
			t.Errorf("the recipient %s: %+v, %v", id, r, err)
		}
		if _, err := c.Campaign(ctx, id); client.CodeOf(err) != client.CodeRecordNotFound {
			t.Errorf("the campaign %s: %v", id, err)
		}
		if _, err := client.Data[client.Group](c.PutGroup(ctx, id, client.PutGroupJSONRequestBody{MemberIDs: to})); err != nil {
			t.Error(err)
		}
		for member, err := range c.Members(ctx, id, client.ListMembersParams{}) {
			if err != nil || member != id {
				t.Errorf("a member of %s: %s, %v", id, member, err)
			}
		}
		for what, remove := range map[string]func() error{
			"group": func() error { _, err := c.DeleteGroup(ctx, id); return err },
			"user":  func() error { _, err := c.DeleteUser(ctx, id); return err },
		} {
			if err := remove(); err != nil {
				t.Errorf("the %s %s: %v", what, id, err)
			}
			if err := remove(); client.CodeOf(err) != client.CodeRecordNotFound {
				t.Errorf("the %s %s is deleted twice: %v", what, id, err)
			}
		}
	}
}
