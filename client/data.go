package client

import (
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
)

// Data reads the data of a call's answer:
//
//	campaign, err := client.Data[client.Campaign](c.GetCampaign(ctx, id))
func Data[T any](res *http.Response, err error) (T, error) {
	var answer struct{ Data T }
	if err != nil {
		return answer.Data, err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return answer.Data, &Error{Status: res.StatusCode, OperationID: operationOf(res), cause: err,
			Message: fmt.Sprintf("the answer of %s is not understood (%s)", res.Request.URL.Host, err), Fix: "the client may be older or newer than the server"}
	}
	return answer.Data, nil
}

// Pages goes through a list page by page. page gets the cursor of a page, nil for the first, and
// returns its entries and the next cursor, which is empty at the end:
//
//	for user, err := range client.Pages(func(cursor *string) ([]client.User, string, error) {
//		page, err := client.Data[client.Users](c.ListUsers(ctx, &client.ListUsersParams{Cursor: cursor}))
//		return page.Users, page.NextCursor, err
//	}) {
//
// An error is the last thing that comes.
func Pages[T any](page func(cursor *string) ([]T, string, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var cursor *string
		for {
			list, next, err := page(cursor)
			for _, one := range list {
				if !yield(one, nil) {
					return
				}
			}
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			if next == "" {
				return
			}
			cursor = &next
		}
	}
}
