package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"carillon/client"
)

// connect is what a program does once.
func connect() *client.Client {
	c, err := client.New(client.Options{Server: here().url, Token: here().token, UserAgent: "example/1.0"})
	if err != nil {
		panic(err)
	}
	return c
}

func text(words string) client.MessageRequest {
	return client.MessageRequest{SendID: "imAdmin", ContentType: 101, Content: client.Content{"content": words}}
}

// Send to three users, one of whom does not exist, and follow the campaign to its end.
func ExampleClient_Watch() {
	c, ctx := connect(), context.Background()
	defer c.Close()
	to := []string{"user-001", "user-002", "nobody"}
	campaign, err := c.Send(ctx, "order-4711", client.CampaignRequest{Audience: client.AudienceRequest{UserIDs: &to}, Message: text("Your order is on its way")})
	if err != nil {
		fmt.Println(err)
		return
	}
	for now, err := range c.Watch(ctx, campaign.ID) {
		if err != nil {
			fmt.Println(err)
			return
		}
		campaign = now
	}
	fmt.Println(campaign.Status, campaign.Counts.Sent, "sent", campaign.Counts.Failed, "failed")
	// Output: completed 2 sent 1 failed
}

// Ask what a campaign would do, and send it to one user first.
func ExampleClient_Estimate() {
	c, ctx := connect(), context.Background()
	defer c.Close()
	to, rate := []string{"user-001", "user-002", "nobody", "user-001"}, 1
	request := client.CampaignRequest{Audience: client.AudienceRequest{UserIDs: &to}, Message: text("We open at nine"), RatePerSecond: &rate}
	estimate, err := c.Estimate(ctx, request)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(estimate.Sent, "of", estimate.Total, "in", *estimate.TakesSeconds, "s")
	for _, some := range estimate.LeftOut {
		fmt.Println(some.Count, some.Reason)
	}
	test, err := c.SendTest(ctx, "", client.TestedCampaignRequest{Message: request.Message}, "user-001")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(test.Name, test.Audience.Size)
	// Output:
	// 2 of 3 in 2 s
	// 1 repeated
	// 1 unknown
	// test 1
}

// A second call with the same key makes no second campaign.
func ExampleClient_Send() {
	c, ctx := connect(), context.Background()
	defer c.Close()
	all := true
	rate := 50
	request := client.CampaignRequest{Audience: client.AudienceRequest{All: &all}, Message: text("We open at nine"), RatePerSecond: &rate}
	first, err := c.Send(ctx, "opening-2026", request)
	if err != nil {
		fmt.Println(err)
		return
	}
	second, err := c.Send(ctx, "opening-2026", request)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(first.ID == second.ID, first.Counts.Total)
	if _, err := c.CancelCampaign(ctx, first.ID); err != nil {
		fmt.Println(err)
	}
	// Output: true 250
}

// A list goes on from page to page until the loop ends.
func ExampleClient_Users() {
	c := connect()
	defer c.Close()
	n := 0
	for user, err := range c.Users(context.Background(), client.ListUsersParams{}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		if n++; n == 1 {
			fmt.Println(user.UserID)
		}
	}
	fmt.Println(n)
	// Output:
	// user-000
	// 250
}

// What the API refuses is a value: the code, and each field with the reason.
func ExampleError() {
	c := connect()
	defer c.Close()
	_, err := c.Send(context.Background(), "", client.CampaignRequest{Message: text("to nobody")})
	var refused *client.Error
	if errors.As(err, &refused) {
		fmt.Println(refused.Status, refused.Code == client.CodeArgs, refused.Fields[0].Field)
	}
	// Output: 422 true audience
}

// Calls that have no method of their own in this package are read with Data.
func ExampleData() {
	c, ctx := connect(), context.Background()
	defer c.Close()
	group, err := client.Data[client.Group](c.PutGroup(ctx, "testers", client.GroupRequest{MemberIDs: []string{"user-001", "user-002"}}))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(group.GroupID, group.MemberCount)
	// Output: testers 2
}

// A file of users is sent while it is read, whatever its size.
func ExampleClient_importUsers() {
	c := connect()
	defer c.Close()
	file := io.MultiReader(strings.NewReader("userID,nickname\n"), strings.NewReader("user-001,Alice\n"))
	report, err := client.Data[client.ImportReport](c.ImportUsersWithBody(context.Background(), nil, "text/csv", file))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(report.Rows, report.Changed)
	// Output: 1 1
}
