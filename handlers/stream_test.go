package handlers

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"carillon/channels"
	"carillon/channels/inbox"
	"carillon/handlers/streams"
	"carillon/internal/testkit"
	"carillon/internal/testkit/contract"
	"carillon/models"
)

// event is one block of a stream.
type event struct{ ID, Event, Data, Comment string }

func (e event) message(t testing.TB) (m inbox.Message) {
	t.Helper()
	if err := json.Unmarshal([]byte(e.Data), &m); err != nil {
		t.Fatalf("%+v: %v", e, err)
	}
	return m
}

// client holds a stream open. Its events come without the heartbeats; the channel is closed with the stream.
type client struct {
	t      testing.TB
	events chan event
	cursor string // the last id
	close  func()
}

const patience = testkit.Patience

// open opens a stream and takes the cursor that it begins with.
func (s *server) open(userID string, headers ...string) *client {
	s.t.Helper()
	res, hangUp := s.request(userID, headers...)
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		body, _ := io.ReadAll(res.Body)
		s.t.Fatalf("stream of %s: %d %s", userID, res.StatusCode, body)
	}
	c := &client{t: s.t, events: make(chan event, 10_000), close: hangUp}
	go c.read(res.Body)
	if first := c.next(); first.ID == "" || first.Data != "" {
		s.t.Fatalf("a stream begins with %+v", first)
	}
	return c
}

// request asks for a stream; the answer is there once its first bytes are.
func (s *server) request(userID string, headers ...string) (*http.Response, func()) {
	s.t.Helper()
	return s.stream("/v1/inbox/"+url.PathEscape(userID)+"/stream", s.token(userID), headers...)
}

// stream asks for a path's events with a token.
func (s *server) stream(path, token string, headers ...string) (*http.Response, func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("token", token)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := contract.Transport(s.t, http.DefaultTransport).RoundTrip(req)
	if err != nil {
		s.t.Fatal(err)
	}
	hangUp := func() { cancel(); _ = res.Body.Close() }
	s.t.Cleanup(hangUp)
	return res, hangUp
}

func (c *client) read(body io.Reader) {
	defer close(c.events)
	var e event
	for lines := bufio.NewReader(body); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "id":
			e.ID = value
		case "event":
			e.Event = value
		case "data":
			e.Data = value
		case "":
			if e != (event{}) {
				c.events <- e
			}
			e = event{}
		}
	}
}

// next waits for the next event.
func (c *client) next() event {
	c.t.Helper()
	select {
	case e, ok := <-c.events:
		if !ok {
			c.t.Fatal("the stream has ended")
		}
		if e.ID != "" {
			c.cursor = e.ID
		}
		return e
	case <-time.After(patience):
		c.t.Fatal("no event came")
	}
	panic("not reached")
}

func (c *client) wantText(want string) event {
	c.t.Helper()
	e := c.next()
	if m := e.message(c.t); text(m) != want || e.Event != "message" {
		c.t.Fatalf("got %+v, want %q", e, want)
	}
	return e
}

// ended waits for the stream's end.
func (c *client) ended() {
	c.t.Helper()
	for {
		select {
		case _, ok := <-c.events:
			if !ok {
				return
			}
		case <-time.After(patience):
			c.t.Fatal("the stream has not ended")
		}
	}
}

// worker is the inbox channel of another process on the same Redis.
type worker struct {
	t   *testing.T
	rdb *redis.Client
}

func newWorker(t *testing.T, redisURL string) worker {
	t.Helper()
	options, err := redis.ParseURL(redisURL)
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(options)
	t.Cleanup(func() { _ = rdb.Close() })
	return worker{t, rdb}
}

// send sends a message for those online only.
func (w worker) send(text string, userIDs ...string) []channels.Outcome {
	w.t.Helper()
	spec := toUsers(text)
	spec.Message.IsOnlineOnly = true
	b := channels.Batch{CampaignID: "01", Message: &spec.Message}
	for _, id := range userIDs {
		b.Recipients = append(b.Recipients, channels.Recipient{UserID: id, ClientMsgID: models.ClientMsgID("01", models.KindUser, id)})
	}
	return inbox.New(w.rdb).Send(w.t.Context(), b)
}

func (w worker) online(userID string) bool {
	return w.send("are you there?", userID)[0].Result == channels.Sent
}

// maxStreams is how many a user may hold open.
const maxStreams = 5

// slots is how many streams of a user count.
func (w worker) slots(userID string) int64 {
	return w.rdb.ZCard(w.t.Context(), inbox.StreamName(w.rdb, userID)+":streams").Val()
}

// unique makes user IDs that no other test has: publish/subscribe reaches all databases of a Redis.
func unique(t *testing.T, name string) string {
	return fmt.Sprintf("%s-%d", name, time.Now().UnixNano())
}

func TestStreamIsPresenceAcrossProcesses(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		t.Cleanup(s.Close)
		bob, eve := unique(t, "b/o %b"), unique(t, "eve")
		s.users(bob, eve)
		w := newWorker(t, stores.RedisURL)

		first, second := s.open(bob), s.open(bob)
		got := w.send("now", bob, eve)
		if got[0].Result != channels.Sent || got[1].Result != channels.Skipped || got[1].ErrMsg != "offline" {
			t.Fatalf("%+v", got)
		}
		for _, c := range []*client{first, second} {
			e := c.wantText("now")
			if m := e.message(t); e.ID != "" || !m.IsOnlineOnly || m.ClientMsgID == "" {
				t.Errorf("%+v", e)
			}
		}
		first.close()
		testkit.Eventually(t, "the first stream's end is seen", patience, func() bool { return w.slots(bob) == 1 })
		if !w.online(bob) {
			t.Error("bob holds one more stream and is offline")
		}
		second.close()
		testkit.Eventually(t, "bob goes offline", patience, func() bool { return !w.online(bob) })
		again := s.open(bob)
		if !w.online(bob) {
			t.Error("bob came back, his stream is open, and he is offline")
		}
		again.wantText("are you there?")
	})
}

func TestStreamSendsWhatIsStoredFromNowOn(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		t.Cleanup(s.Close)
		bob, eve := unique(t, "bob"), unique(t, "eve")
		s.manyUsers(bob, eve)
		if _, err := s.Store.PutGroup(t.Context(), "choir", nil, []string{bob}); err != nil {
			t.Fatal(err)
		}
		s.deliver(toUsers("before", bob, eve))
		c, other := s.open(bob), s.open(eve)
		for _, spec := range []models.CampaignSpec{toUsers("small", bob), toAll("large"), toGroup("group", "choir"), toUsers("to both", bob, eve)} {
			var content struct{ Content string }
			_ = json.Unmarshal(spec.Message.Content, &content)
			s.deliver(spec)
			before := c.cursor
			e := c.wantText(content.Content)
			a, _ := streams.ParseCursor("", before)
			b, err := streams.ParseCursor("", e.ID)
			if err != nil || a == b || a.Later(b) != b {
				t.Errorf("the cursor went from %v to %v, %v", a, b, err)
			}
			if m := e.message(t); m.IsOnlineOnly || m.SentAt.IsZero() {
				t.Errorf("%+v", m)
			}
		}
		other.wantText("large")
		other.wantText("to both")
	})
}

func TestReconnectMissesNothing(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		t.Cleanup(s.Close)
		bob := unique(t, "bob")
		s.users(bob)
		c := s.open(bob)
		opened := c.cursor
		s.deliver(toUsers("seen", bob))
		c.wantText("seen")
		c.close()
		const n = 50 + 5 // more than one read
		for i := range n {
			s.deliver(toUsers(fmt.Sprint("missed ", i), bob))
		}
		for name, from := range map[string]*client{
			"after the last message": s.open(bob, "Last-Event-ID", c.cursor),
			"after the opening":      s.open(bob, "Last-Event-ID", opened),
		} {
			s.deliver(toUsers("live for "+name, bob))
			times := map[string]int{}
			for times["live for "+name] == 0 {
				times[text(from.next().message(t))]++
			}
			for i := range n {
				if got := times[fmt.Sprint("missed ", i)]; got != 1 {
					t.Errorf("%s: message %d came %d times", name, i, got)
				}
			}
		}
		status, got := s.do(http.MethodGet, "/v1/inbox/"+bob+"/stream", nil, "Last-Event-ID", "x")
		if status != http.StatusUnprocessableEntity || got.fields(t)["Last-Event-ID"] == "" {
			t.Errorf("%d %s", status, got.Raw)
		}
	})
}

func TestSixthStreamIsRefusedOverAllProcesses(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s, other := newServer(t, stores), newServer(t, stores)
		t.Cleanup(s.Close)
		t.Cleanup(other.Close)
		bob, eve := unique(t, "bob"), unique(t, "eve")
		s.users(bob, eve)
		var open []*client
		for i := range maxStreams {
			open = append(open, []*server{s, other}[i%2].open(bob))
		}
		for _, process := range []*server{s, other} {
			res, _ := process.request(bob)
			body, _ := io.ReadAll(res.Body)
			if res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") == "" || !strings.Contains(string(body), `"errCode":429`) {
				t.Errorf("the sixth: %d %s", res.StatusCode, body)
			}
		}
		s.open(eve)
		open[0].close()
		w := newWorker(t, stores.RedisURL)
		testkit.Eventually(t, "the closed stream gives its slot back", patience, func() bool { return w.slots(bob) == maxStreams-1 })
		other.open(bob)
	})
}
