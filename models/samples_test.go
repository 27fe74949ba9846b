package models_test

import (
	"fmt"
	"strings"
	"testing"

	"carillon/internal/testkit"
	"carillon/models"
)

// TestSamplesOfACampaign: processes that sample at once store one sample, and small campaigns have none.
func TestSamplesOfACampaign(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		l := testkit.OpenStore(t, s.DatabaseURL)
		db, _, err := l.Writer()
		if err != nil {
			t.Fatal(err)
		}
		users(t, l, 2)
		c, err := l.Campaign(t.Context(), postToAll(t, l).PublicID)
		if err != nil {
			t.Fatal(err)
		}
		id := c.ID
		for _, total := range []int{999, 1000} {
			if _, err := db.ExecContext(t.Context(), "UPDATE campaigns SET total=? WHERE id=?", total, id); err != nil {
				t.Fatal(err)
			}
			other := testkit.OpenStore(t, s.DatabaseURL)
			for _, store := range []*models.Store{l, other, l} {
				if err := store.SampleCampaigns(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			samples, err := l.Samples(t.Context(), models.Campaign{ID: id}, 1<<40)
			// The ten seconds may end between two of the calls.
			if n := len(samples); err != nil || total < 1000 && n != 0 || total >= 1000 && (n < 1 || n > 2) {
				t.Errorf("%d recipients: %v, samples %v", total, err, samples)
			}
		}
	})
}

// TestSamplesAreThinned: a chart of a long campaign has about as many points as were asked for, spread evenly.
func TestSamplesAreThinned(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		l := testkit.OpenStore(t, s.DatabaseURL)
		db, _, err := l.Writer()
		if err != nil {
			t.Fatal(err)
		}
		const begin, n = 1_700_000_000_000, 3000
		var rows []string
		for i := range n {
			rows = append(rows, fmt.Sprintf("(7,%d,%d,0)", begin+i*int(models.SampleEvery), i))
		}
		if _, err := db.ExecContext(t.Context(), "INSERT INTO campaign_samples VALUES "+strings.Join(rows, ",")); err != nil {
			t.Fatal(err)
		}
		for _, finished := range []models.Millis{0, begin + n*models.SampleEvery} {
			for _, most := range []int{10, 200, 10_000} {
				c := models.Campaign{ID: 7, StartedAt: begin, FinishedAt: finished}
				samples, err := l.Samples(t.Context(), c, most)
				if err != nil || len(samples) > most+1 || finished != 0 && len(samples) < min(most/2, n-1) {
					t.Errorf("%v: %d samples of at most %d", err, len(samples), most)
				}
				for i := 2; i < len(samples); i++ {
					if samples[i].At-samples[i-1].At != samples[1].At-samples[0].At {
						t.Fatalf("samples are not evenly apart: %v", samples[:i+1])
					}
				}
			}
		}
	})
}

// TestSendMinutes: two processes add to the same minute, nothing is added twice, and what could not be written is kept.
func TestSendMinutes(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		l := testkit.OpenStore(t, s.DatabaseURL)
		other := testkit.OpenStore(t, s.DatabaseURL)
		users(t, l, 5)
		sum := func() (sent int64) {
			t.Helper()
			minutes, err := l.SendMinutes(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range minutes {
				if m.At%60_000 != 0 {
					t.Errorf("a minute that begins at %d", m.At)
				}
				sent += m.Sent
			}
			return sent
		}
		sendAll(t, l, postToAll(t, l))
		sendAll(t, other, postToAll(t, l))
		for range 2 {
			for _, store := range []*models.Store{l, other} {
				if err := store.FlushMinutes(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		if n := sum(); n != 10 {
			t.Errorf("%d were sent to in all minutes, not 10", n)
		}
		sendAll(t, l, postToAll(t, l))
		if err := l.PurgeMinutes(t.Context(), 1<<50); err != nil || sum() != 0 {
			t.Errorf("%v: %d are left", err, sum())
		}
		db, _, err := l.Writer()
		if err != nil {
			t.Fatal(err)
		}
		for _, sql := range []string{"ALTER TABLE send_minutes RENAME TO elsewhere", "ALTER TABLE elsewhere RENAME TO send_minutes"} {
			if _, err := db.ExecContext(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
			if err := l.FlushMinutes(t.Context()); (err != nil) != (sql[12] == 's') {
				t.Errorf("after %s: %v", sql, err)
			}
		}
		if n := sum(); n != 5 {
			t.Errorf("%d after the table was away, not 5", n)
		}
	})
}

func postToAll(t *testing.T, store *models.Store) models.Created {
	t.Helper()
	c, err := store.CreateCampaign(t.Context(), spec(models.Audience{Type: models.AudienceAll}), []string{"admin"}, models.Idempotency{}, func(models.Campaign) []byte { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return c
}
