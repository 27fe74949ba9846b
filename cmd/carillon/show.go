package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/schollz/progressbar/v3"

	"carillon/client"
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

// show is one campaign as a client sees it: everything goes through the API.
type show struct {
	a      *app
	users  int
	openIM string // URL of the stand-in for OpenIM; "" = messages go to the inbox
	api    *client.Client
}

func newShow(a *app, sys *system, users int, openIM string) (*show, error) {
	token := func(context.Context) (string, error) { return web.AdminToken(sys.secret, exampleSender) }
	api, err := client.New(client.Options{Server: sys.url(), MakeToken: token, OperationID: "carillon-demo", UserAgent: agent + "demo"})
	return &show{a: a, users: users, openIM: openIM, api: api}, err
}

// run shows the whole campaign. It returns nil when every user got the message.
func (s *show) run(ctx context.Context) error {
	if err := s.bringUsers(ctx); err != nil {
		return err
	}
	began := time.Now()
	posted, err := client.Data[client.BatchSend](s.api.BatchSendMsgWithBody(ctx, nil, "application/json", bytes.NewReader(example)))
	if err != nil {
		return fmt.Errorf("post the message: %w", err)
	}
	s.say("POST /msg/batch_send_msg with the contract's example, answered in %s: campaign %s", since(began), posted.CampaignID)
	c, err := s.watch(ctx, posted.CampaignID)
	if err != nil {
		return fmt.Errorf("watch the campaign: %w", err)
	}
	s.say("%s after %s\n", c.Status, max(0, c.FinishedAt.Sub(began)).Round(time.Millisecond))
	n := c.Counts
	for _, one := range []struct {
		name string
		n    int64
	}{{"pending", n.Pending}, {"sent", n.Sent}, {"failed", n.Failed}, {"skipped", n.Skipped}, {"expired", n.Expired}, {"cancelled", n.Cancelled}, {"unknown", n.Unknown}, {"total", n.Total}} {
		s.say("%-10s %d", one.name, one.n)
	}
	if s.openIM != "" {
		err = s.askOpenIM(ctx)
	} else if err = s.readInbox(ctx, userID(s.users/2), posted.CampaignID); err != nil {
		err = fmt.Errorf("read an inbox: %w", err)
	}
	if err != nil {
		return err
	}
	if want := int64(s.users); n.Sent != want || n.Total != want {
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
	done, err := client.Data[client.ImportReport](s.api.ImportUsersWithBody(ctx, nil, "text/csv", r))
	_ = r.Close()
	_ = bar.Finish()
	if err == nil && done.Created != s.users {
		err = fmt.Errorf("%d of %d lines were refused", done.RefusedCount, s.users)
	}
	return err
}

// watch waits for the campaign to finish.
func (s *show) watch(ctx context.Context, id string) (client.Campaign, error) {
	bar := progress(s.a.stderr, "send", int64(s.users), progressbar.OptionShowIts())
	defer func() { _ = bar.Finish() }()
	watching, stop := context.WithCancel(ctx)
	defer stop()
	stalled := time.AfterFunc(stalledAfter, stop)
	defer stalled.Stop()
	last := client.Campaign{}
	for c, err := range s.api.Watch(watching, id) {
		switch {
		case ctx.Err() != nil:
			return c, errors.New("interrupted")
		case watching.Err() != nil:
			return c, fmt.Errorf("nothing has moved for %s: %s", stalledAfter, campaignText(last))
		case err != nil:
			return c, err
		}
		if c.Counts.Pending != last.Counts.Pending {
			stalled.Reset(stalledAfter)
		}
		last = c
		_ = bar.Set64(max(0, c.Counts.Total-c.Counts.Pending))
	}
	return last, nil
}

// readInbox shows that a user has got the campaign's message.
func (s *show) readInbox(ctx context.Context, userID, campaignID string) error {
	path := "/v1/inbox/" + url.PathEscape(userID) + "/messages"
	messages, err := client.Data[client.Messages](s.api.ListMessages(ctx, userID, nil))
	if err != nil {
		return err
	}
	for _, m := range messages.Messages {
		if m.CampaignID == campaignID {
			content, err := models.JSON(m.Content)
			if err != nil {
				return err
			}
			s.say("\nGET %s: %s from %s (%s)", path, content, m.SenderNickname, m.SendID)
			return nil
		}
	}
	return fmt.Errorf("the message is not in the inbox of %s", userID)
}
