package openim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Client speaks to the control routes of a double, in this process or another.
type Client struct{ URL string }

// Behave changes the double's manners from the next request on.
func (c Client) Behave(ctx context.Context, m Manners) error {
	return c.ask(ctx, http.MethodPut, "manners", m, nil)
}

// Seen is what the double has done since its start.
func (c Client) Seen(ctx context.Context) (s Seen, err error) {
	err = c.ask(ctx, http.MethodGet, "seen", nil, &s)
	return s, err
}

// Users are the IDs of all users, in the order of the lists.
func (c Client) Users(ctx context.Context) (ids []string, err error) {
	err = c.ask(ctx, http.MethodGet, "users", nil, &ids)
	return ids, err
}

// Change adds, changes and removes users.
func (c Client) Change(ctx context.Context, change Change) error {
	return c.ask(ctx, http.MethodPost, "users", change, nil)
}

// Token is a token of any user.
func (c Client) Token(ctx context.Context, t TokenFor) (token string, err error) {
	err = c.ask(ctx, http.MethodPost, "token", t, &token)
	return token, err
}

// Kick ends every token that stands, and says how many.
func (c Client) Kick(ctx context.Context) (n int, err error) {
	err = c.ask(ctx, http.MethodPost, "kick", nil, &n)
	return n, err
}

func (c Client) ask(ctx context.Context, method, name string, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, c.URL+controlPrefix+name, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("the double answers %s with %d: %s", name, resp.StatusCode, strings.TrimSpace(string(got)))
	case into == nil:
		return nil
	}
	return json.Unmarshal(got, into)
}
