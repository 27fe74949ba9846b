package client

import (
	"context"
	"iter"
)

// Users lists the users of the directory, in the order of their IDs.
func (c *Client) Users(ctx context.Context, p ListUsersParams) iter.Seq2[User, error] {
	return Pages(func(cursor *string) ([]User, string, error) {
		p.Cursor = cursor
		page, err := Data[Users](c.ListUsers(ctx, &p))
		return page.Users, page.NextCursor, err
	})
}

// UserCampaigns lists the campaigns that a user is or could have been a recipient of, newest first.
func (c *Client) UserCampaigns(ctx context.Context, userID string, p ListUserCampaignsParams) iter.Seq2[UserCampaign, error] {
	return Pages(func(cursor *string) ([]UserCampaign, string, error) {
		p.Cursor = cursor
		page, err := Data[UserCampaigns](c.ListUserCampaigns(ctx, userID, &p))
		return page.Campaigns, page.NextCursor, err
	})
}

// Groups lists the groups.
func (c *Client) Groups(ctx context.Context, p ListGroupsParams) iter.Seq2[Group, error] {
	return Pages(func(cursor *string) ([]Group, string, error) {
		p.Cursor = cursor
		page, err := Data[Groups](c.ListGroups(ctx, &p))
		return page.Groups, page.NextCursor, err
	})
}

// Members lists the user IDs of a group.
func (c *Client) Members(ctx context.Context, groupID string, p ListMembersParams) iter.Seq2[string, error] {
	return Pages(func(cursor *string) ([]string, string, error) {
		p.Cursor = cursor
		page, err := Data[Members](c.ListMembers(ctx, groupID, &p))
		return page.MemberIDs, page.NextCursor, err
	})
}
