package handlers

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"carillon/handlers/web"
	"carillon/internal/testkit"
)

// ownRedis replaces the shared Redis by one that the test may break.
func ownRedis(t *testing.T, stores testkit.Stores) testkit.Stores {
	if stores.Name != "embedded" {
		stores.RedisURL = testkit.PrivateRedis(t).URL()
	}
	return stores
}

func TestStreamsOutliveFlushAll(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		stores = ownRedis(t, stores)
		// a slot lives for three beats: longer than a busy machine holds one up
		s := newServer(t, stores, func(a *API) { a.streams.Beat = 2 * time.Second })
		t.Cleanup(s.Close)
		s.users("bob")
		var open []*client
		for range maxStreams {
			open = append(open, s.open("bob"))
		}
		w := newWorker(t, stores.RedisURL)
		if err := w.rdb.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		if !w.online("bob") {
			t.Error("bob is offline after FLUSHALL")
		}
		testkit.Eventually(t, "the open streams count again", patience, func() bool { return w.slots("bob") == maxStreams })
		if res, _ := s.request("bob"); res.StatusCode != http.StatusTooManyRequests {
			t.Errorf("the sixth: %d", res.StatusCode)
		}
		s.deliver(toUsers("stored", "bob"))
		for _, c := range open {
			c.wantText("are you there?")
			c.wantText("stored")
		}
	})
}

func TestStreamsOutliveARedisThatRestarts(t *testing.T) {
	t.Parallel()
	server := testkit.PrivateRedis(t)
	stores := testkit.Stores{DatabaseURL: testkit.MySQLURL(t), RedisURL: server.URL()}
	s := newServer(t, stores, func(a *API) { a.streams.Beat = 200 * time.Millisecond })
	t.Cleanup(s.Close)
	s.users("bob")
	c := s.open("bob")
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	res, _ := s.request("bob")
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
		t.Errorf("without Redis: %d %s", res.StatusCode, body)
	}
	s.deliver(toUsers("stored", "bob"))
	c.wantText("stored")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	w := newWorker(t, server.URL())
	testkit.Eventually(t, "bob is online again", patience, func() bool { return w.online("bob") })
	c.wantText("are you there?")
	testkit.Eventually(t, "the stream counts again", patience, func() bool { return w.slots("bob") == 1 })
}

func TestSlowClientLosesItsStreamAndBlocksNobody(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores)
		t.Cleanup(s.Close)
		bob := unique(t, "bob")
		s.users(bob)
		slow, _ := s.request(bob) // nobody reads it
		fast := s.open(bob)
		w := newWorker(t, stores.RedisURL)
		big := strings.Repeat("x", 200_000)
		for n := 0; w.slots(bob) == 2; n++ {
			if n == 2_000 {
				t.Fatal("the slow stream is still open")
			}
			w.send(big, bob)
			fast.wantText(big)
		}
		if _, err := io.Copy(io.Discard, slow.Body); err == nil {
			t.Error("the slow stream ended as if it were whole")
		}
		w.send("the last", bob)
		fast.wantText("the last")
	})
}

func TestStreamEndsWithItsToken(t *testing.T) {
	t.Parallel()
	s := newServer(t, testkit.Stores{DatabaseURL: "sqlite:" + t.TempDir() + "/c.db", RedisURL: testkit.EmbeddedRedisURL(t)})
	t.Cleanup(s.Close)
	s.users("bob")
	bob, err := s.Store.User(t.Context(), "bob")
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	// On a machine that runs all tests at once the stream itself may take a second to open.
	const life = 6 * time.Second
	token, err := web.UserTokenFor(s.Secret, bob, 1, life)
	if err != nil {
		t.Fatal(err)
	}
	s.open("bob", "token", token).ended()
	if time.Since(began) < life-time.Second { // a token ends at a whole second
		t.Error("the stream ended before its token")
	}
}

// TestCloseEndsStreamsAndLeavesNothing is not parallel: goleak sees all goroutines of the process.
func TestCloseEndsStreamsAndLeavesNothing(t *testing.T) { //nolint:paralleltest // see above
	before := goleak.IgnoreCurrent()
	t.Run("stores", func(t *testing.T) { testkit.EachStore(t, closeEndsStreams) })
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	goleak.VerifyNone(t, before)
}

func closeEndsStreams(t *testing.T, stores testkit.Stores) {
	s := newServer(t, stores)
	bob := unique(t, "bob")
	s.users(bob, "eve")
	open := []*client{s.open(bob), s.open(bob), s.open("eve")}
	open[2].close()
	s.do(http.MethodGet, "/monitor/api/queues", nil)
	s.Close()
	open[0].ended()
	open[1].ended()
	if n := newWorker(t, stores.RedisURL).slots(bob); n != 0 {
		t.Errorf("%d slots are still taken", n)
	}
	s.Close()
	if res, _ := s.request(bob); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a stream of a closed process: %d", res.StatusCode)
	}
	if status, _ := s.do(http.MethodGet, "/monitor/", nil); status != http.StatusServiceUnavailable {
		t.Errorf("the monitor of a closed process: %d", status)
	}
}

// A Redis that hangs closes no connection. Open streams find out by themselves and come back on a new one, as with a new master.
func TestStreamsOutliveARedisThatHangs(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		w, bob := newWorker(t, stores.RedisURL), unique(t, "bob")
		var link *testkit.Link
		link, stores.RedisURL = testkit.OpenLink(t, stores.RedisURL)
		s := newServer(t, stores)
		t.Cleanup(s.Close)
		s.users(bob)
		c := s.open(bob)
		w.send("before", bob)
		c.wantText("before")
		for round := range 2 {
			link.Hang()
			began := time.Now()
			for waits := true; waits; {
				w.send("after", bob)
				select {
				case <-c.events:
					waits = false
				case <-time.After(50 * time.Millisecond):
					if time.Since(began) > 20*time.Second {
						t.Fatalf("round %d: the stream is deaf", round)
					}
				}
			}
			t.Logf("round %d: deaf for %s", round, time.Since(began))
			w.send("the last", bob)
			for text(c.next().message(t)) != "the last" {
			}
		}
	})
}
