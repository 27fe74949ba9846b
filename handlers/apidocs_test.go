package handlers

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"carillon/handlers/web"
	"carillon/internal/testkit"
)

// heardPage is what a page asked for, and what the browser had to say about it.
type heardPage struct {
	mu     sync.Mutex
	asked  []string
	faults []string
}

func (h *heardPage) hear(event any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		h.asked = append(h.asked, e.Request.URL)
	case *log.EventEntryAdded:
		h.faults = append(h.faults, fmt.Sprintf("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL))
	case *runtime.EventExceptionThrown:
		h.faults = append(h.faults, "exception: "+e.ExceptionDetails.Text)
	}
}

// tryIt finds an operation in the page, presses its button, and says what the page then shows.
const tryIt = `(async () => {
	const until = async (what, f) => {
		for (let i = 0; i < 2000; i++) {
			const found = f()
			if (found) return found
			await new Promise(next => setTimeout(next, 20))
		}
		throw new Error("the page shows no " + what)
	}
	const page = document.querySelector("rapi-doc").shadowRoot
	const shown = await until("operation", () => page.querySelector("[id='get-/v1/users'].expanded-endpoint-body"))
	const request = await until("request", () => shown.querySelector("api-request"))
	const button = await until("button", () => request.shadowRoot.querySelector("[part~='btn-try']"))
	button.click()
	const status = await until("status", () => request.shadowRoot.querySelector(".response-message"))
	const read = () => request.responseText !== "⌛" && request.responseText // the hourglass stands there first
	return status.textContent + await until("answer", read)
})()`

// TestDocsPage: the page at /docs shows the contract in a browser and sends a request with the browser's
// session. It asks no other server for anything, and its policy refuses nothing that it needs.
func TestDocsPage(t *testing.T) {
	t.Parallel()
	s := newServer(t, embedded(t))
	s.users("page-user")
	_, opened := s.logIn(s.adminToken(), "")
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), chromedp.ExecPath(testkit.Chromium(t)), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()))
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	var h heardPage
	if err := chromedp.Listen(ctx, h.hear); err != nil {
		t.Fatal(err)
	}
	_, err1 := chromedp.Call(ctx, network.Enable, network.EnableParams{})
	_, err2 := chromedp.Call(ctx, log.Enable, cdp.Empty{})
	cookie := network.SetCookieParams{Name: web.SessionCookie, Value: session(t, opened).Value, URL: s.URL}
	_, err3 := chromedp.Call(ctx, network.SetCookie, cookie)
	err4 := chromedp.Do(ctx, chromedp.Navigate(s.URL+"/docs#get-/v1/users"))
	shown, err := chromedp.Run(ctx, chromedp.Evaluate[string](tryIt, chromedp.EvalAwaitPromise))
	err = errors.Join(err1, err2, err3, err4, err)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil || !strings.Contains(shown, "200") || !strings.Contains(shown, "page-user") {
		t.Errorf("%v; the page shows %q", err, shown)
	}
	for _, url := range h.asked {
		if !strings.HasPrefix(url, s.URL+"/") && !strings.HasPrefix(url, "data:") {
			t.Errorf("the page asks for %s", url)
		}
	}
	for _, fault := range h.faults {
		t.Errorf("the browser says: %s", fault)
	}
	if len(h.asked) < 4 {
		t.Errorf("the page asks for %v alone", h.asked)
	}
}
