package main

import (
	"context"
	"encoding/json"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/channels"
	"carillon/channels/webhook"
	"carillon/internal/testkit/openim"
	"carillon/internal/testkit/services"
	"carillon/models"
)

// TestMain lets the test's binary be the provider, as the bench's is.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == providerArg {
		os.Exit(provide(context.Background(), os.Stdout, os.Stderr))
	}
	if len(os.Args) > 1 && os.Args[1] == doubleArg {
		os.Exit(openim.Run(context.Background(), os.Args[2:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func startProvider(t *testing.T) *Provider {
	t.Helper()
	p, err := StartProvider()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := p.Reset(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestSameRequests: what the bare loops send is, byte for byte in length and item for item, what the webhook
// channel sends.
func TestSameRequests(t *testing.T) {
	p := startProvider(t)
	fast, err := newFastPosters(p)
	if err != nil {
		t.Fatal(err)
	}
	slow, err := newNetPosters(t.Context(), p, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 250} {
		hook, err := webhook.New(webhook.Config{URL: p.URL(), Secret: "whsec_" + strings.Repeat("A", 44), Batch: n})
		if err != nil {
			t.Fatal(err)
		}
		m := message()
		batch := channels.Batch{CampaignID: strings.Repeat("0", 26), OperationID: strings.Repeat("0", 26), Message: &m}
		for i := range n {
			batch.Recipients = append(batch.Recipients, channels.Recipient{UserID: userID(i), ClientMsgID: models.ClientMsgID("x", 0, userID(i))})
		}
		ways := []func() error{
			func() error { return fast().post(0, n) },
			func() error { return slow().post(0, n) },
			func() error { hook.Send(t.Context(), batch); hook.Close(); return nil },
		}
		var sizes []int64
		for _, send := range ways {
			if err := p.Reset(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			if err := send(); err != nil {
				t.Fatal(err)
			}
			seen, err := p.Seen(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if seen.Requests != 1 || seen.Recipients != int64(n) {
				t.Errorf("%+v, want one request for %d", seen, n)
			}
			sizes = append(sizes, seen.Bytes)
		}
		if sizes[0] != sizes[1] || sizes[0] != sizes[2] {
			t.Errorf("%d recipients: bodies of %d bytes over fasthttp, %d over net/http, %d by Carillon", n, sizes[0], sizes[1], sizes[2])
		}
	}
}

func TestBodiesAreJSON(t *testing.T) {
	b, err := newBodies()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 3} {
		var got struct {
			Recipients []struct{ RecvID, ClientMsgID string }
		}
		if err := json.Unmarshal(b.render(5, 5+n), &got); err != nil {
			t.Fatal(err)
		}
		if len(got.Recipients) != n || got.Recipients[0].RecvID != userID(5) || len(got.Recipients[0].ClientMsgID) != 32 {
			t.Errorf("%+v", got)
		}
	}
}

// TestProbes: the provider notes when a probe came first, and takes its time when it is told to.
func TestProbes(t *testing.T) {
	p := startProvider(t)
	hook, err := webhook.New(webhook.Config{URL: p.URL(), Secret: "whsec_" + strings.Repeat("A", 44)})
	if err != nil {
		t.Fatal(err)
	}
	defer hook.Close()
	m := message()
	send := func(user string) {
		hook.Send(t.Context(), channels.Batch{Message: &m, Recipients: []channels.Recipient{{UserID: user, ClientMsgID: "x"}}})
	}
	const delay = 30 * time.Millisecond
	if err := p.Reset(t.Context(), delay); err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	send(probePrefix + "7")
	took := time.Since(before)
	send(probePrefix + "7")
	send("user-1")
	seen, err := p.Seen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(0, seen.Arrivals[probePrefix+"7"])
	if len(seen.Arrivals) != 1 || at.Before(before) || at.After(before.Add(took)) {
		t.Errorf("%v, posted at %s", seen.Arrivals, before)
	}
	if took < delay || seen.Recipients != 3 || seen.First != at.UnixNano() || seen.Last <= seen.First {
		t.Errorf("%s for the first; %+v", took, seen)
	}
}

func TestCheck(t *testing.T) {
	var r Row
	if err := r.check(Seen{Requests: 2, Recipients: 500, Bytes: 1000}, 500); err != nil || r.PerRequest != 250 || r.BytesPerRequest != 500 {
		t.Errorf("%v %+v", err, r)
	}
	for _, n := range []int64{499, 501} {
		if err := r.check(Seen{Requests: 1, Recipients: n}, 500); err == nil {
			t.Errorf("%d of 500 is right", n)
		}
	}
}

// TestSmallRun measures a little of everything, and judges only that there are figures: on a machine that runs
// tests the figures themselves tell of the tests.
func TestSmallRun(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT TESTED: it takes a quarter of a minute")
	}
	if err := services.Available(); err != nil {
		if os.Getenv("CARILLON_TEST_REQUIRE") == "1" || os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("NOT TESTED: ", err)
	}
	// Of the stragglers two rows: the others wait for time-outs and backoffs of many seconds.
	o := Options{Only: slices.Concat(sections, asked), Sizes: []int{1250}, Few: 300, Rounds: 1, Sends: 5, Profile: t.TempDir(), Match: "embedded"}
	var log strings.Builder
	r, err := measure(t.Context(), t.TempDir(), o, &log)
	r.Print(&log)
	t.Log(log.String())
	if err != nil {
		t.Fatal(err)
	}
	const slow, imported, purged, grown = 2, 1, 3, 4
	if want := len(ways) + slow + imported + purged + grown; len(r.Rows) != want {
		t.Errorf("%d rows, want %d", len(r.Rows), want)
	}
	for _, row := range r.Rows {
		if row.PerSecond <= 0 || row.Recipients <= 0 {
			t.Errorf("%+v", row)
		}
		if runtime.GOOS == "linux" && strings.HasPrefix(row.What, "Carillon") && row.PeakRSS == 0 {
			t.Errorf("%s: no peak memory", row.What)
		}
	}
	if pages := 2 * (len(consolePages) + 1); len(r.Latencies) != 5+pages {
		t.Errorf("%d latencies", len(r.Latencies))
	}
	for _, l := range r.Latencies {
		if l.Tries != o.Sends && l.Tries != workTries || l.P50 <= 0 || l.P99 < l.P50 {
			t.Errorf("%+v", l)
		}
	}
	profiles, err := os.ReadDir(o.Profile)
	if err != nil || len(profiles) == 0 {
		t.Errorf("no profiles: %v", err)
	}
}

// TestMoods: the provider treats some worse, as many as it says, and always the same ones.
func TestMoods(t *testing.T) {
	p := startProvider(t)
	hook, err := webhook.New(webhook.Config{URL: p.URL(), Secret: "whsec_" + strings.Repeat("A", 44)})
	if err != nil {
		t.Fatal(err)
	}
	defer hook.Close()
	const n = 300
	m := message()
	batch := channels.Batch{CampaignID: "c", Message: &m}
	for i := range n {
		batch.Recipients = append(batch.Recipients, channels.Recipient{UserID: userID(i), ClientMsgID: userID(i)})
	}
	for _, mood := range []Mood{{moodWell, 1, 7}, {moodFails, 10, 7}, {moodRetry, 10, 7}, {moodFirst, 1, 7}, {moodRandom, 10, 7}} {
		if err := p.ResetTo(t.Context(), mood); err != nil {
			t.Fatal(err)
		}
		var sent [2]int
		for round := range sent {
			for _, o := range hook.Send(t.Context(), batch) {
				if o.Result == channels.Sent {
					sent[round]++
				}
			}
		}
		seen, err := p.Seen(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := [2]int{mood.reachable(n), mood.reachable(n)}
		switch mood.Kind {
		case moodFirst:
			want[0] = 0
		case moodRandom:
			want = [2]int{n - n/mood.Every, n - n/mood.Every}
		}
		if sent != want || seen.Good != int64(sent[0]+sent[1]) || seen.Reached == 0 || seen.longestSilence() > 10 {
			t.Errorf("%s: sent %v, want %v; %+v", mood.Kind, sent, want, seen)
		}
	}
	if got := (Seen{First: 0, Reached: int64(time.Second), Ticks: []int64{1, 0, 0, 5, 0, 0, 0, 2, 0, 0}}).longestSilence(); got < 0.29 || got > 0.31 {
		t.Errorf("a silence of %.1f s", got)
	}
}
