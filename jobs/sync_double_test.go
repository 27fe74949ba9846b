package jobs_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"carillon/channels/openim"
	"carillon/internal/testkit"
	double "carillon/internal/testkit/openim"
	"carillon/jobs"
	"carillon/models"
)

// moving is a double of OpenIM as a source of users. Before each page it does what a test says.
type moving struct {
	openim.Directory
	before func(n int64) // the number of the page request, from 1
	pages  atomic.Int64
}

func (m *moving) Users(ctx context.Context, page, size int) (int, []models.UserChange, error) {
	n := m.pages.Add(1)
	if m.before != nil {
		m.before(n)
	}
	return m.Directory.Users(ctx, page, size)
}

// show is the fifth show: users come and go and the list moves while it is read, and whoever reads it is killed.
type show struct {
	syncRig
	double double.Client
	source *moving
	size   int             // of a page
	every  int64           // so many pages come between two looks; 1 = each has one. A look at 100,000 users takes seconds
	next   int             // the next user who comes
	before map[string]bool // who stood in the directory at the last look
	looks  int
}

func newShow(t *testing.T, s testkit.Stores, users, pageSize, shift int) *show {
	t.Helper()
	d, err := double.Start(double.Options{Log: filepath.Join(t.TempDir(), "log"), Secret: "openIM-secret-123", Users: users, Manners: double.Manners{
		Shift: shift, Faults: []double.Fault{{Kind: double.Cut, Route: "/user/get_users", Times: 1}, {Kind: double.Status, Status: 500, Route: "/user/get_users", Every: 11}}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	ro, err := redis.ParseURL(s.RedisURL)
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(ro)
	t.Cleanup(func() { _ = rdb.Close() })
	c, err := openim.NewClient(openim.Config{URL: d.URL(), Secret: "openIM-secret-123"}, rdb)
	if err != nil {
		t.Fatal(err)
	}
	store, clock := testkit.OpenStoreAt(t, s.DatabaseURL, noon)
	return &show{syncRig: syncRig{t, store, clock, nil}, double: double.Client{URL: d.URL()}, source: &moving{Directory: openim.Directory{Client: c}},
		size: pageSize, every: max(1, int64(users/2_000)), before: map[string]bool{}}
}

func (s *show) users() []string {
	s.t.Helper()
	ids, err := s.double.Users(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return ids
}

// change lets two users go and two come.
func (s *show) change() {
	s.t.Helper()
	ids := s.users()
	s.next += 2
	err := s.double.Change(s.t.Context(), double.Change{
		Remove: []string{ids[(s.next*7919)%len(ids)], ids[(s.next*104729)%len(ids)]},
		Add:    []double.User{{UserID: fmt.Sprintf("new-%06d", s.next)}, {UserID: fmt.Sprintf("new-%06d", s.next+1)}},
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// look finds living users who stood in the directory and stand there no more.
func (s *show) look() {
	s.t.Helper()
	s.looks++
	living := s.users() // first: who goes meanwhile is not living any more, and stands there all the same
	now := map[string]bool{}
	for _, id := range s.directory() {
		now[id] = true
	}
	for _, id := range living {
		if s.before[id] && !now[id] {
			s.t.Errorf("%s lives, and is missing after look %d", id, s.looks)
		}
	}
	s.before = now
}

// work works on the pass that is asked for, as a process of its own.
func (s *show) work() error {
	log := slog.New(slog.NewTextHandler(s.t.Output(), nil))
	return jobs.NewSyncer(s.store, s.source, jobs.SyncOptions{PageSize: s.size, Pause: time.Microsecond}, log).Work(s.t.Context())
}

// pass is a whole pass. At each of the pages in kills the process that reads it stands still, and another one goes on when the
// lease has ended. The frozen ones wake up when the pass is over.
func (s *show) pass(changes bool, kills ...int64) models.Sync {
	s.t.Helper()
	wake := make(chan struct{})
	frozen, ended := make(chan struct{}), make(chan error, len(kills))
	s.source.pages.Store(0)
	s.source.before = func(n int64) {
		if n%s.every == 0 {
			s.look()
		}
		if changes {
			s.change()
		}
		if slices.Contains(kills, n) {
			frozen <- struct{}{}
			<-wake
		}
	}
	s.ask(false)
	for range kills {
		go func() { ended <- s.work() }()
		<-frozen
		s.clock.Tick(time.Duration(models.SyncLease) * time.Millisecond)
	}
	begun := time.Now()
	if err := s.work(); err != nil {
		s.t.Fatal(err)
	}
	y := s.state()
	s.t.Logf("pass %d: %d rounds, %d pages, %+v, the last part in %s", y.Pass, y.Round, s.source.pages.Load(), y.SyncCounts, time.Since(begun).Round(time.Millisecond))
	s.source.before = nil
	close(wake)
	for range kills {
		if err := <-ended; err != nil {
			s.t.Error(err)
		}
	}
	s.look()
	if y.Error != "" || y.LastPass != y.Pass {
		s.t.Fatalf("%+v", y)
	}
	return y
}

// run is the whole show.
func (s *show) run(kills ...int64) {
	s.t.Helper()
	s.pass(true)
	s.pass(true, kills...)
	if _, err := s.store.UpsertUsers(s.t.Context(), []models.UserChange{{UserID: "by hand"}, {UserID: "u000010", Timezone: new("Europe/Berlin")}}); err != nil {
		s.t.Fatal(err)
	}
	s.pass(false)
	s.pass(false)
	want := append(s.users(), "by hand")
	slices.Sort(want)
	if got := s.directory(); !slices.Equal(got, want) {
		s.t.Errorf("the directory holds %d users, the provider %d", len(got), len(want)-1)
	}
	if dir, err := s.store.Directory(s.t.Context()); err != nil || dir.Live != int64(len(want)) {
		s.t.Errorf("%+v, %v", dir, err)
	}
}

// TestDirectorySync: after two passes the directory equals the provider's list, and at no time a living user was missing from it.
// CARILLON_TEST_SYNC_USERS=100000 runs it with so many users.
func TestDirectorySync(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		users, size := 700, 50
		if given := os.Getenv("CARILLON_TEST_SYNC_USERS"); given != "" {
			n, err := strconv.Atoi(given)
			if err != nil {
				t.Fatal(err)
			}
			users, size = n, 1000
		}
		newShow(t, s, users, size, max(1, size/100)).run(3, 7, 12)
	})
}
