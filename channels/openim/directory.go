package openim

import (
	"context"

	"carillon/models"
)

// Directory is a Client as what Carillon's directory is synced from.
type Directory struct{ Client *Client }

// Users is Client.Users, as changes of the directory. What OpenIM does not know of a user, such as the time zone, stays as it is.
func (d Directory) Users(ctx context.Context, page, size int) (total int, changes []models.UserChange, err error) {
	total, users, err := d.Client.Users(ctx, page, size)
	changes = make([]models.UserChange, len(users))
	for i, u := range users {
		changes[i] = models.UserChange{UserID: u.UserID, Nickname: &u.Nickname, FaceURL: &u.FaceURL, Ex: &u.Ex, Refuses: new(u.Refuses())}
	}
	return total, changes, err
}

// Exist is Client.AccountCheck.
func (d Directory) Exist(ctx context.Context, ids []string) (map[string]bool, error) {
	return d.Client.AccountCheck(ctx, ids)
}
