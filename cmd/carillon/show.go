package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/schollz/progressbar/v3"

	"carillon/channels/inbox"
	"carillon/handlers/web"
	"carillon/models"
)

// example is the contract's own request, byte for byte.
//
//go:embed example.json
var example []byte

const (
	exampleSender = "openIMAdmin" // the sender of the example
	stalledAfter  = time.Minute   // the demo gives up after this time without a further outcome
	lookEvery     = 100 * time.Millisecond
)

// statuses are a campaign's counts in the order in which they are shown.
var statuses = []string{"pending", "sent", "failed", "skipped", "expired", "cancelled", "unknown", "total"}

// show is one campaign as a client sees it: everything goes through the API.
type show struct {
	a      *app
	base   string
	token  string
	users  int
	secret string
	openIM string // URL of the stand-in for OpenIM; "" = messages go to the inbox
	client http.Client
}

func newShow(a *app, sys *system, users int, openIM string) *show {
	// The client has its own transport, so that its connections end with it.
	return &show{a: a, base: sys.url(), users: users, secret: sys.secret, openIM: openIM, client: http.Client{Transport: &http.Transport{}}}
}

// run shows the whole campaign. It returns nil when every user got the message.
func (s *show) run(ctx context.Context) (err error) {
	defer s.client.CloseIdleConnections()
	if s.token, err = web.AdminToken(s.secret, exampleSender); err != nil {
		return err
	}
	if err := s.bringUsers(ctx); err != nil {
		return err
	}
	began := time.Now()
	var posted struct{ CampaignID string }
	if err := s.call(ctx, http.MethodPost, "/msg/batch_send_msg", "application/json", bytes.NewReader(example), &posted); err != nil {
		return fmt.Errorf("post the message: %w", err)
	}
	s.say("POST /msg/batch_send_msg with the contract's example, answered in %s: campaign %s", since(began), posted.CampaignID)
	c, err := s.watch(ctx, posted.CampaignID)
	if err != nil {
		return fmt.Errorf("watch the campaign: %w", err)
	}
	s.say("%s after %s\n", c.Status, since(began))
	for _, name := range statuses {
		s.say("%-10s %d", name, c.Counts[name])
	}
	if s.openIM != "" {
		err = s.askOpenIM(ctx)
	} else if err = s.readInbox(ctx, userID(s.users/2), posted.CampaignID); err != nil {
		err = fmt.Errorf("read an inbox: %w", err)
	}
	if err != nil {
		return err
	}
	if want := int64(s.users); c.Counts["sent"] != want || c.Counts["total"] != want {
		return fmt.Errorf("not every one of the %d users got the message", s.users)
	}
	return nil
}

// bringUsers fills the directory.
func (s *show) bringUsers(ctx context.Context) error {
	began := time.Now()
	if s.openIM != "" {
		if err := s.syncUsers(ctx); err != nil {
			return fmt.Errorf("sync users: %w", err)
		}
		s.say("synced %d users and the admin of OpenIM at %s in %s", s.users, s.openIM, since(began))
		return nil
	}
	if err := s.importUsers(ctx); err != nil {
		return fmt.Errorf("import users: %w", err)
	}
	s.say("imported %d users in %s", s.users, since(began))
	return nil
}

func (s *show) say(format string, args ...any) { fmt.Fprintf(s.a.stdout, format+"\n", args...) }

func since(t time.Time) time.Duration { return time.Since(t).Round(time.Millisecond) }

func userID(i int) string { return fmt.Sprintf("demo-%07d", i) }

// importUsers streams a CSV file to the API while it makes the file up.
func (s *show) importUsers(ctx context.Context) error {
	bar := progress(s.a.stderr, "import", int64(s.users))
	r, w := io.Pipe()
	go func() {
		_, err := io.WriteString(w, "userID,nickname\n")
		for i := 0; i < s.users && err == nil; i++ {
			_, err = fmt.Fprintf(w, "%s,User %d\n", userID(i), i)
			_ = bar.Add(1) // a bar that cannot be drawn is no fault
		}
		w.CloseWithError(err)
	}()
	var done struct {
		models.UserCounts
		RefusedCount int
	}
	err := s.call(ctx, http.MethodPost, "/v1/users/import", "text/csv", r, &done)
	_ = r.Close()
	_ = bar.Finish()
	if err == nil && done.Created != s.users {
		err = fmt.Errorf("%d of %d lines were refused", done.RefusedCount, s.users)
	}
	return err
}

// campaign holds the fields of a campaign that the show reads.
type campaign struct {
	Status     string
	Counts     map[string]int64
	FinishedAt *time.Time
}

// watch waits for the campaign to finish.
func (s *show) watch(ctx context.Context, id string) (campaign, error) {
	bar := progress(s.a.stderr, "send", int64(s.users), progressbar.OptionShowIts())
	defer func() { _ = bar.Finish() }()
	pending, moved := int64(-1), time.Now()
	for {
		var c campaign
		if err := s.call(ctx, http.MethodGet, "/v1/campaigns/"+id, "", nil, &c); err != nil {
			return c, err
		}
		if c.FinishedAt != nil {
			return c, nil
		}
		if c.Counts["pending"] != pending {
			pending, moved = c.Counts["pending"], time.Now()
		}
		_ = bar.Set64(max(0, c.Counts["total"]-pending))
		if time.Since(moved) > stalledAfter {
			return c, fmt.Errorf("nothing has moved for %s: %+v", stalledAfter, c)
		}
		select {
		case <-ctx.Done():
			return c, errors.New("interrupted")
		case <-time.After(lookEvery):
		}
	}
}

// readInbox shows that a user has got the campaign's message.
func (s *show) readInbox(ctx context.Context, userID, campaignID string) error {
	path := "/v1/inbox/" + url.PathEscape(userID) + "/messages"
	var inbox struct{ Messages []inbox.Message }
	if err := s.call(ctx, http.MethodGet, path, "", nil, &inbox); err != nil {
		return err
	}
	for _, m := range inbox.Messages {
		if m.CampaignID == campaignID {
			s.say("\nGET %s: %s from %s (%s)", path, m.Content, m.SenderNickname, m.SendID)
			return nil
		}
	}
	return fmt.Errorf("the message is not in the inbox of %s", userID)
}

// call makes one request with the headers that the contract demands, and reads data from the
// envelope of the answer.
func (s *show) call(ctx context.Context, method, path, contentType string, body io.Reader, data any) error {
	req, err := http.NewRequestWithContext(ctx, method, s.base+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("operationID", "carillon-demo")
	req.Header.Set("token", s.token)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer := struct {
		ErrCode int
		ErrDlt  string
		Data    any
	}{Data: data}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s %s: %s: %w", method, path, res.Status, err)
	}
	if answer.ErrCode != 0 {
		return fmt.Errorf("%s %s: %s: %s", method, path, res.Status, answer.ErrDlt)
	}
	return nil
}
