package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"carillon/client"
	"carillon/internal/testkit"
	"carillon/internal/testkit/lab"
)

const eventsSecret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

// eventTaker is a receiver of events that fails a third of its answers; half of those after it has taken the event.
type eventTaker struct {
	t        *testing.T
	verifier *standardwebhooks.Webhook

	mu       sync.Mutex
	posts    int
	bodies   map[string]string   // what came under each ID
	campaign map[string][]string // the IDs of a campaign's events, as they came first
}

func newEventTaker(t *testing.T) (taker *eventTaker, url string) {
	t.Helper()
	verifier, err := standardwebhooks.NewWebhook(eventsSecret)
	if err != nil {
		t.Fatal(err)
	}
	taker = &eventTaker{t: t, verifier: verifier, bodies: map[string]string{}, campaign: map[string][]string{}}
	server := httptest.NewServer(taker)
	t.Cleanup(server.Close)
	return taker, server.URL + "/events?token=hunter2"
}

func (e *eventTaker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the process was killed meanwhile
	}
	if err := e.verifier.Verify(body, r.Header); err != nil {
		e.t.Error(err)
	}
	luck := rand.IntN(6)
	if luck == 0 {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	e.take(r.Header.Get("Webhook-Id"), body)
	if luck == 1 {
		w.WriteHeader(http.StatusBadGateway)
	}
}

func (e *eventTaker) take(id string, body []byte) {
	var event struct{ EventID, CampaignID string }
	if err := json.Unmarshal(body, &event); err != nil || event.EventID != id {
		e.t.Errorf("under %s came %s", id, body)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.posts++
	before, known := e.bodies[id]
	if known && before != string(body) {
		e.t.Errorf("under %s came\n%s and\n%s", id, before, body)
	}
	if !known {
		e.bodies[id] = string(body)
		e.campaign[event.CampaignID] = append(e.campaign[event.CampaignID], id)
	}
}

// has says how many of the events have come.
func (e *eventTaker) has(ids []string) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		if _, ok := e.bodies[id]; ok {
			n++
		}
	}
	return n
}

// crashing is a system whose processes are killed.
type crashing struct {
	t      *testing.T
	api    *lab.Process
	all    []*lab.Process
	token  string
	client *lab.Client
	pulled map[string][]string // the IDs of each campaign's events, in the order of the log
	done   int                 // campaigns that are completed
	after  string
}

// newCrashing starts the processes: with a server one for the API and the sends and two that post events, else one for all.
func newCrashing(t *testing.T, s testkit.Stores, receiver string) *crashing {
	t.Helper()
	dir := t.TempDir()
	c := &crashing{t: t, token: adminToken(t), pulled: map[string][]string{}, after: "0"}
	add := func(name string, args ...string) *lab.Process {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		_ = l.Close()
		p := &lab.Process{
			Name: name, URL: "http://" + addr, Bin: os.Args[0], Args: append([]string{"serve", "--listen", addr}, args...), Log: filepath.Join(dir, name+".log"),
			Env: []string{asProgram + "=1", "CARILLON_SECRET=" + testSecret, "CARILLON_EVENTS_URL=" + receiver, "CARILLON_EVENTS_SECRET=" + eventsSecret},
		}
		if s.Name != "embedded" {
			p.Env = append(p.Env, "CARILLON_DATABASE_URL="+s.DatabaseURL, "CARILLON_REDIS_URL="+s.RedisURL)
		}
		c.all = append(c.all, p)
		t.Cleanup(func() {
			p.Kill()
			if log, err := os.ReadFile(p.Log); err == nil && t.Failed() {
				t.Logf("%s:\n%s", name, log)
			}
		})
		return p
	}
	if s.Name == "embedded" {
		c.api = add("all", "--data-dir", filepath.Join(dir, "data"))
	} else {
		migrated(t, s.DatabaseURL)
		c.api = add("api", "--roles", "api,worker")
		add("notifier-1", "--roles", "scheduler")
		add("notifier-2", "--roles", "scheduler")
	}
	c.start()
	var err error
	if c.client, err = lab.NewClient(c.api.URL, c.token, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.client.Close)
	testkit.Eventually(t, "events are posted", patience, func() bool {
		return slices.ContainsFunc(c.all, func(p *lab.Process) bool {
			log, _ := os.ReadFile(p.Log)
			return strings.Contains(string(log), "events are posted from now on")
		})
	})
	return c
}

// start starts what is not running.
func (c *crashing) start() {
	for _, p := range c.all {
		if err := p.Start(); err != nil {
			c.t.Error(err)
		}
	}
	for _, p := range c.all {
		if err := p.AwaitReady(c.t.Context(), c.token, patience); err != nil {
			c.t.Error(err)
		}
	}
}

// away says whether an error is that of a process that is away; another one fails the test.
func (c *crashing) away(err error) bool {
	refused := lab.Refusal(err)
	switch {
	case err == nil:
		return false
	case refused != nil && refused.Status < 500 && refused.Status != http.StatusTooManyRequests && refused.Status != http.StatusConflict:
		c.t.Error(err)
		return false
	}
	return lab.Sleep(c.t.Context(), 50*time.Millisecond)
}

// answered asks until there is an answer that is none of a process that is away.
func answered[T any](c *crashing, ask func(ctx context.Context) (T, error)) (answer T) {
	for again := true; again; {
		var err error
		answer, err = ask(c.t.Context())
		again = c.away(err)
	}
	return answer
}

// campaigns posts n campaigns, several at once, and calls at with how many there are.
func (c *crashing) campaigns(n int, at func(int)) {
	var posting sync.WaitGroup
	var begun, made atomic.Int64
	request := client.CampaignRequest{
		Audience: client.AudienceRequest{UserIDs: &[]string{"u1", "u2", "u3"}},
		Message:  client.MessageRequest{SendID: "imAdmin", ContentType: 101, Content: client.Content{"content": "hi"}},
	}
	for range 4 {
		posting.Go(func() {
			for i := begun.Add(1); i <= int64(n); i = begun.Add(1) {
				one := answered(c, func(ctx context.Context) (client.Campaign, error) {
					return c.client.Send(ctx, fmt.Sprint("campaign-", i), request)
				})
				name := fmt.Sprint("number ", i)
				answered(c, func(ctx context.Context) (client.Campaign, error) {
					return client.Data[client.Campaign](c.client.ChangeCampaign(ctx, one.ID, client.CampaignChange{Name: &name}))
				})
				at(int(made.Add(1)))
			}
		})
	}
	posting.Wait()
}

// pull reads the event log on, as far as the API answers.
func (c *crashing) pull() {
	limit := 100
	for e, err := range c.client.EventsAfter(c.t.Context(), c.after, client.ListEventsParams{Limit: &limit}, &c.after) {
		if err != nil {
			c.away(err)
			return
		}
		if e.CampaignID != "" {
			c.pulled[e.CampaignID] = append(c.pulled[e.CampaignID], e.EventID)
		}
		if e.Kind == "campaign.completed" {
			c.done++
		}
	}
}

// The API and the processes that post events are killed while campaigns are made, and the receiver fails a third of its answers:
// every event arrives, in the order of its campaign, and again under the same ID alone. A reader that pulls gets the same set.
// CARILLON_TEST_EVENT_CAMPAIGNS is how many campaigns there are, by default 60.
func TestNoEventIsLostWhenProcessesAreKilled(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		n := 60
		if given, err := strconv.Atoi(os.Getenv("CARILLON_TEST_EVENT_CAMPAIGNS")); err == nil {
			n = given
		}
		taker, url := newEventTaker(t)
		c := newCrashing(t, s, url)
		if err := c.client.Import(t.Context(), []string{"u1", "u2", "u3"}); err != nil {
			t.Fatal(err)
		}
		var kills sync.WaitGroup
		posted := make(chan struct{})
		go func() {
			defer close(posted)
			c.campaigns(n, func(made int) {
				for i, at := range []int{n / 4, n / 2, 3 * n / 4} {
					if made == at {
						kills.Go(func() {
							c.api.Kill()
							c.all[len(c.all)-1-i%2*min(1, len(c.all)-1)].Kill()
							c.start()
						})
					}
				}
			})
		}()
		began := time.Now()
		var ids []string
		testkit.Eventually(t, "every event arrives", max(patience, time.Duration(n)*time.Second), func() bool {
			c.pull()
			if c.done < n {
				return t.Failed()
			}
			ids = slices.Concat(slices.Collect(maps.Values(c.pulled))...)
			return t.Failed() || taker.has(ids) == len(ids)
		}, func() any { return fmt.Sprint(c.done, " completed, ", taker.has(ids), " of ", len(ids)) })
		<-posted
		kills.Wait()
		taker.mu.Lock()
		defer taker.mu.Unlock()
		for campaign, want := range c.pulled {
			if got := taker.campaign[campaign]; !slices.Equal(got, want) {
				t.Errorf("campaign %s: posted %v, pulled %v", campaign, got, want)
			}
		}
		repeated := taker.posts - len(taker.bodies)
		for campaign := range taker.campaign {
			if campaign != "" && c.pulled[campaign] == nil {
				t.Errorf("campaign %s was posted and not pulled", campaign)
			}
		}
		if len(c.pulled) != n {
			t.Errorf("%d campaigns, want %d", len(c.pulled), n)
		}
		t.Logf("%d campaigns, %d events of theirs, all posted and pulled after %s; %d posts taken, %d of them repeated", n, len(ids), time.Since(began).Round(time.Millisecond), taker.posts, repeated)
	})
}
