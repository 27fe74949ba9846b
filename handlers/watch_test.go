package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"carillon/handlers/web"
	"carillon/internal/testkit"
	"carillon/models"
)

// TestWatchersShareOneReader: 200 watchers cost the ledger as much as one, a fault of the ledger in between is no end, and
// the reader goes with the last of them.
func TestWatchersShareOneReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var processes [2]watchers
		for i := range processes {
			ws := &processes[i]
			var reads atomic.Int64
			read := func(context.Context) (moment, error) {
				switch reads.Add(1) {
				case 3:
					return moment{}, errors.New("the ledger is away")
				case 5:
					return moment{status: models.StatusPaused, id: "paused.1"}, nil
				}
				return moment{status: models.StatusRunning, id: "running.1"}, nil
			}
			var open []*watched
			for range 200 {
				open = append(open, ws.join("c", moment{status: models.StatusRunning, id: "running.0"}, read))
			}
			_, changed := ws.latest(open[0])
			time.Sleep(watchEvery + time.Millisecond)
			select {
			case <-changed:
			default:
				t.Error("nobody is told of a change")
			}
			time.Sleep(4 * watchEvery)
			if n := reads.Load(); n != 5 {
				t.Errorf("200 watchers cost %d readings in five ticks", n)
			}
			for _, w := range open {
				if now, _ := ws.latest(w); now.id != "paused.1" {
					t.Errorf("after a fault: %+v", now)
				}
				ws.leave("c", w)
			}
			time.Sleep(time.Minute)
			if n := reads.Load(); n != 5 || len(ws.open) != 0 {
				t.Errorf("%d readings and %d campaigns when nobody watches", n, len(ws.open))
			}
		}
	})
}

func TestEventOfAMoment(t *testing.T) {
	t.Parallel()
	running := moment{status: models.StatusRunning, id: "running.b"}
	for last, want := range map[string]string{"": "progress", "running.a": "progress", "running.b": "", "paused.a": "state", "of another program": "state"} {
		if got := running.eventAfter(last); got != want {
			t.Errorf("after %q: %q, want %q", last, got, want)
		}
	}
	if got := (moment{status: models.StatusCompleted, id: "completed.a", over: true}).eventAfter("completed.a"); got != "done" {
		t.Errorf("over: %q", got)
	}
}

// watch opens a campaign's stream with an admin's token.
func (s *server) watch(id string, headers ...string) *client {
	s.t.Helper()
	res, hangUp := s.stream("/v1/campaigns/"+id+"/events", s.adminToken(), headers...)
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != web.EventStreamType {
		s.t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	c := &client{t: s.t, events: make(chan event, 100), close: hangUp}
	go c.read(res.Body)
	return c
}

// wantStatus skips what else has changed.
func (c *client) wantStatus(name string, status models.Status) (v CampaignView) {
	c.t.Helper()
	for {
		e := c.next()
		if err := json.Unmarshal([]byte(e.Data), &v); err != nil || e.ID == "" || v.Message != nil {
			c.t.Fatalf("%+v: %v", e, err)
		}
		if e.Event == name {
			break
		}
		if onTheWay := name == "done" && v.Status == status; e.Event != "progress" && !onTheWay { // it ends, and has not ended yet
			c.t.Fatalf("%+v instead of %s", e, name)
		}
	}
	if v.Status != status {
		c.t.Fatalf("%s says %s, want %s", name, v.Status, status)
	}
	return v
}

// TestWatchACampaign: clients of two processes see each change of a campaign's state, and the stream ends with it.
func TestWatchACampaign(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s, other := newServer(t, stores), newServer(t, stores)
		s.users("u1", "u2")
		_, got := s.do(http.MethodPost, "/v1/campaigns", `{"message":`+aMessage+`,"audience":{"userIDs":["u1","u2"]}}`)
		var c CampaignView
		got.into(t, &c)
		change := func(what string) {
			t.Helper()
			if status, got := s.do(http.MethodPost, "/v1/campaigns/"+c.ID+"/"+what, ""); status != http.StatusOK {
				t.Fatalf("%s: %d %s", what, status, got.Raw)
			}
		}
		here, there := s.watch(c.ID), other.watch(c.ID)
		for _, one := range []*client{here, there} {
			if v := one.wantStatus("progress", models.StatusRunning); v.ID != c.ID || v.Counts.Total != 2 || v.Counts.Pending != 2 {
				t.Errorf("%+v", v)
			}
		}
		change("pause")
		here.wantStatus("state", models.StatusPaused)
		there.wantStatus("state", models.StatusPaused)
		there.close()
		change("resume")
		here.wantStatus("state", models.StatusRunning)
		back := other.watch(c.ID, "Last-Event-ID", there.cursor)
		back.wantStatus("state", models.StatusRunning)
		change("cancel")
		if v := here.wantStatus("done", models.StatusCancelled); v.FinishedAt == nil || v.Counts.Cancelled != 2 {
			t.Errorf("%+v", v)
		}
		here.ended()
		back.ended()
		again := s.watch(c.ID)
		again.wantStatus("done", models.StatusCancelled)
		again.ended()
	})
}

// TestWatchingNeedsRights: only an admin watches, and no longer than they are one.
func TestWatchingNeedsRights(t *testing.T) {
	t.Parallel()
	s := newServer(t, embedded(t))
	s.users("u1")
	_, got := s.do(http.MethodPost, "/v1/campaigns", `{"message":`+aMessage+`,"audience":{"userIDs":["u1"]}}`)
	var c CampaignView
	got.into(t, &c)
	path := "/v1/campaigns/" + c.ID + "/events"
	for token, want := range map[string]int{s.token("u1"): http.StatusForbidden, "": http.StatusUnauthorized} {
		if status, got := s.do(http.MethodGet, path, nil, "token", token); status != want {
			t.Errorf("%d %s, want %d", status, got.Raw, want)
		}
	}
	if status, _ := s.do(http.MethodGet, strings.Replace(path, c.ID, "none", 1), nil); status != http.StatusNotFound {
		t.Errorf("unknown: %d", status)
	}
	if status, got := s.do(http.MethodHead, path, nil); status != http.StatusOK || got.Header.Get("Content-Type") != web.EventStreamType {
		t.Errorf("HEAD: %d %v", status, got.Header)
	}
	one, two := s.watch(c.ID), s.watch(c.ID)
	one.wantStatus("progress", models.StatusRunning)
	s.SetAdmins([]string{"openIMAdmin"})
	one.ended()
	two.ended()
	s.SetAdmins([]string{"imAdmin"})
	last := s.watch(c.ID)
	s.Close()
	last.ended()
}
