// Package browser lets tests use pages as people do, in a real browser: look for words, press buttons, type.
//
// Whatever the browser complains about fails the test: a refusal by the page's content security policy, an exception, an error
// or warning on its console, a file that is not there.
package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"carillon/internal/testkit"
)

// Page is a tab of a browser. Its methods fail the test when they cannot do what they say within testkit.Patience.
type Page struct {
	t     testing.TB
	ctx   context.Context
	site  string
	saves string // the folder of what is downloaded

	mu      sync.Mutex
	asked   []string
	status  int64
	faults  []string
	allowed []string
}

// Open starts a browser for this test alone. site is the address before every path.
func Open(t testing.TB, site string) *Page {
	t.Helper()
	saves := t.TempDir()
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(testkit.Chromium(t)), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1280, 900))...)
	t.Cleanup(cancel)
	p := tab(ctx, t, site, saves)
	to := browser.SetDownloadBehaviorParams{Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: saves}
	if _, err := chromedp.CallBrowser(p.ctx, browser.SetDownloadBehavior, to); err != nil {
		t.Fatal(err)
	}
	return p
}

// Tab is another tab of the same browser, with the same cookies.
func (p *Page) Tab() *Page {
	p.t.Helper()
	return tab(p.ctx, p.t, p.site, p.saves)
}

func tab(ctx context.Context, t testing.TB, site, saves string) *Page {
	t.Helper()
	ctx, _ = chromedp.NewContext(ctx)
	p := &Page{t: t, ctx: ctx, site: site, saves: saves}
	t.Cleanup(func() {
		if t.Failed() {
			shown, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body?.innerText`))
			t.Logf("the browser shows %s %v", shown[:min(len(shown), 4000)], err)
		}
		if err := chromedp.Cancel(ctx); err != nil {
			t.Errorf("the browser does not end: %v", err)
		}
		for _, fault := range p.Faults() {
			t.Errorf("the browser says: %s", fault)
		}
	})
	if err := chromedp.Listen(ctx, p.hear); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, log.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	return p
}

// hear keeps what the browser tells.
func (p *Page) hear(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		p.asked = append(p.asked, e.Request.URL)
	case *network.EventResponseReceived:
		if e.Type == network.ResourceTypeDocument {
			p.status = e.Response.Status
		}
	case *log.EventEntryAdded:
		p.faults = append(p.faults, fmt.Sprintf("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL))
	case *runtime.EventExceptionThrown:
		fault := "exception: " + e.ExceptionDetails.Text
		if thrown := e.ExceptionDetails.Exception; thrown != nil {
			fault += " " + thrown.Description
		}
		p.faults = append(p.faults, fault+" "+e.ExceptionDetails.URL)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning || e.Type == runtime.ConsoleAPICalledTypeAssert {
			words := []string{"console:", string(e.Type)}
			for _, arg := range e.Args {
				words = append(words, string(arg.Value), arg.Description)
			}
			p.faults = append(p.faults, strings.Join(words, " "))
		}
	}
}

// Allow lets the browser say what holds these words.
func (p *Page) Allow(words string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.allowed = append(p.allowed, words)
}

// Faults are what the browser has complained about so far, without what is allowed.
func (p *Page) Faults() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(p.faults), func(fault string) bool {
		return slices.ContainsFunc(p.allowed, func(words string) bool { return strings.Contains(fault, words) })
	})
}

// Asked are the addresses that the tab has asked for so far.
func (p *Page) Asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

// Context is the tab, for calls of chromedp.
func (p *Page) Context() context.Context { return p.ctx }

// Do runs steps of chromedp.
func (p *Page) Do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, testkit.Patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

// Run is what a step of chromedp returns.
func Run[T any](p *Page, step chromedp.Action[T]) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, testkit.Patience)
	defer cancel()
	value, err := chromedp.Run(ctx, step)
	if err != nil {
		p.t.Fatal(err)
	}
	return value
}

// SetCookie gives the browser a cookie of the site.
func (p *Page) SetCookie(c *http.Cookie) {
	p.t.Helper()
	if _, err := chromedp.Call(p.ctx, network.SetCookie, network.SetCookieParams{Name: c.Name, Value: c.Value, URL: p.site}); err != nil {
		p.t.Fatal(err)
	}
}

// Go opens a path of the site, and returns its status.
func (p *Page) Go(path string) int64 {
	p.t.Helper()
	p.Do(chromedp.Navigate(p.site + path))
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

// ask calls a function of the script in the page. While the page changes to another there is no answer, and ok is false.
func ask[T any](p *Page, function string, args ...any) (answer T, ok bool) {
	p.t.Helper()
	list, err := json.Marshal(append([]any{}, args...))
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(p.ctx, testkit.Patience)
	defer cancel()
	answer, err = chromedp.Run(ctx, chromedp.Evaluate[T]("("+script+")."+function+"(..."+string(list)+")"))
	if err != nil && (p.ctx.Err() != nil || strings.Contains(err.Error(), "exception")) {
		p.t.Fatal(err)
	}
	return answer, err == nil
}

// does calls a function of the script until the function has no objection.
func (p *Page) does(what, function string, args ...any) {
	p.t.Helper()
	var objection string
	testkit.Eventually(p.t, what, testkit.Patience, func() (ok bool) {
		objection, ok = ask[string](p, function, args...)
		return ok && objection == ""
	}, func() any { return objection })
}

// Click presses the first button, link, label or summary with these words, or whose words begin so. Nothing may cover it.
func (p *Page) Click(words string) {
	p.t.Helper()
	p.does("press "+words, "click", words)
}

// Fill writes a text into the field with this label, in the place of what stands there.
func (p *Page) Fill(label, text string) {
	p.t.Helper()
	p.does("fill "+label, "fill", label, text)
}

// Upload chooses a file for the field with this ID.
func (p *Page) Upload(id, file string) {
	p.t.Helper()
	p.Do(chromedp.SetUploadFiles(chromedp.CSS("#"+id), []string{file}))
}

// Sees waits until the page shows these words.
func (p *Page) Sees(words string) {
	p.t.Helper()
	p.does("see "+words, "sees", words)
}

// At waits until a whole page stands at this path of the site.
func (p *Page) At(path string) {
	p.t.Helper()
	p.does("be at "+path, "at", p.site+path)
}

// Path is where the page stands, without the site and what follows a question mark.
func (p *Page) Path() (path string) {
	p.t.Helper()
	testkit.Eventually(p.t, "a page", testkit.Patience, func() bool {
		at, ok := ask[string](p, "path")
		path = strings.TrimPrefix(at, p.site)
		return ok
	})
	return path
}

// Text is what the page shows, its white space folded. selector chooses the first such part of the page.
func (p *Page) Text(selector string) (text string) {
	p.t.Helper()
	testkit.Eventually(p.t, "a page", testkit.Patience, func() (ok bool) {
		text, ok = ask[string](p, "text", selector)
		return ok
	})
	return text
}

// Download presses a link, and returns the file that it brings.
func (p *Page) Download(words string) (name, content string) {
	p.t.Helper()
	p.Click(words)
	testkit.Eventually(p.t, "the file comes", testkit.Patience, func() bool {
		files, err := os.ReadDir(p.saves)
		if err != nil {
			p.t.Fatal(err)
		}
		for _, f := range files {
			if !strings.HasSuffix(f.Name(), ".crdownload") && !strings.HasPrefix(f.Name(), ".") {
				name = f.Name()
				return true
			}
		}
		return false
	})
	file := filepath.Join(p.saves, name)
	raw, err := os.ReadFile(file)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		p.t.Fatal(err)
	}
	return name, string(raw)
}

// Press sends keys to whatever has the focus.
func (p *Page) Press(keys string) {
	p.t.Helper()
	for _, r := range keys {
		events := kb.Encode(r)
		down, up := events[0], events[len(events)-1]
		if len(events) == 3 { // chromedp types the letter apart from the key, also where the page has taken the key
			down.Text, down.UnmodifiedText = events[1].Text, events[1].UnmodifiedText
		}
		for _, e := range []*input.DispatchKeyEventParams{down, up} {
			if _, err := chromedp.Call(p.ctx, input.DispatchKeyEvent, *e); err != nil {
				p.t.Fatal(err)
			}
		}
	}
}

// Focus is which element takes the keys.
type Focus struct {
	Name  string // what the element is called; empty = no element has the focus
	Wrong string // why a person would not see where the focus is; empty = they see it
}

// Focus says where the focus is.
func (p *Page) Focus() (f Focus) {
	p.t.Helper()
	testkit.Eventually(p.t, "a page", testkit.Patience, func() (ok bool) {
		f, ok = ask[Focus](p, "focus")
		return ok
	})
	return f
}

// TabTo presses Tab until an element has the focus whose name begins with these words. On the way there each element must
// show that it has the focus.
func (p *Page) TabTo(words string) {
	p.t.Helper()
	var way []string
	for range 150 {
		p.Press("\t")
		f := p.Focus()
		switch {
		case f.Name == "":
			p.t.Fatalf("Tab leads to no %q, but from %q out of the page", words, way)
		case f.Wrong != "":
			p.t.Errorf("%s has the focus, and does not show it: %s", f.Name, f.Wrong)
		}
		if strings.HasPrefix(f.Name, words) {
			return
		}
		way = append(way, f.Name)
	}
	p.t.Fatalf("Tab leads to no %q, but to %q", words, way)
}
