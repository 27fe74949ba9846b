package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"carillon/internal/testkit"
	"carillon/internal/testkit/browser"
)

// gate is a provider that refuses the users whose ID ends with 7, with these words, until it is mended.
type gate struct {
	words  string
	mended atomic.Bool
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Recipients []struct{ RecvID string }
	}
	err := json.NewDecoder(r.Body).Decode(&body)
	if err != nil || len(body.Recipients) != 1 {
		http.Error(w, "odd", http.StatusBadRequest)
	} else if strings.HasSuffix(body.Recipients[0].RecvID, "7") && !g.mended.Load() {
		http.Error(w, g.words, http.StatusUnprocessableEntity)
	}
}

// newGate is the provider, and the flags for it.
func newGate(t *testing.T, words string) (g *gate, flags []string) {
	t.Helper()
	g = &gate{words: words}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	return g, []string{"--webhook-url", server.URL, "--webhook-secret", webhookSecret}
}

// inTurns sends each request to the next of several processes.
func inTurns(t *testing.T, processes ...string) (at string, served []*atomic.Int64) {
	t.Helper()
	var targets []*url.URL
	for _, p := range processes {
		targets, served = append(targets, must(url.Parse(p))), append(served, &atomic.Int64{})
	}
	var turn atomic.Int64
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			i := int(turn.Add(1)) % len(targets)
			served[i].Add(1)
			r.SetURL(targets[i])
			r.Out.Host = r.In.Host
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }, // the browser has left
	})
	t.Cleanup(proxy.Close)
	return proxy.URL, served
}

// logIn opens the console, which asks for a token.
func logIn(t *testing.T, site string) *browser.Page {
	t.Helper()
	p := browser.Open(t, site)
	p.Go("/")
	p.At("/login")
	p.Fill("Admin token", adminToken(t))
	p.Click("Log in")
	p.At("/")
	return p
}

// TestJourneys: an operator's ways through the console in a browser, in which its policy refuses nothing.
//
// With servers there are two processes, and each request goes to another one than the last. The embedded stores belong to
// one process. There the console stands below a path.
func TestJourneys(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		provider, flags := newGate(t, "the device is gone")
		var site string
		if s.Name == "embedded" {
			site = serve(t, append(flags, "--data-dir", filepath.Join(t.TempDir(), "data"), "--secret", testSecret, "--base-path", "/carillon")...).ready() + "/carillon"
		} else {
			flags = append(append([]string{"serve"}, external(migrated(t, s.DatabaseURL), s.RedisURL)...), flags...)
			var served []*atomic.Int64
			site, served = inTurns(t, spawn(t, flags...), spawn(t, flags...))
			t.Cleanup(func() {
				for i, n := range served {
					if n.Load() < 20 {
						t.Errorf("process %d served %d requests alone", i, n.Load())
					}
				}
			})
		}
		p := logIn(t, site)
		importUsers(p, t)
		campaignToAll(p, t, provider)
		scheduleWithPreview(p)
		testThatArrives(p, t)
		monitorAndBack(p)
	})
}

const journeyUsers = 60

func importUsers(p *browser.Page, t *testing.T) {
	t.Helper()
	file := strings.Builder{}
	file.WriteString("userID,nickname,timezone\n")
	for i := range journeyUsers {
		fmt.Fprintf(&file, "user-%03d,User %d,Europe/Berlin\n", i, i)
	}
	file.WriteString("user-nowhere,Nobody,Mars/Olympus\n")
	p.Click("Users")
	p.Sees("No users yet")
	p.Click("Import users")
	p.At("/import")
	p.Upload("file", write(t, "users.csv", file.String()))
	p.Click("Import")
	p.Sees("60 of 61 rows are taken. 1 row was refused")
	p.Sees("62 user-nowhere timezone must be an IANA time zone")
}

var (
	share = regexp.MustCompile(`With an outcome ([\d.]+) ?%`)
)

// moves waits until a campaign's page shows another share of recipients with an outcome.
func moves(p *browser.Page, t *testing.T) {
	t.Helper()
	var from, now string
	testkit.Eventually(t, "the progress moves", patience, func() bool {
		if found := share.FindStringSubmatch(p.Text("#live")); found != nil {
			now = found[1]
		}
		if from == "" {
			from = now
		}
		return now != from
	}, func() any {
		streams := slices.DeleteFunc(p.Asked(), func(asked string) bool { return !strings.HasSuffix(asked, "/live") })
		return fmt.Sprintf("%s; hidden: %t; asked for %q", now, browser.Run(p, chromedp.Evaluate[bool]("document.hidden")), streams)
	})
}

// TestStreamThatDoesNotOpen: a page whose stream is refused at first, or cut off, keeps what it shows and asks again.
func TestStreamThatDoesNotOpen(t *testing.T) {
	t.Parallel()
	behind := must(url.Parse(serve(t, "--data-dir", filepath.Join(t.TempDir(), "data"), "--secret", testSecret).ready()))
	var opened atomic.Int64
	proxy := httputil.NewSingleHostReverseProxy(behind)
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) } // the browser has left
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/live") {
			switch opened.Add(1) {
			case 1:
				http.Error(w, "no place for the stream", http.StatusServiceUnavailable)
				return
			case 2:
				panic(http.ErrAbortHandler)
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	post := func(path, body string) reply { return call(t, http.MethodPost, server.URL+path, adminToken(t), body) }
	var users []string
	for i := range 300 {
		users = append(users, fmt.Sprintf(`{"userID":"user-%d"}`, i))
	}
	post("/v1/users", `{"users":[`+strings.Join(users, ",")+`]}`)
	id, _ := post("/v1/campaigns", `{"ratePerSecond":1,"audience":{"all":true},"message":{"sendID":"imAdmin","contentType":101,"content":{"content":"hi"}}}`).data["id"].(string)
	p := logIn(t, server.URL)
	p.Allow("503 (Service Unavailable) " + server.URL + "/campaigns/" + id + "/live")
	p.Allow("ERR_EMPTY_RESPONSE " + server.URL + "/campaigns/" + id + "/live")
	p.Allow("Failed to fetch")
	p.Go("/campaigns/" + id)
	mark(p)
	moves(p, t)
	stays(p, t)
	p.Sees("Pause")
	if n := opened.Load(); n < 3 {
		t.Errorf("the stream was asked for %d times", n)
	}
}

// mark and stays tell whether a page was loaded anew.
func mark(p *browser.Page) { browser.Run(p, chromedp.Evaluate[int](`window.since = 1`)) }

func stays(p *browser.Page, t *testing.T) {
	t.Helper()
	if !browser.Run(p, chromedp.Evaluate[bool](`window.since === 1`)) {
		t.Error("the page was loaded anew")
	}
}

func campaignToAll(p *browser.Page, t *testing.T, provider *gate) {
	t.Helper()
	p.Click("Campaigns")
	p.Sees("No campaign yet")
	p.Click("New campaign")
	p.At("/campaigns/new")
	p.Fill("Name", "Spring sale")
	p.Fill("Through which channel", "webhook")
	p.Click("All users")
	p.Fill("Text", "Everything for half the price")
	p.Fill("At most … a second", "5")
	p.Click("Check before it goes")
	p.Sees("It goes to all users: 60 get it. Type this number")
	p.Allow("422") // which the browser calls a failure, and is the answer to the wrong number
	p.Fill("It goes to all users", "59")
	p.Click("Send now to 60")
	p.Sees("is not the number of recipients that stands here")
	p.Fill("It goes to all users", "60")
	p.Click("Send now to 60")
	p.Sees("The campaign was created.")
	campaign := p.Path()
	mark(p)
	moves(p, t)
	moves(p, t)
	stays(p, t)

	p.Click("Pause")
	p.Sees("The campaign is paused.")
	p.Fill("At most … a second", "300")
	p.Click("Save")
	p.Sees("The change is saved.")
	p.Sees("At most 300 a second")
	p.Click("Resume")
	p.Sees("The campaign goes on.")
	p.Sees("completed")
	p.Sees("Why some failed")
	p.Sees("the device is gone")
	p.Sees("failed 6")
	testkit.Eventually(t, "a form of a campaign that has ended", testkit.Patience, func() bool { return !strings.Contains(p.Text("#change"), "At most") })

	p.Fill("What became of one user?", "user-017")
	p.Click("Look up")
	p.Sees("the device is gone")
	p.Click("List all recipients")
	p.Sees("user-000")
	p.Click("Back to the campaign")
	provider.mended.Store(true)
	p.Click("Retry these")
	p.Sees("The campaign runs again for them.")
	p.Sees("completed")
	p.Sees("sent 60")

	name, content := p.Download("CSV")
	if lines := strings.Count(content, "\n"); name != "recipients-"+strings.TrimPrefix(campaign, "/campaigns/")+".csv" || lines != 1+journeyUsers || !strings.Contains(content, "user-017") {
		t.Errorf("%s has %d lines:\n%.300s", name, lines, content)
	}

	p.Click("Report")
	p.Sees("Report of the campaign")
	if _, err := chromedp.Call(p.Context(), emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"}); err != nil {
		t.Fatal(err)
	}
	printed := p.Text("body")
	for _, there := range []string{"Spring sale", "sent 60", "Everything for half the price", "retried"} {
		if !strings.Contains(strings.ToLower(printed), strings.ToLower(there)) {
			t.Errorf("the printed report has no %q: %s", there, printed)
		}
	}
	for _, none := range []string{"Log out", "Overview", "Back to the campaign"} {
		if strings.Contains(printed, none) {
			t.Errorf("the printed report has %q: %s", none, printed)
		}
	}
	if pdf := browser.Run(p, chromedp.PrintToPDF()); !strings.HasPrefix(string(pdf), "%PDF") {
		t.Errorf("printed are %d bytes", len(pdf))
	}
	if _, err := chromedp.Call(p.Context(), emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{}); err != nil {
		t.Fatal(err)
	}
}

func scheduleWithPreview(p *browser.Page) {
	p.Click("Schedules")
	p.Sees("No schedules yet")
	p.Click("New schedule")
	p.Sees("The slots appear here when you say when it fires.")
	p.Fill("Name", "Good morning")
	p.Fill("When it fires", "0 9 * * 1-5")
	p.Sees("It fires")
	p.Fill("Time zone", "Nowhere/Else")
	p.Sees("Time zone:")
	p.Fill("Time zone", "Europe/Berlin")
	p.Sees("09:00 +0")
	p.Click("All users")
	p.Fill("Text", "Good morning!")
	p.Click("Save")
	p.Sees("The schedule was created. Look at its next slots.")
	p.Click("Skip the slot of")
	p.Sees("The slot is left out.")
	p.Sees("skipped")
}

func testThatArrives(p *browser.Page, t *testing.T) {
	t.Helper()
	inbox := p.Tab()
	inbox.Go("/try?user=user-001")
	inbox.Sees("No message within a day.")
	mark(inbox)
	p.Click("Campaigns")
	p.Click("New campaign")
	p.At("/campaigns/new")
	p.Fill("Through which channel", "inbox")
	p.Click("All users")
	p.Fill("Text", "Is this how it looks?")
	p.Click("Check before it goes")
	p.Sees("It goes to all users: 60 get it.")
	p.Fill("Send it to these users alone, now", "user-001")
	p.Click("Send the test")
	p.Sees("The test is on its way")
	inbox.Sees("Is this how it looks?")
	stays(inbox, t)
}

func monitorAndBack(p *browser.Page) {
	p.Click("Queue")
	p.Click("The queue's own monitor")
	p.At("/monitor/")
	p.Sees("bulk")
	p.Click("← Carillon")
	p.At("/queue")
}
