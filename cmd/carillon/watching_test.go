package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carillon/client"
	"carillon/internal/testkit"
	"carillon/models"
)

const (
	watchTick = 500 * time.Millisecond // the API promises no more events than one in this time
	lagGoal   = time.Second            // p99 of the time by which a client is behind the ledger
	flat      = 16 << 20               // bytes by which memory may differ between two halves of a run
)

// seen is how many recipients had got their message, as somebody saw it at a time.
type seen struct {
	at   time.Time
	sent int64
}

// watchedAPI is a process that serves the API, with a count of its readings of the ledger.
type watchedAPI struct {
	client  *client.Client
	pid     int
	reading atomic.Pointer[[]byte] // what stands once in a statement that reads the campaign; nil = nothing is counted
	reads   atomic.Int64
}

// newWatchedAPI starts a process. Whatever it asks the database goes over a link that counts.
func newWatchedAPI(t *testing.T, databaseURL, redisURL string) *watchedAPI {
	t.Helper()
	a := &watchedAPI{}
	link, through := testkit.OpenLink(t, databaseURL)
	link.Hear(func(said []byte) {
		if text := a.reading.Load(); text != nil {
			a.reads.Add(int64(bytes.Count(said, *text)))
		}
	})
	url, p, _ := spawned(t, append([]string{"serve", "--roles", "api"}, external(through, redisURL)...)...)
	var err error
	if a.client, err = client.New(client.Options{Server: url, Token: adminToken(t)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.client.Close)
	a.pid = p.Pid
	return a
}

// ledgerLog reads a campaign of the ledger again and again, until it has finished. It notes how much memory the processes use,
// and how often they had read the campaign when it was last seen unfinished: afterwards each client asks once more.
func ledgerLog(t *testing.T, store *models.Store, id string, apis []*watchedAPI) (log []seen, memory [][]int64, reads []int64) {
	t.Helper()
	memory = make([][]int64, len(apis))
	testkit.Eventually(t, "the campaign finishes", patience, func() bool {
		now, n := seen{at: time.Now()}, make([]int64, len(apis))
		for i, a := range apis {
			n[i] = a.reads.Load()
		}
		c, err := store.Campaign(t.Context(), id)
		if err != nil {
			t.Error(err)
			return true
		}
		if now.sent = c.Sent; len(log) == 0 || now.sent > log[len(log)-1].sent {
			log = append(log, now)
		} else {
			log[len(log)-1].at = now.at // the last time at which the ledger had this count
		}
		for i, a := range apis {
			memory[i] = append(memory[i], statusOf(t, a.pid, "VmRSS"))
		}
		if c.FinishedAt != 0 {
			return true
		}
		reads = n
		return false
	})
	return log, memory, reads
}

// lags are the times that passed from a count in the ledger until a client had that count, or a later one. The ledger had the
// count at some time after its log shows the count before.
func lags(log, client []seen) (list []time.Duration) {
	for i, now := range log[1:] {
		at := slices.IndexFunc(client, func(s seen) bool { return s.sent >= now.sent })
		if at < 0 {
			return append(list, time.Hour) // it never heard of this one
		}
		list = append(list, client[at].at.Sub(log[i].at))
	}
	return list
}

// Many clients watch a campaign over two processes: each process reads the ledger once for all of its clients, and each client
// hears of all that happens.
//
// With CARILLON_TEST_WATCHED_RECIPIENTS, for example 100000, there are 200 clients, and the run is judged by its times and its
// memory: each client is at most a second behind the ledger, and the processes need no more memory as the campaign goes on.
// That takes a machine without other work, and no race detector: make test ARGS='-v -race=false -run TestManyWatch ./cmd/carillon'.
func TestManyWatchACampaign(t *testing.T) {
	t.Parallel()
	recipients, clients, lasting := 2000, 40, 4
	many, err := strconv.Atoi(os.Getenv("CARILLON_TEST_WATCHED_RECIPIENTS"))
	judged := err == nil
	if judged {
		recipients, clients, lasting = many, 200, 20
	}
	database, redis := migrated(t, testkit.MySQLURL(t)), testkit.RedisURL(t)
	apis := []*watchedAPI{newWatchedAPI(t, database, redis), newWatchedAPI(t, database, redis)}
	spawn(t, append([]string{"serve", "--roles", "worker,scheduler"}, external(database, redis)...)...)
	first := apis[0].client
	var users bytes.Buffer
	for i := range recipients {
		fmt.Fprintf(&users, "{\"userID\":\"u%d\"}\n", i)
	}
	if _, err := client.Data[client.ImportReport](first.ImportUsersWithBody(t.Context(), nil, "application/x-ndjson", &users)); err != nil {
		t.Fatal(err)
	}
	const slowly = `{"audience":{"all":true},"ratePerSecond":1,"message":{"sendID":"imAdmin","contentType":101,"content":{"content":"hi"}}}` // until all watch
	c, err := client.Data[client.Campaign](first.CreateCampaignWithBody(t.Context(), nil, "application/json", strings.NewReader(slowly)))
	if err != nil {
		t.Fatal(err)
	}
	var watching sync.WaitGroup
	var open atomic.Int64
	saw := make([][]seen, clients)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for i := range saw {
		watching.Go(func() {
			n := 0
			for now, err := range apis[i%len(apis)].client.Watch(ctx, c.ID) {
				if err != nil {
					t.Errorf("client %d: %v", i, err)
					return
				}
				if n++; n == 2 { // the first was asked for, the second is the stream's
					open.Add(1)
				}
				saw[i] = append(saw[i], seen{time.Now(), now.Counts.Sent})
			}
		})
	}
	testkit.Eventually(t, "all watch", patience, func() bool { return open.Load() == int64(clients) || t.Failed() })
	rate := recipients / lasting
	if _, err := client.Data[client.Campaign](first.ChangeCampaign(t.Context(), c.ID, client.CampaignChange{RatePerSecond: &rate})); err != nil {
		t.Fatal(err)
	}
	began, statement := time.Now(), []byte("WHERE c.public_id = '"+c.ID+"') s")
	for _, a := range apis {
		a.reading.Store(&statement)
	}
	log, memory, reads := ledgerLog(t, testkit.OpenStore(t, database), c.ID, apis)
	took := time.Since(began)
	watching.Wait()

	var all99 []time.Duration
	events := 0
	for _, s := range saw {
		all99 = append(all99, lags(log, s)...)
		events += len(s)
	}
	slices.Sort(all99)
	t.Logf("%d recipients in %s, %d clients got %d events; behind the ledger: p50 %s, p99 %s, at most %s",
		recipients, took.Round(time.Millisecond), clients, events, all99[len(all99)/2].Round(time.Millisecond), p99(all99).Round(time.Millisecond), all99[len(all99)-1].Round(time.Millisecond))
	if last := all99[len(all99)-1]; last > patience {
		t.Errorf("a client was %s behind the ledger", last)
	}
	if lag := p99(all99); judged && lag > lagGoal {
		t.Errorf("clients are %s behind the ledger, not %s", lag, lagGoal)
	}
	for i, n := range reads {
		half := len(memory[i]) / 2
		before, after := slices.Max(memory[i][:half]), slices.Max(memory[i][half:])
		t.Logf("process %d read the campaign %d times, of %d ticks; memory %d MiB at most in the first half, %d MiB in the second", i, n, took/watchTick, before>>20, after>>20)
		if ticks := int64(took/watchTick) + 2; n == 0 || n > ticks {
			t.Errorf("process %d read the campaign %d times in %d ticks", i, n, ticks)
		}
		if judged && after > before+flat {
			t.Errorf("process %d: memory grows from %d to %d MiB", i, before>>20, after>>20)
		}
	}
}
