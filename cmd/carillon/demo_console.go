package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"carillon/client"
)

// demoGroup is a group of some of the made-up users.
const demoGroup = "team"

// furnish makes what the console has to show beside the campaign of the demo: one campaign that runs, one that is paused, one
// that waits for its time, one of which some failed, and a schedule. It goes through the API, as all else.
func (s *show) furnish(ctx context.Context) error {
	var members []string
	for i := range min(50, s.users) {
		members = append(members, userID(i))
	}
	name := "Our team"
	if _, err := client.Data[client.Group](s.api.PutGroup(ctx, demoGroup, client.GroupRequest{Name: &name, MemberIDs: members})); err != nil {
		return fmt.Errorf("make a group: %w", err)
	}
	halfAnHour := max(1, s.users/1800) // recipients a second
	tomorrow := time.Now().Add(24*time.Hour).Format("2006-01-02") + "T09:00:00"
	listed := `"` + strings.Join(append([]string{"nobody-1", "nobody-2"}, members[:min(20, len(members))]...), `","`) + `"`
	paused := ""
	for _, one := range []struct{ name, rest, text string }{
		{"Welcome to the team", `"audience":{"groupID":"` + demoGroup + `"}`, "Good to have you here."},
		{"Invitation with two unknown guests", `"audience":{"userIDs":[` + listed + `]}`, "Come and see us on Friday."},
		{"Autumn sale", fmt.Sprintf(`"audience":{"all":true},"ratePerSecond":%d`, halfAnHour), "Everything for half the price, this week alone."},
		{"Price change (draft)", fmt.Sprintf(`"audience":{"all":true},"ratePerSecond":%d`, halfAnHour), "From January on our prices change."},
		{"Good morning", `"audience":{"all":true},"sendAt":"` + tomorrow + `","localTime":true`, "Good morning! This is the weather where you are."},
	} {
		body := fmt.Sprintf(`{"name":%q,%s,"message":{"sendID":%q,"senderNickname":"Carillon","contentType":101,"content":{"content":%q}}}`, one.name, one.rest, exampleSender, one.text)
		c, err := client.Data[client.Campaign](s.api.CreateCampaignWithBody(ctx, nil, "application/json", strings.NewReader(body)))
		if err != nil {
			return fmt.Errorf("make the campaign %q: %w", one.name, err)
		}
		if strings.HasPrefix(one.name, "Price") {
			paused = c.ID
		}
	}
	if _, err := client.Data[client.Campaign](s.api.PauseCampaign(ctx, paused)); err != nil {
		return fmt.Errorf("pause a campaign: %w", err)
	}
	monday := fmt.Sprintf(`{"name":"Monday news","cron":"0 9 * * MON","timezone":"Europe/Berlin","campaign":{"audience":{"all":true},`+
		`"message":{"sendID":%q,"senderNickname":"Carillon","contentType":101,"content":{"content":"The news of the week."}}}}`, exampleSender)
	if _, err := client.Data[client.Schedule](s.api.CreateScheduleWithBody(ctx, nil, "application/json", strings.NewReader(monday))); err != nil {
		return fmt.Errorf("make a schedule: %w", err)
	}
	return nil
}
