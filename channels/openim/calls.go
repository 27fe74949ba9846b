package openim

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"carillon/models"
)

const (
	routeAdminToken = "/auth/get_admin_token" //nolint:gosec // a path, no token
	routeParseToken = "/auth/parse_token"     //nolint:gosec // a path, no token
	routeUsers      = "/user/get_users"
	routeAccounts   = "/user/account_check"
)

// User is a user as OpenIM has it.
type User struct {
	UserID           string `json:"userID"`
	Nickname         string `json:"nickname"`
	FaceURL          string `json:"faceURL"`
	Ex               string `json:"ex"`
	GlobalRecvMsgOpt int    `json:"globalRecvMsgOpt"`
}

// Refuses is true for a user who takes no messages.
func (u User) Refuses() bool { return u.GlobalRecvMsgOpt == 1 }

type pagination struct {
	PageNumber int `json:"pageNumber"`
	ShowNumber int `json:"showNumber"`
}

// usersIn and usersOut are the two sides of get_users.
type usersIn struct {
	Pagination pagination `json:"pagination"`
}

type usersOut struct {
	Total int    `json:"total"`
	Users []User `json:"users"`
}

// Users is a page of all users of OpenIM, in its own order: page is from 1, size from 1 to 1,000. total is how many there
// are. OpenIM pages by skipping: when users come and go meanwhile, a user can stand on two pages or on none.
func (c *Client) Users(ctx context.Context, page, size int) (total int, users []User, err error) {
	var out usersOut
	_, err = c.call(ctx, routeUsers, usersIn{pagination{page, size}}, &out)
	return out.Total, out.Users, err
}

// maxChecked is how many IDs one account_check may hold.
const maxChecked = 1000

// AccountCheck says for each of the IDs whether OpenIM has such a user. No ID may stand there twice.
func (c *Client) AccountCheck(ctx context.Context, ids []string) (exists map[string]bool, err error) {
	exists = make(map[string]bool, len(ids))
	for some := range slices.Chunk(ids, maxChecked) {
		in := struct {
			IDs []string `json:"checkUserIDs"`
		}{some}
		var out struct {
			Results []struct {
				UserID string          `json:"userID"`
				Status json.RawMessage `json:"accountStatus"` // 1; older servers say "registered"
			} `json:"results"`
		}
		if _, err := c.call(ctx, routeAccounts, in, &out); err != nil {
			return nil, err
		}
		for _, r := range out.Results {
			status := string(r.Status)
			exists[r.UserID] = status == "1" || status == `"registered"`
		}
	}
	return exists, nil
}

// ParseToken asks OpenIM whose a token is. The error's Kind is Token for one that does not stand, and its Code says why.
func (c *Client) ParseToken(ctx context.Context, token string) (userID string, platformID int, expires time.Time, err error) {
	in := struct {
		Token string `json:"token"`
	}{token}
	var out struct {
		UserID     string `json:"userID"`
		PlatformID int    `json:"platformID"`
		Expires    int64  `json:"expireTimeSeconds"` // here a Unix time
	}
	if _, err = c.post(ctx, routeParseToken, "", in, &out); err != nil {
		return "", 0, time.Time{}, err
	}
	if out.UserID == "" {
		return "", 0, time.Time{}, &Error{Kind: Foreign, Route: routeParseToken, HTTP: http.StatusOK}
	}
	return out.UserID, out.PlatformID, time.Unix(out.Expires, 0), nil
}

// Pong is what Ping finds out.
type Pong struct {
	Users int           // how many OpenIM has
	Ahead time.Duration // how far OpenIM's clock is before ours, to the second
	Timed bool          // Ahead is known: the answer had a date
}

// Ping proves that OpenIM answers, gives a token for the secret, and takes the token for an admin's.
func (c *Client) Ping(ctx context.Context) (Pong, error) {
	if _, err := c.tokens.get(ctx); err != nil { // not part of what is measured
		return Pong{}, err
	}
	var out usersOut
	asked := time.Now()
	header, err := c.call(ctx, routeUsers, usersIn{pagination{1, 1}}, &out)
	if err != nil {
		return Pong{}, err
	}
	p := Pong{Users: out.Total}
	if at, err := http.ParseTime(header.Get("Date")); err == nil {
		middle := asked.Add(time.Since(asked) / 2)
		p.Ahead, p.Timed = at.Add(time.Second/2).Sub(middle).Round(time.Second), true // a Date has no fractions
	}
	return p, nil
}

// getAdminToken asks OpenIM for a token of the admin.
func (c *Client) getAdminToken(ctx context.Context) (text string, life time.Duration, err error) {
	in := struct {
		Secret string `json:"secret"`
		UserID string `json:"userID"`
	}{c.secret, c.admin}
	var out struct {
		Token   string `json:"token"`
		Seconds int64  `json:"expireTimeSeconds"` // here a duration
	}
	if _, err := c.post(ctx, routeAdminToken, "", in, &out); err != nil {
		return "", 0, err
	}
	if !isHeaderText(out.Token) {
		return "", 0, &Error{Kind: Foreign, Route: routeAdminToken, HTTP: http.StatusOK, Code: models.CodeTokenMalformed, Said: "the token cannot stand in a header"}
	}
	return out.Token, time.Duration(min(max(out.Seconds, 0), maxLifeSeconds)) * time.Second, nil
}

// maxLifeSeconds is ten years: more would not fit a time.Duration for ever.
const maxLifeSeconds = 10 * 365 * 24 * 3600

// isHeaderText is true for visible ASCII.
func isHeaderText(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return s != ""
}
