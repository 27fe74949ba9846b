package main

import (
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"carillon/internal/testkit"
	"carillon/internal/testkit/services"
)

// scraped are the series of one scrape: "name{labels}" with its value.
func scraped(t *testing.T, base, token string) map[string]float64 {
	t.Helper()
	r := get(t, base+"/metrics", token)
	if r.status != http.StatusOK {
		t.Fatalf("/metrics: %d %s", r.status, r.body)
	}
	series := map[string]float64{}
	for line := range strings.SplitSeq(r.body, "\n") {
		at := strings.LastIndexByte(line, ' ')
		if at < 0 || line[0] == '#' {
			continue
		}
		value, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		series[line[:at]] = value
	}
	return series
}

const (
	settledSent = `carillon_recipients_settled_total{channel="inbox",status="sent"}`
	completed   = `carillon_shared_campaigns{status="completed"}`
)

// What a scrape says of a campaign is what the API says. Nobody but an admin may scrape.
func TestAScrapeIsWhatTheAPISays(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		flags := []string{"--data-dir", filepath.Join(t.TempDir(), "data"), "--secret", testSecret}
		if s.Name != "embedded" {
			flags = external(migrated(t, s.DatabaseURL), s.RedisURL)
		}
		p := serve(t, flags...)
		base, token := p.ready(), adminToken(t)
		for _, wrong := range []string{"", "not a token"} {
			if r := get(t, base+"/metrics", wrong); r.status < 400 || strings.Contains(r.body, "carillon_") {
				t.Errorf("with the token %q: %d %s", wrong, r.status, r.body)
			}
		}
		call(t, http.MethodPost, base+"/v1/users", token, `{"users":[{"userID":"alice"},{"userID":"bob"},{"userID":"carol"}]}`)
		id, _ := call(t, http.MethodPost, base+"/msg/batch_send_msg", token, message).data["campaignID"].(string)
		sent := p.completed(base, token, id)
		got := scraped(t, base, token) // the first one: nothing is read before
		for name, want := range map[string]float64{
			settledSent: sent, completed: 1, `carillon_shared_campaigns{status="running"}`: 0,
			`carillon_campaign_transitions_total{reason="none",status="running"}`: 1, `carillon_campaign_transitions_total{reason="none",status="completed"}`: 1,
			`carillon_shared_pages{state="running"}`: 0, `carillon_store_up{store="database"}`: 1, `carillon_store_up{store="redis"}`: 1,
			`carillon_http_requests_total{code="200",method="POST",route="/msg/batch_send_msg"}`: 1,
			`carillon_shared_breaker_open{channel="inbox"}`:                                      0,
		} {
			if value, ok := got[name]; !ok || value != want {
				t.Errorf("%s is %v (there: %t), not %v", name, value, ok, want)
			}
		}
		for name := range got {
			if strings.Contains(name, id) || strings.Contains(name, "alice") {
				t.Errorf("an ID is in %s", name)
			}
		}
	})
}

// Each role serves metrics. What processes count themselves adds up; what they share is the same in each.
func TestMetricsOfTwoProcesses(t *testing.T) {
	t.Parallel()
	database := migrated(t, testkit.MySQLURL(t))
	flags := external(database, testkit.RedisURL(t))
	api := serve(t, append(flags, "--roles", "api", "--metrics-public")...)
	base, worker, token := api.ready(), serve(t, append(flags, "--roles", "worker,scheduler")...).ready(), adminToken(t)
	call(t, http.MethodPost, base+"/v1/users", token, `{"users":[{"userID":"alice"},{"userID":"bob"}]}`)
	id, _ := call(t, http.MethodPost, base+"/msg/batch_send_msg", token, message).data["campaignID"].(string)
	if n := api.completed(base, token, id); n != 2.0 {
		t.Fatalf("%v sent", n)
	}
	if r := get(t, worker+"/metrics", ""); r.status < 400 {
		t.Errorf("the worker's metrics are public: %d", r.status)
	}
	of, other := scraped(t, base, ""), scraped(t, worker, token)
	if sum := of[settledSent] + other[settledSent]; sum != 2 {
		t.Errorf("together they sent to %v", sum)
	}
	if of[completed] != 1 || other[completed] != 1 {
		t.Errorf("completed: %v and %v, not 1 in both", of[completed], other[completed])
	}
}

// While the database is away a process still tells what it counts, and that the database is away.
func TestMetricsWithoutADatabase(t *testing.T) {
	t.Parallel()
	database, redis := testkit.PrivateMariaDB(t, services.FastDurability()...), testkit.RedisURL(t)
	databaseURL, _, err := services.CreateDatabase(database.URL())
	if err != nil {
		t.Fatal(err)
	}
	p := serve(t, append(external(migrated(t, databaseURL), redis), "--metrics-public")...)
	base := p.ready()
	if up := scraped(t, base, "")[`carillon_store_up{store="database"}`]; up != 1 {
		t.Fatalf("up is %v", up)
	}
	if err := database.Stop(); err != nil {
		t.Fatal(err)
	}
	var got map[string]float64
	// A value that was read before may stand for some seconds.
	p.until("a scrape says that the database is away, and tells nothing that it cannot read", func() bool {
		got = scraped(t, base, "")
		up, ok := got[`carillon_store_up{store="database"}`]
		_, told := got[`carillon_shared_campaigns{status="running"}`]
		return ok && up == 0 && !told
	})
	if _, ok := got["carillon_shared_campaign_stalled_seconds"]; got["go_goroutines"] == 0 || !ok {
		t.Error("what the process knows by itself is not told")
	}
}
