package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/internal/testkit"
	"carillon/jobs"
	"carillon/models"
)

// userList is a provider's users, in the order of its list.
type userList struct {
	mu       sync.Mutex
	ids      []string
	unlisted []string // who exist, and whom the list never shows
	requests []int    // pages
	fail     func(page int) error
	total    func(n int) int
}

func (l *userList) Users(_ context.Context, page, size int) (int, []models.UserChange, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests = append(l.requests, page)
	if l.fail != nil {
		if err := l.fail(page); err != nil {
			return 0, nil, err
		}
	}
	var users []models.UserChange
	for _, id := range l.ids[min((page-1)*size, len(l.ids)):min(page*size, len(l.ids))] {
		users = append(users, models.UserChange{UserID: id})
	}
	total := len(l.ids)
	if l.total != nil {
		total = l.total(total)
	}
	return total, users, nil
}

func (l *userList) Exist(_ context.Context, ids []string) (map[string]bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	exist := map[string]bool{}
	for _, id := range ids {
		exist[id] = slices.Contains(l.ids, id) || slices.Contains(l.unlisted, id)
	}
	return exist, nil
}

func (l *userList) set(ids ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids, l.requests, l.fail, l.total = ids, nil, nil, nil
}

func (l *userList) asked() []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.requests)
}

// syncRig is a ledger and a provider of users.
type syncRig struct {
	t     *testing.T
	store *models.Store
	clock *testkit.Clock
	list  *userList
}

func eachSyncRig(t *testing.T, f func(r syncRig)) {
	t.Helper()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store, clock := testkit.OpenStoreAt(t, s.DatabaseURL, noon)
		f(syncRig{t, store, clock, &userList{}})
	})
}

func (r syncRig) syncer(source jobs.UserSource, pageSize int) *jobs.Syncer {
	log := slog.New(slog.NewTextHandler(r.t.Output(), nil))
	return jobs.NewSyncer(r.store, source, jobs.SyncOptions{PageSize: pageSize, Pause: time.Microsecond}, log)
}

// run asks for a pass and works on it until it has ended or failed.
func (r syncRig) run() models.Sync {
	r.t.Helper()
	r.ask(false)
	if err := r.syncer(r.list, 10).Work(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	return r.state()
}

func (r syncRig) ask(fewer bool) {
	r.t.Helper()
	if err := r.store.AskSync(r.t.Context(), fewer); err != nil {
		r.t.Fatal(err)
	}
}

func (r syncRig) state() models.Sync {
	r.t.Helper()
	y, err := r.store.Sync(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return y
}

func (r syncRig) directory() []string {
	r.t.Helper()
	users, err := r.store.Users(r.t.Context(), "", "", 1_000_000)
	if err != nil {
		r.t.Fatal(err)
	}
	ids := make([]string, len(users))
	for i, u := range users {
		ids[i] = u.UserID
	}
	return ids
}

func (r syncRig) holds(want ...string) {
	r.t.Helper()
	if got := r.directory(); !slices.Equal(got, want) {
		r.t.Errorf("the directory holds %v, not %v", got, want)
	}
}

func people(from, to int) (ids []string) {
	for i := from; i <= to; i++ {
		ids = append(ids, fmt.Sprintf("user-%03d", i))
	}
	return ids
}

// Several processes run one sync between them.
func TestProcessesRunOneSync(t *testing.T) {
	t.Parallel()
	eachSyncRig(t, func(r syncRig) {
		r.list.set(people(1, 95)...)
		r.ask(false)
		for range 3 {
			s := r.syncer(r.list, 10)
			s.Start()
			t.Cleanup(s.Stop)
		}
		testkit.Eventually(r.t, "the directory is synced", testkit.Patience, func() bool { return r.state().CompletedAt > 0 })
		if got := fmt.Sprint(r.list.asked()); got != "[1 2 3 4 5 6 7 8 9 10]" {
			r.t.Errorf("pages asked for: %s", got)
		}
		r.holds(people(1, 95)...)
		if y := r.state(); y.Works() || y.Pass != 1 {
			r.t.Errorf("%+v", y)
		}
	})
}

// A process that ends leaves its pass to the next one, which goes on with the next page at once.
func TestSyncIsHandedOn(t *testing.T) {
	t.Parallel()
	eachSyncRig(t, func(r syncRig) {
		r.list.set(people(1, 35)...)
		ctx, cancel := context.WithCancel(r.t.Context())
		r.list.fail = func(page int) error {
			if page == 3 {
				cancel()
				return errors.New("the connection broke")
			}
			return nil
		}
		r.ask(false)
		if err := r.syncer(r.list, 10).Work(ctx); !errors.Is(err, context.Canceled) {
			r.t.Fatal(err)
		}
		r.list.set(people(1, 35)...)
		if y := r.run(); y.LastPass != 1 || y.Error != "" {
			r.t.Errorf("%+v", y)
		}
		if got := fmt.Sprint(r.list.asked()); got != "[3 4]" {
			r.t.Errorf("pages asked for: %s", got)
		}
		r.holds(people(1, 35)...)
	})
}

// A provider that answers nothing, little, or nonsense takes nobody away, however often.
func TestSyncOfAProviderThatLies(t *testing.T) {
	t.Parallel()
	eachSyncRig(t, func(r syncRig) {
		r.list.set(people(1, 40)...)
		r.run()
		for _, lie := range []struct {
			name  string
			ids   []string
			total func(int) int
			want  string
		}{
			{"nobody", nil, nil, "lists no user"},
			{"few", people(1, 19), nil, "saw 19 users, fewer than half of 40; if that is right, run carillon users sync --fewer"},
			{"no total", people(1, 40), func(int) int { return 0 }, "lists 10 users on page 1, and says that it has 0"},
			{"short page", people(1, 25), func(int) int { return 40 }, "lists 5 users on page 3 of 10 users each, and says that it has 40"},
		} {
			for range 3 {
				r.list.set(lie.ids...)
				r.list.total = lie.total
				if y := r.run(); !strings.Contains(y.Error, lie.want) || y.LastPass != 1 || y.LastSeen != 40 || y.Vanished != 0 {
					r.t.Errorf("%s: %+v", lie.name, y)
				}
			}
		}
		r.list.set() // in the middle of a pass
		if y := r.run(); !strings.Contains(y.Error, "listed 20 users, and now says that it has 0") || y.LastPass != 1 {
			r.t.Errorf("%+v", y)
		}
		r.holds(people(1, 40)...)
		for range 2 { // two complete passes
			r.list.set(people(1, 19)...)
			r.ask(true)
			if y := r.run(); y.Error != "" || y.Fewer {
				r.t.Errorf("%+v", y)
			}
			r.list.set(people(1, 19)...)
			r.run()
		}
		r.holds(people(1, 19)...)
	})
}

// A page that fails is tried again. When it goes on failing, so does the sync, and later it goes on with that page.
func TestSyncTriesAgain(t *testing.T) {
	t.Parallel()
	eachSyncRig(t, func(r syncRig) {
		r.list.set(people(1, 30)...)
		failures := 2
		r.list.fail = func(page int) error {
			if page == 2 && failures > 0 {
				failures--
				return errors.New("HTTP 500")
			}
			return nil
		}
		if y := r.run(); y.Error != "" || y.LastPass != 1 {
			r.t.Errorf("%+v", y)
		}
		r.list.set(people(1, 30)...)
		failures = 3
		r.list.fail = func(page int) error {
			if page == 2 && failures > 0 {
				failures--
				return errors.New("HTTP 500")
			}
			return nil
		}
		if y := r.run(); y.Error != "HTTP 500" || y.Failures != 1 || y.Page != 2 || y.Works() {
			r.t.Errorf("%+v", y)
		}
		if y := r.run(); y.Error != "" || y.LastPass != 2 {
			r.t.Errorf("%+v", y)
		}
		if got := fmt.Sprint(r.list.asked()); got != "[1 2 2 2 2 3]" {
			r.t.Errorf("pages asked for: %s", got)
		}
	})
}

// Who lives stays, although two passes did not see them: the provider is asked before anybody is taken away.
func TestLivingUsersWhomNoPassSees(t *testing.T) {
	t.Parallel()
	eachSyncRig(t, func(r syncRig) {
		r.list.set(people(1, 20)...)
		r.run()
		r.list.unlisted = people(3, 4)
		for range 3 {
			r.list.set(slices.Concat(people(1, 2), people(7, 20))...)
			r.run()
		}
		r.holds(slices.Concat(people(1, 4), people(7, 20))...)
	})
}
