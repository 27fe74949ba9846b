package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	consoleGoal  = 100 * time.Millisecond // p99 of a page
	watchers     = 100
	watchSample  = 5 * time.Second
	watcherGoal  = 2.0  // events a second
	sharedGoal   = 1.5  // statements for all watchers over those for one
	sharedNoise  = 20.0 // statements a second by which two samples of the same can differ
	healthzRoute = "/healthz"
)

// consolePage is one page as the bench asks for it.
type consolePage struct {
	route string // of the console's route table
	path  string // with words in braces, which places fills in; empty = the route as it is
	work  bool   // the page is the answer to a long question by its purpose: it reads all recipients
}

// consolePages are all pages of the console that are asked for with GET, some of them with several queries.
// TestAllPagesAreMeasured compares them with the route table.
var consolePages = []consolePage{
	{route: "/"},
	{route: "/overview/now"},
	{route: "/overview/chart"},
	{route: "/pause"},
	{route: "/queue"},
	{route: "/queue/now"},
	{route: "/events"},
	{route: "/events", path: "/events?kind=campaign.completed"},
	{route: "/events", path: "/events?campaign={big}"},
	{route: "/try"},
	{route: "/try", path: "/try?user={user}"},
	{route: "/settings"},
	{route: "/search", path: "/search?q=Newsletter+{n}"},
	{route: "/search", path: "/search?q=user-00000"},
	{route: "/search", path: "/search?q=Nickname+{n}"},
	{route: "/search", path: "/search?q=nothing+like+it"},
	{route: "/campaigns"},
	{route: "/campaigns", path: "/campaigns?part=1"},
	{route: "/campaigns", path: "/campaigns?status=completed"},
	{route: "/campaigns", path: "/campaigns?status=running"},
	{route: "/campaigns", path: "/campaigns?name=letter+{n}"},
	{route: "/campaigns", path: "/campaigns?name=nothing+like+it"},
	{route: "/campaigns", path: "/campaigns?status=cancelled&name=e&from=2020-01-01"},
	{route: "/campaigns/new"},
	{route: "/campaigns/new", path: "/campaigns/new?from={big}"},
	{route: "/campaigns/{id}", path: "/campaigns/{big}"},
	{route: "/campaigns/{id}", path: "/campaigns/{running}"},
	{route: "/campaigns/{id}", path: "/campaigns/{small}"},
	{route: "/campaigns/{id}/report", path: "/campaigns/{big}/report"},
	{route: "/campaigns/{id}/failures", path: "/campaigns/{big}/failures", work: true},
	{route: "/campaigns/{id}/failures", path: "/campaigns/{running}/failures"},
	{route: "/campaigns/{id}/recipients", path: "/campaigns/{big}/recipients"},
	{route: "/campaigns/{id}/recipients", path: "/campaigns/{big}/recipients?status=failed"},
	{route: "/campaigns/{id}/recipients", path: "/campaigns/{big}/recipients?status=unknown"},
	{route: "/campaigns/{id}/recipients", path: "/campaigns/{running}/recipients?status=pending"},
	{route: "/campaigns/{id}/recipients", path: "/campaigns/{big}/recipients?user={user}"},
	{route: "/campaigns/{id}/verify", path: "/campaigns/{small}/verify"},
	{route: "/campaigns/{id}/verify", path: "/campaigns/{big}/verify", work: true},
	{route: "/campaigns/{id}/cancel", path: "/campaigns/{running}/cancel"},
	{route: "/schedules"},
	{route: "/schedules/calendar"},
	{route: "/schedules/calendar", path: "/schedules/calendar?zone=America/New_York"},
	{route: "/schedules/new"},
	{route: "/schedules/{id}", path: "/schedules/{schedule}"},
	{route: "/schedules/{id}/edit", path: "/schedules/{schedule}/edit"},
	{route: "/users"},
	{route: "/users", path: "/users?search=user-0000"},
	{route: "/users", path: "/users?nickname=Nickname+{n}"},
	{route: "/users", path: "/users?nickname=nothing"},
	{route: "/users/{id}", path: "/users/{user}"},
	{route: "/users/{id}", path: "/users/nobody"},
	{route: "/import"},
	{route: "/import/now"},
	{route: "/groups"},
	{route: "/groups/{id}", path: "/groups/{group}"},
	{route: "/groups/{id}/edit", path: "/groups/{group}/edit"},
	{route: "/new-group"},
	{route: "/assets/{name}", path: "/assets/console.css"},
}

// consoleStreams are the routes that are streams. watched measures the first.
var consoleStreams = []string{"/campaigns/{id}/live", "/try/{userID}/live"}

func (p consolePage) ask() string {
	if p.path == "" {
		return p.route
	}
	return p.path
}

// workTries is how often a page is asked for whose purpose is a long question.
const workTries = 3

// consoleSpeed measures how long each page of the console takes to come, on both kinds of stores. The pages take turns,
// so that what else the machine does meets all alike. A campaign runs meanwhile.
func consoleSpeed(ctx context.Context, b *Bench, r *Report) (err error) {
	size := b.options.largest()
	maria, err := b.directory(ctx, size)
	if err != nil {
		return err
	}
	if err := maria.Clean(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, maria.cleanConsole(context.WithoutCancel(ctx))) }()
	if err := b.consoleOn(ctx, r, maria, "MariaDB and Redis"); err != nil {
		return err
	}
	embedded, err := b.embedded(ctx, size)
	if err != nil {
		return err
	}
	return b.consoleOn(ctx, r, embedded, "embedded")
}

// consoleOn measures the console over one directory.
func (b *Bench) consoleOn(ctx context.Context, r *Report, d *Directory, stores string) (err error) {
	s, err := b.Serve(ctx, "console", d, allRoles, "CARILLON_CHANNEL=inbox")
	defer func() { err = joinStop(err, s) }()
	if err != nil {
		return err
	}
	places, err := s.seedConsole(ctx, d)
	if err != nil {
		return err
	}
	browser, err := s.logIn(ctx)
	if err != nil {
		return err
	}
	b.note("the console's pages, %s", stores)
	took, err := s.pages(ctx, browser, places, b.options.Sends)
	if err != nil {
		return err
	}
	slowest := Latency{}
	for i, p := range consolePages {
		l := newLatency("console, "+stores+": "+p.ask(), took[i])
		r.Latencies = append(r.Latencies, l)
		if !p.work && l.P99 > slowest.P99 {
			slowest = l
		}
	}
	r.Latencies = append(r.Latencies, newLatency("bare, "+stores+": "+healthzRoute, took[len(consolePages)]))
	r.goal(slowest.What+", the slowest page, p99", slowest.P99, "ms", ms(consoleGoal), false)
	if d.db == nil { // nobody else can count the statements of an embedded store
		return nil
	}
	return s.watched(ctx, b, r, d, browser, places)
}

// logIn is a browser with a session.
func (s *Service) logIn(ctx context.Context) (*http.Client, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	browser := &http.Client{
		Jar: jar, Transport: &http.Transport{MaxIdleConnsPerHost: 2 * watchers},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/login", strings.NewReader(url.Values{"token": {s.token}}.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return browser, fetch(browser, req)
}

// fetch reads an answer to its end. A refusal of what was asked for is an error, but not that there is no such user.
func fetch(browser *http.Client, req *http.Request) error {
	res, err := browser.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode >= http.StatusBadRequest && res.StatusCode != http.StatusNotFound {
		return fmt.Errorf("%s %s answers %d", req.Method, req.URL, res.StatusCode)
	}
	return nil
}

// pages asks for all pages in turns, and for a bare answer beside them. The first round is not counted: it opens the
// connection, and fills the caches of the stores.
func (s *Service) pages(ctx context.Context, browser *http.Client, places consolePlaces, tries int) ([][]time.Duration, error) {
	took := make([][]time.Duration, len(consolePages)+1)
	for n := range tries + 1 {
		for i := range took {
			path := healthzRoute
			if i < len(consolePages) {
				if consolePages[i].work && n > workTries {
					continue
				}
				path = places.fill(consolePages[i].ask(), n)
			}
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, nil)
			if err != nil {
				return nil, err
			}
			begun := time.Now()
			if err := fetch(browser, req); err != nil {
				return nil, err
			}
			if n > 0 {
				took[i] = append(took[i], time.Since(begun))
			}
		}
	}
	return took, nil
}

// watchedPart is a part of a page that moves.
type watchedPart struct {
	path  string
	every time.Duration // between two requests of one browser; 0 = it is a stream
}

var watchedParts = []watchedPart{
	{"/campaigns/{running}/live", 0},
	{"/campaigns?part=1", 3 * time.Second},
	{"/overview/now", 5 * time.Second},
	{"/queue/now", 5 * time.Second},
}

// watched counts what the database has to do for one browser and for many that look at the same part of a page. The one
// asks once a second, as often as any number of them may read the ledger.
func (s *Service) watched(ctx context.Context, b *Bench, r *Report, d *Directory, browser *http.Client, places consolePlaces) error {
	b.note("%d watchers", watchers)
	idle, _, err := s.statements(ctx, d, browser, watchedPart{}, 0)
	if err != nil {
		return err
	}
	r.goal("SQL while nobody looks at the console", idle, "/s", 0, false)
	for _, part := range watchedParts {
		part.path = places.fill(part.path, 0)
		single := part
		single.every = min(part.every, time.Second)
		one, _, err := s.statements(ctx, d, browser, single, 1)
		if err != nil {
			return err
		}
		all, events, err := s.statements(ctx, d, browser, part, watchers)
		if err != nil {
			return err
		}
		r.goal("SQL more for one watcher of "+part.path, one-idle, "/s", 0, false)
		r.goal(fmt.Sprintf("SQL more for %d watchers of %s", watchers, part.path), all-idle, "/s", max(sharedNoise, one-idle)*sharedGoal, false)
		if part.every == 0 {
			r.goal("events to one watcher of "+part.path, events, "/s", watcherGoal, false)
		}
	}
	return nil
}

// statements counts the database's statements a second while n browsers look at a part of a page, and the events a second
// of the browser that gets most.
func (s *Service) statements(ctx context.Context, d *Directory, browser *http.Client, part watchedPart, n int) (perSecond, events float64, err error) {
	looking, stop := context.WithCancel(ctx)
	opened := time.Now()
	var wg sync.WaitGroup
	got, failed := make([]int, n), make([]error, n)
	for i := range n {
		wg.Go(func() {
			if part.every == 0 {
				got[i], failed[i] = s.follow(looking, browser, part.path)
				return
			}
			if wait(looking, part.every*time.Duration(i)/time.Duration(n)) == nil {
				failed[i] = s.poll(looking, browser, part)
			}
		})
	}
	sample := min(watchSample, time.Duration(d.Users)*200*time.Microsecond)
	err = wait(ctx, sample/5) // all are there
	before, begun := [2]int64{}, time.Now()
	if err == nil {
		before, err = d.commands(ctx, s.redis)
	}
	if err == nil {
		err = wait(ctx, sample)
	}
	if err == nil {
		var after [2]int64
		after, err = d.commands(ctx, s.redis)
		perSecond = ratio(float64(after[0]-before[0]), time.Since(begun).Seconds())
	}
	open := time.Since(opened).Seconds()
	stop()
	wg.Wait()
	for i := range n {
		if !errors.Is(failed[i], context.Canceled) {
			err = errors.Join(err, failed[i])
		}
		events = max(events, ratio(float64(got[i]-1), open)) // the first shows what is so already
	}
	return perSecond, events, err
}

// poll asks for a part of a page again and again.
func (s *Service) poll(ctx context.Context, browser *http.Client, part watchedPart) error {
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+part.path, nil)
		if err != nil {
			return err
		}
		req.Header.Set("HX-Request", "true")
		if err := fetch(browser, req); err != nil {
			return err
		}
		if err := wait(ctx, part.every); err != nil {
			return err
		}
	}
}

// follow counts the events of a stream.
func (s *Service) follow(ctx context.Context, browser *http.Client, path string) (events int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, nil)
	if err != nil {
		return 0, err
	}
	res, err := browser.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("GET %s answers %d", path, res.StatusCode)
	}
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "id:") {
			events++
		}
	}
	if err := lines.Err(); err != nil {
		return events, err
	}
	return events, fmt.Errorf("the stream %s has ended", path)
}
